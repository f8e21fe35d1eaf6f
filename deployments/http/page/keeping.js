// Keeps the work in the browser, so that a reload loses nothing: the last edits, and what this tab is at.

import { keptFound } from "./requests.js";

const DATABASE = "retouch";
const MOST_ENTRIES = 20;
const MOST_SESSIONS = 4;
const WAIT_MS = 300;
const KEPT = ["target", "prompt", "options", "tool", "brush", "points", "box", "strokes", "choice", "shown", "view", "compare"];

/** The place where work is kept. Where the browser has none, such as in a private window, everything still works. */
export class Keeping {
  /** @param {import("./store.js").Store} store */
  constructor(store) {
    this.store = store;
    this.tab = tabName();
    this.packed = null; // the picture as it is kept
    this.ready = opened().catch(() => null);
  }

  /** Return what was kept: {session, history}. */
  async load() {
    const [sessions, entries] = await Promise.all([this.all("sessions"), this.all("entries")]);
    const session = sessions.find(({ tab }) => tab === this.tab);
    const others = sessions.filter(({ tab }) => tab !== this.tab).sort((a, b) => b.time - a.time);
    for (const { tab } of others.slice(MOST_SESSIONS)) await this.remove("sessions", tab);
    const history = entries.sort((a, b) => b.id - a.id).map(unpackedResult);
    if (!session) return { session: null, history };
    const picture = session.picture && unpacked(session.picture);
    const result = history.find((entry) => entry.id === session.resultId) ?? null;
    const view = result ? session.view : "edit";
    return { session: { ...session, picture, result, view }, history };
  }

  /** Write down, soon, what the tab is at. */
  later() {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.now(), WAIT_MS);
  }

  /** Write down what the tab is at. */
  async now() {
    clearTimeout(this.timer);
    const { state } = this.store;
    if (!state.picture) return;
    const { picture, result, history } = state;
    if (this.packed?.blob !== picture.blob) this.packed = { blob: picture.blob, value: await packed(picture) };
    const session = Object.fromEntries(KEPT.map((name) => [name, state[name]]));
    session.picture = this.packed.value;
    session.found = keptFound(state);
    session.resultId = history.find(({ id }) => id === result?.id)?.id ?? null;
    session.tab = this.tab;
    session.time = Date.now();
    await this.put("sessions", session);
  }

  /** Add an edit to the history. @param {object} result */
  async add(result) {
    this.store.set({ history: [result, ...this.store.state.history].slice(0, MOST_ENTRIES) });
    await this.put("entries", await packedResult(result));
    const ids = ((await this.request("entries", "readonly", (table) => table.getAllKeys())) ?? []).sort((a, b) => b - a);
    for (const id of ids.slice(MOST_ENTRIES)) await this.remove("entries", id);
  }

  /** Forget all edits, and what was kept of the tabs. */
  async forget() {
    this.store.set({ history: [] });
    for (const name of ["entries", "sessions"]) await this.request(name, "readwrite", (table) => table.clear());
    this.later();
  }

  remove(name, key) {
    return this.request(name, "readwrite", (table) => table.delete(key));
  }

  async all(name) {
    return (await this.request(name, "readonly", (table) => table.getAll())) ?? [];
  }

  put(name, value) {
    return this.request(name, "readwrite", (table) => table.put(value));
  }

  async request(name, mode, ask) {
    const database = await this.ready;
    if (!database) return null;
    try {
      return await settled(ask(database.transaction(name, mode).objectStore(name)));
    } catch {
      return null; // no room, or the browser took the place away
    }
  }
}

async function opened() {
  const request = indexedDB.open(DATABASE, 1);
  request.onupgradeneeded = () => {
    request.result.createObjectStore("entries", { keyPath: "id" });
    request.result.createObjectStore("sessions", { keyPath: "tab" });
  };
  return settled(request);
}

function settled(request) {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}

function tabName() {
  const fresh = () => Array.from(crypto.getRandomValues(new Uint32Array(2)), (word) => word.toString(36)).join("");
  try {
    const name = sessionStorage.getItem("retouch.tab") ?? fresh();
    sessionStorage.setItem("retouch.tab", name);
    return name;
  } catch {
    return fresh();
  }
}

// Bytes and not Blobs: some browsers lose Blobs that they keep.
async function packed({ blob, ...rest }) {
  return { ...rest, type: blob.type, bytes: await blob.arrayBuffer() };
}

function unpacked({ bytes, type, ...rest }) {
  return { ...rest, blob: new Blob([bytes], { type }) };
}

async function packedResult(result) {
  const { picture, images, request } = result;
  const mask = request.files.mask && (await packed(request.files.mask));
  return {
    ...result,
    picture: await packed(picture),
    images: await Promise.all(images.map(packed)),
    request: { texts: request.texts, mask },
  };
}

function unpackedResult(row) {
  const picture = unpacked(row.picture);
  const { texts, mask } = row.request;
  const files = { image: { blob: picture.blob, name: picture.name }, ...(mask && { mask: unpacked(mask) }) };
  return { ...row, picture, images: row.images.map(unpacked), request: { texts, files } };
}
