// What the keyboard does: everywhere, and with the stage focused.

const TOOLS = { b: "brush", e: "eraser", p: "plus", r: "box", h: "pan" };
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

/**
 * Listen to the keyboard.
 * @param {{store: object, view: object, pointers: object, jobs: object, overlay: object, say: (text: string) => void}} page
 */
export function listenToKeys(page) {
  const { view, pointers } = page;
  document.addEventListener("keydown", (event) => onEverywhere(event, page));
  view.element.addEventListener("keydown", (event) => onStage(event, page));
  document.addEventListener("keyup", (event) => {
    if (event.key === " ") pointers.spaceHeld = false;
    if (event.key.toLowerCase() === "c") holdOriginal(view, false);
  });
  window.addEventListener("blur", () => {
    pointers.spaceHeld = false;
    holdOriginal(view, false);
  });
  view.element.addEventListener("blur", () => showCross(page, null));
}

function onEverywhere(event, { store, jobs, pointers }) {
  if (document.querySelector("dialog[open]")) return;
  const command = event.ctrlKey || event.metaKey;
  const typing = event.target.matches?.("input[type=text], textarea");
  const key = event.key.toLowerCase();
  if (command && event.key === "Enter") {
    event.preventDefault();
    jobs.next();
  } else if (event.key === "Escape" && store.state.job) {
    event.preventDefault();
    jobs.stop();
  } else if (command && !typing && (key === "z" || key === "y")) {
    event.preventDefault();
    pointers.abandon();
    if (key === "y" || event.shiftKey) store.redo();
    else store.undo();
  }
}

function onStage(event, page) {
  if (event.ctrlKey || event.metaKey || event.altKey || !page.store.state.picture) return;
  const handled = onLetter(event, page) || onArrow(event, page) || onEnter(event, page);
  if (handled) event.preventDefault();
}

function onLetter(event, { store, view, pointers }) {
  const { state } = store;
  const key = event.key.toLowerCase();
  const candidates = state.found?.answer.found ? state.found.answer.candidates.length : 0;
  if (/^[1-9]$/.test(key) && Number(key) <= candidates) store.change({ choice: Number(key) - 1, view: "edit" });
  else if (TOOLS[key]) store.set({ tool: TOOLS[key] });
  else if (key === "0") view.fit();
  else if (key === "+" || key === "=") view.zoom(1.25);
  else if (key === "-") view.zoom(0.8);
  else if (key === "[" || key === "]") store.set({ brush: Math.max(2, Math.round(state.brush * (key === "]" ? 1.2 : 1 / 1.2))) });
  else if (key === " ") pointers.spaceHeld = true;
  else if (key === "c") holdOriginal(view, true);
  else if (key === "?") document.getElementById("keys").showModal();
  else return false;
  return true;
}

function onArrow(event, page) {
  const arrow = ARROWS[event.key];
  if (!arrow) return false;
  const { store, overlay, say } = page;
  const { width, height } = store.state.picture;
  const { x, y } = overlay.cross ?? { x: Math.round(width / 2), y: Math.round(height / 2) };
  const step = Math.max(1, Math.round(Math.max(width, height) / 200)) * (event.shiftKey ? 10 : 1);
  const cross = {
    x: Math.min(width - 1, Math.max(0, x + step * arrow[0])),
    y: Math.min(height - 1, Math.max(0, y + step * arrow[1])),
  };
  showCross(page, cross);
  say(`${cross.x} across, ${cross.y} down`);
  return true;
}

function onEnter(event, { overlay, pointers }) {
  if (event.key !== "Enter" || !overlay.cross) return false;
  pointers.tap([overlay.cross.x + 0.5, overlay.cross.y + 0.5], event.shiftKey);
  return true;
}

function showCross({ overlay }, cross) {
  overlay.cross = cross;
  overlay.soon();
}

function holdOriginal(view, held) {
  if (Boolean(view.originalHeld) === held) return;
  view.originalHeld = held;
  view.show();
}
