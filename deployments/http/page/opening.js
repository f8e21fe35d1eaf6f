// Opens pictures that are chosen, dropped or pasted, and makes those smaller that are too large.

import { INITIAL, urlOf } from "./store.js";
import { tooLarge } from "./words.js";

const SIGNATURES = { "image/png": [0, "\x89PNG"], "image/jpeg": [0, "\xff\xd8\xff"], "image/webp": [8, "WEBP"] };

/** Opens pictures into the store. */
export class Opener {
  /** @param {import("./store.js").Store} store */
  constructor(store) {
    this.store = store;
    this.turn = 0; // a late answer to an older choice is dropped
    this.large = null; // a picture that was too large to be shown
  }

  /**
   * Open a file in place of the picture that is there.
   * @param {File | Blob} file
   * @param {{name?: string, sample?: boolean, own?: boolean}} options
   */
  async open(file, { name = file.name ?? "picture.png", sample = false, own = true } = {}) {
    const turn = ++this.turn;
    this.say({ text: "Opening picture…", busy: true });
    const type = await typeOf(file);
    if (turn !== this.turn) return;
    if (!type) {
      this.say({ kind: "error", text: "This file cannot be read. Choose PNG, JPEG or WebP.", actions: ["choose"] });
      return;
    }
    const blob = file.type === type ? file : new Blob([file], { type });
    const size = await sizeOf(blob);
    if (turn !== this.turn) return;
    if (!size) {
      this.say({ kind: "error", text: "This picture is damaged. Choose another one.", actions: ["choose"] });
      return;
    }
    const picture = { blob, name, sample, own, ...size };
    const why = tooLarge(picture, this.store.state.limits);
    if (why) {
      this.large = picture;
      this.say({ kind: "error", text: why, actions: ["shrink", "choose"] });
      return;
    }
    this.show(picture);
  }

  /** Make the picture smaller that is too large, and show it. */
  async shrink() {
    const turn = ++this.turn;
    const { blob, name } = this.large ?? this.store.state.picture;
    const { max_pixels: pixels, max_side_px: side, max_image_bytes: bytes } = this.store.state.limits;
    this.say({ text: "Making the picture smaller…", busy: true });
    const worker = new Worker(new URL("shrink.js", import.meta.url));
    const smaller = await new Promise((resolve) => {
      worker.onmessage = ({ data }) => resolve(data);
      worker.onerror = () => resolve({ error: true });
      worker.postMessage({ file: blob, pixels, side, bytes });
    });
    worker.terminate();
    if (turn !== this.turn) return;
    if (smaller.error) {
      this.say({ kind: "error", text: "This browser cannot make it smaller. Choose another picture.", actions: ["choose"] });
      return;
    }
    const ending = smaller.blob.type === "image/png" ? "png" : "jpg";
    this.show({ ...smaller, name: `${baseOf(name)}-smaller.${ending}`, sample: false, own: false });
    this.say({ text: `The picture is now ${smaller.width} × ${smaller.height} pixels.`, brief: true });
  }

  show(picture) {
    this.turn++;
    this.large = null;
    const { picture: old } = this.store.state;
    const fresh = { ...FRESH, picture, brush: Math.max(4, Math.round(Math.min(picture.width, picture.height) / 9)) };
    if (old) this.store.change(fresh);
    else this.store.restart(fresh);
  }

  say(notice) {
    this.store.set({ notice });
  }
}

/** What another picture takes away. */
const { found, choice, points, box, strokes, result, shown, view, compare, notice, problem } = INITIAL;
export const FRESH = { found, choice, points, box, strokes, result, shown, view, compare, notice, problem };

/** Return a file name without its ending. @param {string} name */
export const baseOf = (name) => name.replace(/\.[^.]*$/, "");

async function typeOf(file) {
  const head = String.fromCharCode(...new Uint8Array(await file.slice(0, 16).arrayBuffer()));
  return Object.keys(SIGNATURES).find((type) => head.startsWith(SIGNATURES[type][1], SIGNATURES[type][0])) ?? null;
}

async function sizeOf(blob) {
  const image = new Image();
  image.src = urlOf(blob);
  // Upright, as the service counts: the browser turns by EXIF before it measures.
  return image.decode().then(
    () => ({ width: image.naturalWidth, height: image.naturalHeight }),
    () => null,
  );
}
