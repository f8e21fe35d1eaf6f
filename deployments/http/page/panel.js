// The forms beside the picture, the tools under it, and the notice over it.

import { nextOf } from "./jobs.js";
import { colourOf, inkOn } from "./signs.js";
import { selectedOf } from "./store.js";
import { busySentence, candidateName } from "./words.js";

const $ = (id) => document.getElementById(id);
const OPTIONS = ["n", "quality", "seed", "avoid", "negative_prompt", "mask_shape", "fill_method"];
const TRIES = [
  { words: "the cactus → a lemon", target: "the cactus", prompt: "a lemon" },
  { words: "remove the balloon", target: "the balloon", prompt: "" },
  { words: "find the owl (not there)", target: "the owl", prompt: "" },
];
const NEXT = { find: "Find", paint: "Paint", stop: "Stop" };

/** Shows the state in the forms, and brings into the state what is typed and pressed there. */
export class Panel {
  /** @param {{store: object, jobs: object, view: object, overlay: object, opener: object}} page */
  constructor(page) {
    Object.assign(this, page);
    this.listenToForms();
    this.listenToTools();
    this.noticeActions = {
      choose: ["Choose picture", () => $("file").click()],
      shrink: ["Make it smaller", () => this.opener.shrink()],
      retry: ["Try again", () => this.jobs.retry()],
      "use-place": ["Use this place", () => this.usePlace()],
      point: ["Point at it", () => this.take("plus", "Click on it in the picture.")],
      box: ["Draw a box", () => this.take("box", "Click two corners, or drag.")],
    };
    renderCounts(null, "1");
    $("options").open = recall("retouch.options") === "open";
    this.store.subscribe((state, before) => this.render(state, before));
    $("chips").append(...TRIES.map((sample) => button("chip", sample.words, () => this.tryOut(sample))));
  }

  listenToForms() {
    const { store, jobs } = this;
    for (const name of ["target", "prompt"]) {
      $(name).addEventListener("input", ({ target: { value } }) => {
        store.set({ [name]: value, problem: null });
      });
    }
    for (const name of OPTIONS) {
      $(name).addEventListener("input", ({ target: { value } }) => {
        store.set({ options: { ...store.state.options, [name]: value }, problem: null });
      });
    }
    on($("find-form"), "submit", () => jobs.find());
    on($("paint-form"), "submit", () => store.state.job || jobs.paint("replace"));
    on($("remove"), "click", () => store.state.job || jobs.paint("remove"));
    on($("stop"), "click", () => {
      jobs.stop();
      $("paint").focus();
    });
    on($("next"), "click", () => (store.state.job ? jobs.stop() : nextOf(store.state) === "find" ? jobs.find() : jobs.paint("replace")));
    $("options").addEventListener("toggle", () => remember("retouch.options", $("options").open ? "open" : "closed"));
    $("heat").addEventListener("change", ({ target }) => store.set({ heat: target.checked }));
  }

  listenToTools() {
    const { store, view } = this;
    $("tool-set").addEventListener("change", ({ target }) => store.set({ tool: target.value }));
    $("size").addEventListener("input", ({ target }) => store.set({ brush: Number(target.value) }));
    on($("undo"), "click", () => store.undo());
    on($("redo"), "click", () => store.redo());
    on($("clear"), "click", () => store.change({ points: [], box: null, strokes: [] }));
    on($("zoom-in"), "click", () => view.zoom(1.25));
    on($("zoom-out"), "click", () => view.zoom(0.8));
    on($("fit"), "click", () => view.fit());
  }

  usePlace() {
    const { found, picture } = this.store.state;
    const [x, y] = found.answer.point;
    this.store.change({ points: [{ x: Math.min(x, picture.width - 1), y: Math.min(y, picture.height - 1), label: 1 }], view: "edit" });
    this.store.set({ heat: false });
  }

  take(tool, text) {
    this.store.set({ tool, heat: false, notice: { text } });
    this.view.element.focus();
  }

  tryOut({ target, prompt }) {
    this.store.set({ target, prompt, found: null, choice: null });
    this.jobs.find();
  }

  render(state, before) {
    const { picture, job } = state;
    document.body.classList.toggle("with-picture", Boolean(picture));
    $("empty").hidden = Boolean(picture);
    $("tools").hidden = !picture;
    $("change-picture").hidden = !picture;
    this.view.element.tabIndex = picture ? 0 : -1;
    $("chips").hidden = !picture?.sample;
    for (const name of ["target", "prompt"]) if ($(name).value !== state[name]) $(name).value = state[name];
    for (const name of OPTIONS) if ($(name).value !== state.options[name]) $(name).value = state.options[name];
    for (const id of ["find", "paint", "remove", "next"]) $(id).setAttribute("aria-disabled", String(!picture));
    for (const id of ["paint", "remove"]) if (job) $(id).setAttribute("aria-disabled", "true");
    $("stop").hidden = !job;
    $("next").textContent = NEXT[nextOf(state)];
    $("next").className = job ? "second next" : "first next";
    if (state.problem !== before.problem) this.renderProblem(state.problem);
    if (state.limits !== before.limits) renderCounts(state.limits, state.options.n);
    this.renderTools(state);
    this.renderNotice(state);
    if (state.found !== before.found || state.choice !== before.choice) this.renderCandidates(state);
    $("heat-row").hidden = !state.found?.answer.heat;
    $("heat").checked = state.heat;
  }

