// Puts the page together: the store, the stage, the panels, and what comes from outside.

import { limits } from "./api.js";
import { Jobs } from "./jobs.js";
import { Keeping } from "./keeping.js";
import { listenToKeys } from "./keys.js";
import { outlineOf } from "./mask.js";
import { Opener } from "./opening.js";
import { Overlay } from "./overlay.js";
import { on, Panel, recall, remember } from "./panel.js";
import { Pointers } from "./pointers.js";
import { askedOf } from "./requests.js";
import { Results } from "./results.js";
import { Snippets } from "./snippets.js";
import { INITIAL, Store } from "./store.js";
import { View } from "./view.js";
import { Voice } from "./voice.js";

const $ = (id) => document.getElementById(id);
const BRIEF_MS = 4000;

const store = new Store();
const voice = new Voice($("status"), $("alert"));
const keeping = new Keeping(store);
const opener = new Opener(store);
const overlay = new Overlay($("overlay"), store);
const view = new View($("stage"), overlay, store);
const pointers = new Pointers(view, overlay, store);
const say = (text) => voice.say(text);
const jobs = new Jobs(store, { say, cry: (text) => voice.cry(text), done });
new Panel({ store, jobs, view, overlay, opener });
new Results({ store, jobs, opener, keeping, snippets: new Snippets(), restore });
listenToKeys({ store, jobs, view, pointers, overlay, say });

const onPhone = () => matchMedia("(max-width: 860px)").matches;

store.subscribe((state, before) => {
  const { notice } = state;
  if (state.picture !== before.picture) view.fit();
  else view.show();
  if (onPhone() && ((state.job && !before.job) || (notice?.actions?.length && notice !== before.notice))) scrollTo(0, 0);
  const { job: _job, notice: _notice, problem: _problem, limits: _limits, ...kept } = state;
  if (Object.keys(kept).some((name) => kept[name] !== before[name])) keeping.later();
  if (notice?.brief && notice !== before.notice) setTimeout(() => store.state.notice === notice && store.set({ notice: null }), BRIEF_MS);
});

/** Keep a result, and bring what is said of it into sight; the picture stays where it is. */
function done(result) {
  keeping.add(result);
  const behavior = matchMedia("(prefers-reduced-motion: reduce)").matches ? "auto" : "smooth";
  requestAnimationFrame(() => onPhone() || $("results").scrollIntoView({ block: "nearest", behavior }));
}

/** Show an edit of the history again: its picture, its words, its seed, what was marked and what came of it. */
async function restore(entry) {
  const { picture, words, sketch } = entry;
  const { found, ...marks } = sketch;
  const [, seed = ""] = entry.request.texts.find(([name]) => name === "seed") ?? [];
  const turn = ++opener.turn;
  const outlined = await foundAgain(found, picture, { ...words, ...marks });
  if (turn !== opener.turn) return;
  jobs.abort();
  store.change({ ...marks, picture, found: outlined, result: entry, shown: 0, view: "result" });
  store.set({ target: words.target, prompt: words.prompt, options: { ...words.options, seed }, compare: 100, job: null, notice: null, problem: null });
}

async function foundAgain(found, picture, asker) {
  if (!found) return null;
  const { answer } = found;
  const shapes = await Promise.all(answer.candidates.map(({ mask_b64 }) => outlineOf(mask_b64, picture.width, picture.height)));
  return { answer, shapes, asked: askedOf(asker) };
}

async function start() {
  store.set({});
  const asked = limits().then((now) => store.set({ limits: now }), () => {});
  const { turn } = opener;
  const { session, history } = await keeping.load();
  const { found, resultId, tab, time, ...kept } = session ?? {};
  const outlined = session?.picture ? await foundAgain(found, session.picture, kept) : null;
  // What was chosen while this was loaded is newer.
  if (session?.picture && turn === opener.turn) {
    store.restart({ ...INITIAL, ...kept, history, limits: store.state.limits, found: outlined });
  } else {
    store.set({ history });
  }
  document.body.classList.add("ready");
  await asked;
  await jobs.untilReady().catch(() => {});
  if (store.state.notice?.waiting) store.set({ notice: null });
}

// Pictures from outside.

on($("choose"), "click", () => $("file").click());
on($("change-picture"), "click", () => $("file").click());
on($("sample"), "click", async () => {
  const response = await fetch("page/sample.webp").catch(() => null);
  if (response?.ok) opener.open(await response.blob(), { name: "sample.webp", sample: true, own: false });
  else store.set({ notice: { kind: "error", text: "The service cannot be reached. Your work is kept.", actions: [] } });
});
$("file").addEventListener("change", ({ target }) => {
  if (target.files.length) opener.open(target.files[0]);
  target.value = "";
});
document.addEventListener("paste", ({ clipboardData, target }) => {
  const [file] = clipboardData?.files ?? [];
  if (file && !target.matches?.("input[type=text]")) opener.open(file, { name: file.name || "pasted.png", own: false });
});

let dragged = 0;
const showDrop = (shown) => ($("drop").hidden = !shown);
document.addEventListener("dragenter", (event) => {
  event.preventDefault();
  showDrop(++dragged > 0 && event.dataTransfer.types.includes("Files"));
});
document.addEventListener("dragleave", () => showDrop(--dragged > 0));
document.addEventListener("dragover", (event) => event.preventDefault());
document.addEventListener("drop", (event) => {
  event.preventDefault();
  dragged = 0;
  showDrop(false);
  const [file] = event.dataTransfer.files;
  if (file) opener.open(file);
});

// Light and dark.

const THEMES = ["system", "light", "dark"];

function showTheme(theme) {
  document.documentElement.dataset.theme = theme;
  $("theme").setAttribute("aria-label", `Colours: ${theme}`);
  $("theme").title = `Colours: ${theme}`;
}

showTheme(THEMES.find((name) => name === recall("retouch.theme")) ?? "system");
on($("theme"), "click", () => {
  const theme = THEMES[(THEMES.indexOf(document.documentElement.dataset.theme) + 1) % THEMES.length];
  remember("retouch.theme", theme);
  showTheme(theme);
});
on($("keys-button"), "click", () => $("keys").showModal());
window.addEventListener("pagehide", () => keeping.now());

start();
