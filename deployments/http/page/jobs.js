// What takes time: searches and edits, one at a time, with their progress, their failures and Stop.

import { blobOf, edit, Failure, limits, send, starting } from "./api.js";
import { outlineOf } from "./mask.js";
import { askedOf, asksStill, editRequest, isPointedAt, keptFound, newSeed, pinned, searchRequest } from "./requests.js";
import { busySentence, failureSentence, foundSentence, missingSentence, outsideSentence, tooLarge, verdict } from "./words.js";

const MOST_TRIES = 20;
const POLL_MS = 2000;
const POINTING_MS = 120; // several points in a row are one search
const FIELDS = ["target", "prompt", "n", "quality", "seed", "avoid", "negative_prompt", "mask_shape", "fill_method"];

/** Runs searches and edits. An answer that comes after Stop, or after another job began, is dropped. */
export class Jobs {
  /**
   * @param {import("./store.js").Store} store
   * @param {{say: (text: string) => void, cry: (text: string) => void, done: (result: object) => void}} page
   */
  constructor(store, page) {
    this.store = store;
    this.page = page;
    this.count = 0;
    this.controller = null;
    this.last = null; // what Try again repeats
    store.subscribe((state, before) => this.onChange(state, before));
    setInterval(() => this.tick(), 500);
  }

  /** Do what Ctrl+Enter means now. */
  next() {
    const { state } = this.store;
    const focused = document.activeElement?.id;
    if (state.job) return;
    if (focused === "target" || (focused !== "prompt" && nextOf(state) === "find")) this.find();
    else this.paint("replace");
  }

  /** Search for the words of the target. */
  async find() {
    const { state } = this.store;
    if (!state.picture) return;
    if (!state.target.trim()) {
      this.complain("target", "Say what to find, such as “the cactus”.");
      return;
    }
    if (state.points.length || state.box) this.store.change({ points: [], box: null });
    this.last = () => this.find();
    await this.run("find", (job) => this.search(job));
  }

  /** Search again where points or the box have changed, and give up what another picture makes useless. */
  onChange(state, before) {
    if (state.picture !== before.picture && state.job) {
      this.abort();
      this.store.set({ job: null });
    }
    this.dropStale(state, before);
    if (state.points === before.points && state.box === before.box) return;
    clearTimeout(this.pointing);
    const { points, box, found } = state;
    if (!points.length && !box) return;
    if (found && asksStill(found.asked, state)) return;
    if (!box && !points.some(({ label }) => label)) {
      this.store.set({ notice: { text: "Mark a place that is on it, too." } });
      return;
    }
    if (state.job?.kind === "paint") {
      this.store.set({ found: null, choice: null }); // to search would end the painting
      return;
    }
    this.last = () => this.run("find", (job) => this.search(job));
    this.pointing = setTimeout(this.last, POINTING_MS);
  }

  /** Give up a search, and what it found, where something else is asked for by now. */
  dropStale(state, before) {
    const { job, found, notice, points, box } = state;
    if (job?.kind === "find" && !asksStill(job.asked, state)) {
      this.abort();
      this.store.set({ job: null, notice: notice?.busy ? null : notice });
    }
    // Under new points the old outline stays until their own one comes.
    if (found && !points.length && !box && !asksStill(found.asked, state)) this.store.set({ found: null, choice: null });
    if (before.found && !found && notice?.actions?.includes("use-place")) this.store.set({ notice: null });
  }

  async search(job) {
    const { state } = this.store;
    const answer = await send("v1/locate", searchRequest(state), job.signal);
    return this.foundPatch(answer, state.picture, askedOf(state));
  }

  async foundPatch(answer, picture, asked) {
    const shapes = await Promise.all(
      answer.candidates.map(({ mask_b64 }) => outlineOf(mask_b64, picture.width, picture.height)),
    );
    const found = { answer, shapes, asked };
    const text = answer.found ? foundSentence(answer) : missingSentence(answer);
    const actions = answer.found ? [] : ["use-place", "point", "box"];
    const patch = { found, choice: null, view: "edit" };
    return { patch, after: { notice: { text, actions }, heat: !answer.found }, spoken: text, undoable: !asked.points.length && !asked.box };
  }

