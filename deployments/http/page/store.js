// Holds what the page knows, tells the other modules when it changes, and takes steps back.

/**
 * @typedef {{blob: Blob, name: string, width: number, height: number, sample: boolean, own: boolean}} Picture
 *   The picture that is edited, upright, in pixels. `own` says that the person has this very file.
 * @typedef {{x: number, y: number, label: 0 | 1}} Point in pixels of the picture; label 1 is on the thing, 0 is not
 * @typedef {{erase: boolean, size: number, path: number[]}} Stroke `path` is x, y, x, y ... in pixels of the picture
 * @typedef {[number, number, number, number]} Box left, top, right, bottom in pixels of the picture
 */

const MOST_STEPS = 100;

// What a step back restores. Their values are never changed in place, so that steps share them.
const UNDOABLE = ["picture", "found", "choice", "points", "box", "strokes", "result", "shown", "view"];

/** What the page knows at first. */
export const INITIAL = Object.freeze({
  picture: null,
  target: "",
  prompt: "",
  found: null, // what the last search answered, with outlines
  choice: null, // the index of the candidate that the person chose, null for the service's own choice
  points: [],
  box: null,
  strokes: [],
  tool: "plus",
  brush: 40, // the diameter in pixels of the picture
  heat: false,
  result: null, // the last edit
  shown: 0, // which of its pictures
  view: "edit", // or "result"
  compare: 100, // how much of the result is shown beside the original, in per cent
  history: [],
  job: null,
  notice: null,
  problem: null, // {field, text}: what is wrong with a field
  limits: null,
  options: Object.freeze({
    n: "1", quality: "auto", seed: "", avoid: "", negative_prompt: "", mask_shape: "", fill_method: "",
  }),
});

/** The one state of the page. Its values are frozen in practice: `set` and `change` replace them. */
export class Store {
  constructor() {
    this.state = { ...INITIAL };
    this.past = [];
    this.future = [];
    this.listeners = [];
    this.pending = null;
  }

  /**
   * Call `listener` with the state, and the state when it was called last, soon after each change.
   * @param {(state: object, before: object) => void} listener
   */
  subscribe(listener) {
    this.listeners.push(listener);
  }

  /** Replace some values. @param {object} patch */
  set(patch) {
    const before = this.state;
    this.state = { ...before, ...patch };
    if (this.pending) return;
    this.pending = before;
    queueMicrotask(() => this.publish());
  }

  /** Replace some values in a step that can be taken back. @param {object} patch */
  change(patch) {
    this.past.push(this.snapshot());
    if (this.past.length > MOST_STEPS) this.past.shift();
    this.future = [];
    this.set(patch);
    keepOnly(this.blobs());
  }

  /** Take one step back. */
  undo() {
    if (!this.past.length) return;
    this.future.push(this.snapshot());
    this.set(this.past.pop());
  }

  /** Take one step forward again. */
  redo() {
    if (!this.future.length) return;
    this.past.push(this.snapshot());
    this.set(this.future.pop());
  }

  /** Begin anew: there is nothing to take back. @param {object} patch */
  restart(patch) {
    this.past = [];
    this.future = [];
    this.set(patch);
    keepOnly(this.blobs());
  }

  snapshot() {
    return Object.fromEntries(UNDOABLE.map((name) => [name, this.state[name]]));
  }

  publish() {
    const before = this.pending;
    this.pending = null;
    for (const listener of this.listeners) listener(this.state, before);
  }

  /** Return every picture file that can still be shown. */
  blobs() {
    const used = new Set();
    for (const { picture, result } of [this.state, ...this.past, ...this.future]) {
      if (picture) used.add(picture.blob);
      for (const blob of blobsOf(result)) used.add(blob);
    }
    if (this.state.job?.preview) used.add(this.state.job.preview);
    for (const entry of this.state.history) for (const blob of blobsOf(entry)) used.add(blob);
    return used;
  }
}

function blobsOf(result) {
  return result ? [result.picture.blob, ...result.images.map((image) => image.blob)] : [];
}

const urls = new Map();

/** Return an address under which the browser shows `blob`. @param {Blob} blob */
export function urlOf(blob) {
  if (!urls.has(blob)) urls.set(blob, URL.createObjectURL(blob));
  return urls.get(blob);
}

function keepOnly(used) {
  for (const [blob, url] of urls) {
    if (used.has(blob)) continue;
    URL.revokeObjectURL(url);
    urls.delete(blob);
  }
}

/** Return the indices of the candidates that an edit would repaint. @param {object} state */
export function selectedOf({ found, choice }) {
  if (!found?.answer.found) return [];
  return choice === null ? found.answer.instances : [choice];
}