  renderProblem(problem) {
    for (const name of ["target", "prompt", ...OPTIONS]) {
      $(name).toggleAttribute("aria-invalid", name === problem?.field);
      if (name === problem?.field) $(name).setAttribute("aria-invalid", "true");
    }
    for (const place of ["target", "prompt", "options"]) {
      const here = problem && (place === problem.field || (place === "options" && OPTIONS.includes(problem.field)));
      $(`${place}-problem`).hidden = !here;
      $(`${place}-problem`).textContent = here ? problem.text : "";
      if (here && place === "options") $("options").open = true;
    }
  }

  renderTools({ tool, brush, picture }) {
    const radio = document.querySelector(`input[name=tool][value=${tool}]`);
    if (!radio.checked) radio.checked = true;
    $("size-row").hidden = tool !== "brush" && tool !== "eraser";
    if (picture) $("size").max = String(Math.max(20, Math.round(Math.max(picture.width, picture.height) / 3)));
    $("size").value = String(brush);
    this.view.element.dataset.tool = tool;
    setDisabled($("undo"), !this.store.past.length);
    setDisabled($("redo"), !this.store.future.length);
    const { points, box, strokes } = this.store.state;
    setDisabled($("clear"), !points.length && !box && !strokes.length);
  }

  renderNotice({ notice, job }) {
    const text = notice?.text ?? (job ? busySentence(job) : "");
    const box = $("notice");
    box.hidden = !text;
    if ($("notice-text").textContent !== text) $("notice-text").textContent = text;
    box.classList.toggle("error", notice?.kind === "error");
    $("spinner").hidden = !job && !notice?.busy;
    const progress = $("progress");
    progress.hidden = !job || !job.total || Boolean(notice);
    if (job?.total) [progress.max, progress.value] = [job.total, job.done];
    const stops = job ? [["Stop", () => this.jobs.stop()]] : [];
    const actions = [...(notice?.actions ?? []).map((name) => this.noticeActions[name]), ...stops];
    const key = actions.map(([label]) => label).join();
    if (key === this.shownActions) return;
    this.shownActions = key;
    $("notice-actions").replaceChildren(...actions.map(([label, act], i) => button(i || label === "Stop" ? "second" : "first", label, act)));
  }

  renderCandidates(state) {
    const answer = state.found?.answer;
    const several = answer?.found && answer.candidates.length > 1;
    $("candidates").hidden = !several;
    if (!several) {
      $("candidate-list").replaceChildren();
      return;
    }
    const all = answer.instances.length > 1 ? [this.candidate("all", `All ${answer.instances.length}`, "", null, state.choice === null)] : [];
    const selected = selectedOf(state);
    const single = answer.candidates.map((_, index) => {
      const { number, place, share } = candidateName(answer, index);
      const chosen = (state.choice !== null || !all.length) && selected.includes(index);
      return this.candidate(String(index), number, `${place}, ${share}`, index, chosen);
    });
    const focused = $("candidate-list").contains(document.activeElement);
    $("candidate-list").replaceChildren(...all, ...single);
    if (focused) $("candidate-list").querySelector("input:checked")?.focus();
  }

  candidate(value, name, detail, choice, checked) {
    const input = Object.assign(document.createElement("input"), { type: "radio", name: "candidate", value, checked });
    input.addEventListener("change", () => this.store.change({ choice, view: "edit" }));
    const badge = element("span", "number", choice === null ? "∗" : String(choice + 1));
    badge.setAttribute("aria-hidden", "true");
    if (choice !== null) [badge.style.backgroundColor, badge.style.color] = [colourOf(choice), inkOn(colourOf(choice))];
    const label = element("label", "candidate");
    input.setAttribute("aria-label", detail ? `${name}, ${detail} of the picture` : name);
    label.append(input, badge, element("span", "", detail || name));
    const hint = (index) => () => {
      this.overlay.hint = index;
      this.overlay.soon();
    };
    label.addEventListener("pointerenter", hint(choice));
    label.addEventListener("pointerleave", hint(null));
    return label;
  }
}

function renderCounts(limits, chosen) {
  const counts = [1, 2, 3, 4, 6, 8].filter((count) => count <= (limits?.max_images ?? 4));
  $("n").replaceChildren(...counts.map((count) => new Option(String(count), String(count), false, String(count) === chosen)));
}

/** Remember a choice of the person, where the browser allows it. */
export function remember(name, value) {
  try {
    localStorage.setItem(name, value);
  } catch {
    // then it is forgotten with the tab
  }
}

/** Return a choice that was remembered, null without one. */
export function recall(name) {
  try {
    return localStorage.getItem(name);
  } catch {
    return null;
  }
}

/** Return a new element. @param {string} tag @param {string} className @param {string} text */
export function element(tag, className = "", text = "") {
  return Object.assign(document.createElement(tag), { className, textContent: text });
}

/** Return a new button. @param {string} className @param {string} text @param {() => void} act */
export function button(className, text, act) {
  const made = Object.assign(element("button", className, text), { type: "button" });
  made.addEventListener("click", act);
  return made;
}

/** Call `act` at each event that is not switched off, in place of what the browser does. */
export function on(target, name, act) {
  target.addEventListener(name, (event) => {
    event.preventDefault();
    const by = event.submitter ?? event.currentTarget;
    if (by.getAttribute("aria-disabled") !== "true") act(event);
  });
}

function setDisabled(target, disabled) {
  target.setAttribute("aria-disabled", String(disabled));
}