  /** Repaint what is meant, or remove it. @param {"replace" | "remove"} mode */
  async paint(mode, fresh = false) {
    const { state } = this.store;
    if (!state.picture) return;
    if (mode === "replace" && !state.prompt.trim()) {
      this.complain("prompt", "Say what to paint, such as “a lemon”.");
      return;
    }
    if (mode === "remove" && !state.target.trim() && !isPointedAt(state)) {
      this.complain("target", "Say what to remove, or point at it.");
      return;
    }
    // Drawn here, so that an answer that was lost can be asked for again.
    const seed = (fresh ? "" : state.options.seed.trim()) || newSeed();
    this.last = () => this.run("paint", (job) => this.editOf(job, mode, seed));
    await this.last();
  }

  async editOf(job, mode, seed) {
    const { state } = this.store;
    const painted = mode === "replace" || state.options.fill_method === "painter";
    let request = await editRequest(state, mode, painted ? seed : null);
    let answer;
    try {
      answer = await this.edited(job, request);
    } catch (failure) {
      // The words of a prompt can ask for a removal, which takes no seed; nobody asked for this one.
      if (failure.param !== "seed" || state.options.seed.trim()) throw failure;
      request = await editRequest(state, mode, null);
      answer = await this.edited(job, request);
    }
    const result = resultOf(state, mode, pinned(request, answer), answer);
    const text = `${verdict(result, 0)} ${outsideSentence(answer)}`;
    return { patch: { result, shown: 0, view: "result" }, after: { compare: 100, notice: { text, brief: true }, heat: false }, spoken: text, undoable: true, result };
  }

  edited(job, request) {
    const onProgress = ({ stage, done, total }) => job.update({ stage, done, total });
    return edit(request, { signal: job.signal, onProgress, onPartial: (preview) => job.update({ preview }) });
  }

  /** Stop what is under way. */
  stop() {
    if (!this.store.state.job) return;
    this.abort();
    this.store.set({ job: null, notice: { text: "Stopped. Nothing has changed.", brief: true } });
    this.page.say("Stopped. Nothing has changed.");
  }

  abort() {
    this.count++;
    this.controller?.abort();
    this.controller = null;
  }

  /** Try again what failed last. */
  retry() {
    if (this.last) this.last();
    else this.store.set({ notice: null });
  }

  async run(kind, work) {
    clearTimeout(this.pointing);
    this.abort();
    const number = this.count;
    const controller = (this.controller = new AbortController());
    const isMine = () => this.count === number;
    const update = (patch) => isMine() && this.store.set({ job: { ...this.store.state.job, ...patch }, notice: null });
    const asked = askedOf(this.store.state);
    const job = { kind, asked, stage: null, done: 0, total: 0, preview: null, started: performance.now() };
    this.store.set({ job, notice: null, problem: null });
    this.page.say(busySentence(job).replace(/ 0 s$/, ""));
    try {
      const outcome = await this.insist(work, { signal: controller.signal, update }, isMine);
      if (isMine()) this.conclude(outcome);
    } catch (failure) {
      if (isMine()) await this.fail(failure, asked, isMine);
    }
  }

  conclude({ patch, after, spoken, undoable, result }) {
    if (undoable) this.store.change(patch);
    else this.store.set(patch);
    this.store.set({ ...after, job: null });
    this.page.say(spoken);
    if (result) this.page.done(result);
  }

