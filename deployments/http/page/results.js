// What came out: the pictures, how well they match, the comparison, and the edits before.

import { baseOf } from "./opening.js";
import { button, element, on } from "./panel.js";
import { urlOf } from "./store.js";
import { gainOf, outsideSentence, signed, verdict } from "./words.js";

const $ = (id) => document.getElementById(id);

/** Shows the last result and the history. */
export class Results {
  /** @param {{store: object, jobs: object, opener: object, keeping: object, snippets: object, restore: (entry: object) => void}} page */
  constructor(page) {
    Object.assign(this, page);
    const { store } = this;
    $("compare").addEventListener("input", ({ target }) => store.set({ compare: Number(target.value), view: "result" }));
    on($("download"), "click", () => save(this.image().blob, this.fileName()));
    on($("again"), "click", () => this.again());
    on($("continue"), "click", () => this.goOn());
    on($("share"), "click", () => this.share());
    on($("forget"), "click", () => this.keeping.forget());
    on($("copy-curl"), "click", () => this.snippets.show("curl", store.state.result));
    on($("copy-python"), "click", () => this.snippets.show("python", store.state.result));
    store.subscribe((state, before) => this.render(state, before));
  }

  image() {
    const { result, shown } = this.store.state;
    return result.images[shown];
  }

  fileName() {
    const { result } = this.store.state;
    const { blob, seed } = this.image();
    const words = (result.mode === "remove" ? "removed" : result.words.prompt).toLowerCase();
    const what = words.replace(/^(a|an|the) /, "").replace(/[^\p{L}\p{N}]+/gu, "-").replace(/^-|-$/g, "").slice(0, 40);
    const ending = blob.type.replace("image/", "").replace("jpeg", "jpg");
    return [baseOf(result.picture.name), what, seed === null ? "" : `seed${seed}`, ending].filter(Boolean).join(".");
  }

  again() {
    const { result } = this.store.state;
    this.jobs.paint(result.mode, true);
  }

  goOn() {
    const { blob } = this.image();
    const { picture } = this.store.state.result;
    const next = { ...picture, blob, name: this.fileName(), own: false };
    this.opener.show(next);
    this.store.set({ prompt: "", notice: { text: "Going on from the result.", brief: true } });
  }

  async share() {
    const file = new File([this.image().blob], this.fileName(), { type: this.image().blob.type });
    await navigator.share({ files: [file] }).catch(() => {});
  }

  render(state, before) {
    const { result, shown, view, compare, history } = state;
    $("results").hidden = !result;
    if (result && (result !== before.result || shown !== before.shown || view !== before.view)) this.renderResult(state);
    if ($("compare").value !== String(compare)) $("compare").value = String(compare);
    $("compare").setAttribute("aria-valuetext", `${compare} % of the result, ${100 - compare} % of the original`);
    if (history !== before.history || result !== before.result) this.renderHistory(state);
  }

  renderResult({ result, shown, view }) {
    $("verdict").textContent = verdict(result, shown) + heldBack(result.answer);
    $("badge-text").textContent = outsideSentence(result.answer);
    $("again").hidden = result.answer.fill_method === "classical";
    $("share").hidden = !(window.isSecureContext && navigator.canShare?.({ files: [new File([], "a.png", { type: "image/png" })] }));
    const focused = $("result-list").contains(document.activeElement);
    const pictures = result.images.map((image, index) => this.thumb(image, index, result, view === "result" && index === shown));
    $("result-set").hidden = false;
    $("result-list").replaceChildren(this.original(result, view), ...pictures);
    if (focused) $("result-list").querySelector("input:checked")?.focus();
  }

  original({ picture }, view) {
    return thumbnail(picture.blob, "Original", "Original", view !== "result", () => this.store.set({ view: "edit" }));
  }

  thumb({ blob, seed, score }, index, { images }, checked) {
    const gain = gainOf(score);
    const about = [gain === null ? "" : `match ${signed(gain)}`, seed === null ? "" : `seed ${seed}`].filter(Boolean).join(", ");
    const name = images.length > 1 ? `Picture ${index + 1} of ${images.length}${index ? "" : ", the best"}` : "Result";
    const caption = gain === null ? name : signed(gain);
    const show = () => {
      if (index !== this.store.state.shown) this.store.change({ shown: index, view: "result" });
      else this.store.set({ view: "result" });
    };
    return thumbnail(blob, [name, about].filter(Boolean).join(", "), caption, checked, show);
  }

  renderHistory({ history, result }) {
    $("history").hidden = !history.length;
    $("history-list").replaceChildren(
      ...history.map((entry) => {
        const { words, mode, images } = entry;
        const name = mode === "remove" ? `${words.target || "a place"}, removed` : [words.target, words.prompt].filter(Boolean).join(" → ");
        const open = button("entry", "", () => this.restore(entry));
        const image = Object.assign(new Image(), { src: urlOf(images[0].blob), alt: "", draggable: false });
        open.append(image, element("span", "", name));
        if (entry.id === result?.id) open.setAttribute("aria-current", "true");
        const item = element("li");
        item.append(open);
        return item;
      }),
    );
  }
}

function heldBack({ filtered = [] }) {
  if (!filtered.length) return "";
  return filtered.length === 1 ? " One picture was held back by the safety check." : ` ${filtered.length} pictures were held back by the safety check.`;
}

function thumbnail(blob, name, caption, checked, show) {
  const input = Object.assign(document.createElement("input"), { type: "radio", name: "result", checked });
  input.setAttribute("aria-label", name);
  input.addEventListener("change", show);
  const label = element("label", "thumb");
  label.append(input, Object.assign(new Image(), { src: urlOf(blob), alt: "", draggable: false }), element("span", "", caption));
  return label;
}

/** Let the browser save a file. @param {Blob} blob @param {string} name */
export function save(blob, name) {
  const link = Object.assign(document.createElement("a"), { href: urlOf(blob), download: name });
  link.click();
}
