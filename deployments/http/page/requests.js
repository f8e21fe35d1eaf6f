// Makes the service's fields of what the page knows. A request is {texts: [name, value][], files: {name: {blob, name}}}.

import { greyPng, rasterise, union } from "./mask.js";
import { selectedOf } from "./store.js";

const PAINTERS = ["n", "quality", "negative_prompt"]; // besides the seed
const REGIONS = ["mask_shape"];
const DEFAULTS = { n: "1", quality: "auto" };

/** Return the request of a search by words, or by points and the box where there are any. @param {object} state */
export function searchRequest(state) {
  const { target, options, picture } = state;
  const places = placesOf(state);
  const texts = places.length ? places : [["target", target.trim()], ...filled("avoid", options.avoid)];
  return { texts, files: { image: imageOf(picture) } };
}

/**
 * Return the request of an edit.
 * @param {object} state
 * @param {"replace" | "remove"} mode
 * @param {?string} seed of the painting; null where the service paints none
 */
export async function editRequest(state, mode, seed) {
  const { prompt, options, picture } = state;
  const files = { image: imageOf(picture) };
  const texts = mode === "remove" ? [["mode", "remove"]] : [["prompt", prompt.trim()]];
  if (state.strokes.length) {
    files.mask = { blob: await maskOf(state), name: "mask.png" };
    texts.push(["mask_mode", "luminance"]);
  } else {
    texts.push(...regionOf(state));
    for (const name of REGIONS) texts.push(...filled(name, options[name]));
  }
  if (mode === "remove") texts.push(...filled("fill_method", options.fill_method));
  if (seed !== null) {
    for (const name of PAINTERS) if (options[name] !== DEFAULTS[name]) texts.push(...filled(name, options[name]));
    texts.push(["seed", seed]);
  }
  return { texts, files };
}

/** Return whether the state says, beside its words, what is meant. */
export const isPointedAt = ({ points, box, strokes }) => Boolean(points.length || box || strokes.length);

/** Return what a search asks for. @param {object} state */
export const askedOf = ({ target, options, points, box }) => ({ target: target.trim(), avoid: options.avoid.trim(), points, box });

/**
 * Return whether a search would ask for the same thing now. Points and the box count before the words.
 * @param {object} asked as `askedOf` returns it
 * @param {object} state
 */
export function asksStill(asked, state) {
  const { target, avoid, points, box } = askedOf(state);
  if (points.length || box) return asked.points === points && asked.box === box;
  return !asked.points.length && !asked.box && asked.target === target && asked.avoid === avoid;
}

/** Return what is kept of a search; null where the state asks for something else. @param {object} state */
export function keptFound(state) {
  const { found } = state;
  return found && asksStill(found.asked, state) ? { answer: found.answer } : null;
}

function regionOf(state) {
  const { target, options, found, choice } = state;
  const places = placesOf(state);
  // A candidate has its number only in the search that it came from.
  const words = target.trim() ? [["target", target.trim()], ...filled("avoid", options.avoid)] : [];
  const texts = places.length ? places : words;
  if (choice === null || !found || !asksStill(found.asked, state)) return texts;
  // Words can mean all of them even where one was found.
  const single = places.length ? [] : [["all", "false"]];
  return [...texts, ["candidate", String(choice)], ...single];
}

function placesOf({ points, box }) {
  const texts = [];
  if (points.length) {
    texts.push(["points", points.map(({ x, y }) => `${x},${y}`).join("; ")]);
    texts.push(["labels", points.map(({ label }) => label).join(",")]);
  }
  return box ? [...texts, ["box", box.join(",")]] : texts;
}

async function maskOf(state) {
  const { width, height } = state.picture;
  const files = selectedOf(state).map((index) => state.found.answer.candidates[index].mask_b64);
  const base = files.length ? await union(files, width, height) : null;
  return greyPng(rasterise(width, height, base, state.strokes), width, height);
}

const imageOf = ({ blob, name }) => ({ blob, name });

function filled(name, value) {
  return value.trim() ? [[name, value.trim()]] : [];
}

/** Return a new seed. `crypto.randomUUID` and the like are missing on plain HTTP; this is not. */
export const newSeed = () => String(crypto.getRandomValues(new Uint32Array(1))[0]);

/**
 * Return a request that repeats what came of it: with the seed, the steps and the filling that the service chose.
 * @param {object} request
 * @param {object} answer
 */
export function pinned(request, answer) {
  const steps = ["num_inference_steps", String(answer.num_inference_steps)];
  const texts = request.texts.map((text) => (text[0] === "quality" ? steps : text));
  const has = (name) => texts.some(([sent]) => sent === name);
  if (answer.fill_method && !has("fill_method")) texts.push(["fill_method", answer.fill_method]);
  const seeds = [...answer.data, ...(answer.filtered ?? [])].map(({ seed }) => seed).filter((seed) => seed !== null);
  if (seeds.length && !has("seed")) texts.push(["seed", String(Math.min(...seeds))]);
  return { ...request, texts };
}