  /** Do the work, again and again while the service is busy or still starting. */
  async insist(work, job, isMine) {
    for (let tries = 1; ; tries++) {
      try {
        return await work(job);
      } catch (failure) {
        if (!isMine() || tries >= MOST_TRIES) throw failure;
        if (failure.code === "overloaded") await this.countDown(failure.waitMs ?? 1000, isMine);
        else if (failure.code === "not_ready") await this.untilReady(isMine);
        else throw failure;
      }
      if (!isMine()) throw new Failure({ code: "stopped" });
    }
  }

  async countDown(waitMs, isMine) {
    const end = performance.now() + waitMs;
    for (let left = waitMs; left > 0 && isMine(); left = end - performance.now()) {
      const text = `Busy. Trying again in ${Math.ceil(left / 1000)} s.`;
      this.store.set({ notice: { text, busy: true } });
      await pause(Math.min(left, 250));
    }
    if (isMine()) this.store.set({ notice: null });
  }

  /** Wait until every stage would answer. @param {() => boolean} goesOn */
  async untilReady(goesOn = () => true) {
    for (;;) {
      const waiting = await starting();
      if (!goesOn() || !waiting.length) return;
      const text = `The models are starting: ${waiting.join(", ")}. Trying again.`;
      this.store.set({ notice: { text, busy: true, waiting: true } });
      this.page.say(text);
      await pause(POLL_MS);
      if (!goesOn()) return;
    }
  }

  async fail(failure, asked, isMine) {
    this.controller = null;
    if (!(failure instanceof Failure)) {
      console.error(failure);
      failure = new Failure({ code: "page", message: "Something went wrong on this page." });
    }
    if (failure.code === "target_not_found" && failure.location && asksStill(asked, this.store.state)) {
      const outcome = await this.foundPatch(failure.location, this.store.state.picture, asked);
      if (isMine()) this.conclude(outcome);
      return;
    }
    const large = failure.code === "image_too_large" && (await this.measured());
    if (!isMine()) return;
    const text = large || failureSentence(failure);
    const field = FIELDS.includes(failure.param) ? failure.param : null;
    const again = failure.status === 0 || failure.status >= 500 || failure.code === "unreachable";
    const notice = { kind: "error", text, actions: large ? ["shrink"] : again ? ["retry"] : [] };
    this.store.set({ job: null, notice, problem: field && { field, text } });
    this.page.cry(text);
    if (failure.code === "unreachable") this.awaitReturn(notice);
  }

  /** Return why the picture is too large by the limits that are in force now, which may have changed. */
  async measured() {
    this.store.set({ limits: await limits().catch(() => null) });
    return tooLarge(this.store.state.picture, this.store.state.limits);
  }

  /** Say when the service can be reached again. */
  async awaitReturn(notice) {
    while (this.store.state.notice === notice) {
      await pause(POLL_MS);
      const back = await starting().then(() => true, () => false);
      if (!back || this.store.state.notice !== notice) continue;
      this.store.set({ notice: { text: "The service is back. Your work is kept.", actions: ["retry"] } });
      this.page.say("The service is back.");
    }
  }

  complain(field, text) {
    this.store.set({ problem: { field, text } });
    this.page.cry(text);
    document.getElementById(field).focus();
  }

  tick() {
    const { job } = this.store.state;
    if (job) this.store.set({ job: { ...job } });
  }
}

/** Return what the one next action is: "find", "paint" or "stop". @param {object} state */
export function nextOf(state) {
  if (state.job) return "stop";
  if (isPointedAt(state) || state.found?.answer.found || !state.target.trim()) return "paint";
  return "find";
}

function resultOf(state, mode, request, answer) {
  const { picture, target, prompt, options, points, box, strokes, choice } = state;
  const images = answer.data.map(({ b64_json, seed, score }) => ({ blob: blobOf(b64_json, answer.output_format), seed, score }));
  const { data, candidates, mask_b64, b64_json, ...rest } = answer;
  const words = { target, prompt, options };
  const sketch = { points, box, strokes, choice, found: keptFound(state) };
  return { id: Date.now(), mode, picture, words, sketch, request, images, answer: rest };
}

const pause = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));
