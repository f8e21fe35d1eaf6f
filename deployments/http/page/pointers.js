// What fingers, pens and mice do to the picture on its stage.

import { badgesOf } from "./overlay.js";
import { selectedOf } from "./store.js";

const TAP_PX = 6; // a pointer that moves less taps
const TOUCH_WAIT_MS = 60; // before a finger draws, since it may be the first of two
const REACH_PX = 16; // around a point or a number, within which a tap means it
const DRAWING = ["brush", "eraser"];

/** The pointers on the stage. */
export class Pointers {
  /**
   * @param {import("./view.js").View} view
   * @param {import("./overlay.js").Overlay} overlay
   * @param {import("./store.js").Store} store
   */
  constructor(view, overlay, store) {
    [this.view, this.element, this.overlay, this.store] = [view, view.element, overlay, store];
    this.pointers = new Map();
    this.action = null; // what the one pointer does
    this.pinch = null; // what two do
    this.lastEnd = null; // where the last stroke ended
    this.penSeen = false;
    this.spaceHeld = false;
    this.listen();
  }

  listen() {
    const { element } = this;
    element.addEventListener("pointerdown", (event) => this.down(event));
    element.addEventListener("pointermove", (event) => this.move(event));
    element.addEventListener("pointerup", (event) => this.up(event));
    element.addEventListener("pointercancel", (event) => this.drop(event));
    element.addEventListener("pointerleave", () => this.hover(null));
    element.addEventListener("contextmenu", (event) => this.store.state.picture && event.preventDefault());
    element.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
  }

  down(event) {
    const { picture, tool } = this.store.state;
    if (!picture) return;
    const at = this.view.placeOf(event);
    this.element.focus({ preventScroll: true });
    this.overlay.cross = null;
    this.pointers.set(event.pointerId, at);
    try {
      this.element.setPointerCapture(event.pointerId);
    } catch {
      // the pointer has gone already
    }
    if (event.pointerType === "pen") this.penSeen = true;
    if (this.pointers.size > 1) {
      this.abandon();
      this.startPinch();
      return;
    }
    const touch = event.pointerType === "touch";
    const moves = event.button === 1 || this.spaceHeld || (touch && this.penSeen);
    const kind = moves ? "pan" : tool;
    const opposite = event.button === 2 || event.altKey;
    this.action = { kind, start: at, last: at, opposite, moved: false, view: this.overlay.view };
    if (DRAWING.includes(kind)) this.startStroke(kind, at, touch, event.shiftKey);
  }

  startStroke(kind, at, touch, straight) {
    const path = straight && this.lastEnd ? [...this.lastEnd, ...this.view.toPicture(at)] : this.view.toPicture(at);
    const stroke = { erase: (kind === "eraser") !== this.action.opposite, size: this.store.state.brush, path };
    Object.assign(this.action, { stroke, waiting: touch });
    if (touch) this.action.timer = setTimeout(() => this.startDrawing(), TOUCH_WAIT_MS);
    else this.startDrawing();
  }

  startDrawing() {
    if (!this.action?.stroke || this.action.drawing) return;
    clearTimeout(this.action.timer);
    this.action.drawing = true;
    this.overlay.begin(this.action.stroke);
  }

  move(event) {
    const at = this.view.placeOf(event);
    this.hover(at);
    if (!this.pointers.has(event.pointerId)) return;
    this.pointers.set(event.pointerId, at);
    if (this.pinch) this.movePinch();
    const { action } = this;
    if (!action) return;
    action.moved ||= Math.hypot(at[0] - action.start[0], at[1] - action.start[1]) >= TAP_PX;
    action.last = at;
    if (action.stroke) this.draw(event);
    else if (action.kind === "pan") {
      this.view.place(action.view.scale, action.view.x + at[0] - action.start[0], action.view.y + at[1] - action.start[1]);
    } else if (action.kind === "box" && action.moved) {
      this.overlay.draft = boxBetween(this.view.toPicture(action.start), this.view.toPicture(at), this.store.state.picture);
      this.overlay.soon();
    }
  }

  draw(event) {
    const { action } = this;
    const from = action.stroke.path.length / 2;
    const events = event.getCoalescedEvents?.() ?? [];
    for (const each of events.length ? events : [event]) action.stroke.path.push(...this.view.toPicture(this.view.placeOf(each)));
    if (action.moved && !action.drawing) this.startDrawing();
    else if (action.drawing) this.overlay.extend(from);
  }

  up(event) {
    this.pointers.delete(event.pointerId);
    if (!this.pointers.size) this.pinch = null;
    const { action } = this;
    if (!action) return;
    this.action = null;
    clearTimeout(action.timer);
    if (action.stroke) this.addStroke(action.stroke);
    else if (action.kind === "box" && action.moved) this.finishBox(this.view.toPicture(action.start), this.view.toPicture(action.last));
    else if (!action.moved && action.kind !== "pan") this.tap(this.view.toPicture(action.start), action.opposite);
  }

  drop(event) {
    this.pointers.delete(event.pointerId);
    if (!this.pointers.size) this.pinch = null;
    this.abandon();
  }

  /** Take back what a pointer has begun and not ended. */
  abandon() {
    if (!this.action) return;
    clearTimeout(this.action.timer);
    this.action = null;
    this.overlay.draft = null;
    this.overlay.begin(null);
  }

  addStroke(stroke) {
    this.overlay.live = null;
    this.lastEnd = stroke.path.slice(-2);
    this.store.change({ strokes: [...this.store.state.strokes, stroke], view: "edit" });
  }

  startPinch() {
    const [a, b] = [...this.pointers.values()];
    this.pinch = { middle: middle(a, b), distance: distance(a, b), view: this.overlay.view };
  }

  movePinch() {
    const [a, b] = [...this.pointers.values()];
    if (!b) return;
    const { middle: [fromX, fromY], distance: from, view } = this.pinch;
    const [toX, toY] = middle(a, b);
    const scale = (view.scale * distance(a, b)) / from;
    this.view.place(scale, toX - ((fromX - view.x) * scale) / view.scale, toY - ((fromY - view.y) * scale) / view.scale);
  }

  wheel(event) {
    if (!event.ctrlKey || !this.store.state.picture) return;
    event.preventDefault(); // or the browser zooms the page
    this.view.zoom(Math.exp(-event.deltaY / 200), this.view.placeOf(event));
  }

  hover(at) {
    this.overlay.cursor = at && this.store.state.picture ? pointOf(this.view.toPicture(at)) : null;
    this.overlay.soon();
  }

  /**
   * Use the tool at a place of the picture.
   * @param {[number, number]} place in pixels of the picture
   * @param {boolean} opposite not this instead of this
   */
  tap([x, y], opposite = false) {
    const { tool, picture, points, brush } = this.store.state;
    if (DRAWING.includes(tool)) {
      this.addStroke({ erase: (tool === "eraser") !== opposite, size: brush, path: [x, y] });
    } else if (tool === "box") {
      this.tapCorner([x, y]);
    } else if (tool === "plus" || tool === "minus") {
      const near = points.find((point) => this.isNear([point.x, point.y], [x, y]));
      if (near) this.store.change({ points: points.filter((point) => point !== near), view: "edit" });
      else if (!this.choose(x, y)) this.addPoint(inside(picture, x, y), (tool === "plus") !== opposite ? 1 : 0);
    }
  }

  tapCorner(place) {
    const { corner } = this.overlay;
    this.overlay.corner = corner ? null : place;
    this.overlay.soon();
    if (corner) this.finishBox(corner, place);
  }

  finishBox(from, to) {
    this.overlay.draft = this.overlay.corner = null;
    this.overlay.soon();
    const box = boxBetween(from, to, this.store.state.picture);
    if (box) this.store.change({ box, view: "edit" });
  }

  /** Choose the candidate whose number or outline is at a place; return whether there is one to choose. */
  choose(x, y) {
    const { found, points, choice } = this.store.state;
    if (!found?.answer.found || found.shapes.length < 2) return false;
    const selected = selectedOf(this.store.state);
    const { overlay } = this;
    overlay.context.resetTransform();
    const within = (index) => overlay.context.isPointInPath(found.shapes[index], x, y, "evenodd");
    let index = badgesOf(found.answer, overlay.view.scale).findIndex((place) => this.isNear(place, [x, y]));
    if (index < 0 && !points.length && !selected.some(within)) index = found.shapes.findIndex((_, i) => within(i));
    if (index < 0) return false;
    if (index !== choice) this.store.change({ choice: index, view: "edit" });
    return true;
  }

  addPoint([x, y], label) {
    const { points, box, found } = this.store.state;
    const patch = { points: [...points, { x, y, label }], view: "edit" };
    // Something has to be on it: a first point that is not takes the rest of what was found.
    const [index] = selectedOf(this.store.state);
    if (!label && !box && !points.some((point) => point.label) && index !== undefined) patch.box = found.answer.candidates[index].box;
    this.store.change(patch);
  }

  isNear(a, b) {
    return Math.hypot(a[0] - b[0], a[1] - b[1]) * this.overlay.view.scale <= REACH_PX;
  }
}

const middle = (a, b) => [(a[0] + b[0]) / 2, (a[1] + b[1]) / 2];
const distance = (a, b) => Math.max(1, Math.hypot(a[0] - b[0], a[1] - b[1]));
const pointOf = ([x, y]) => ({ x, y });

function inside({ width, height }, x, y) {
  return [Math.min(width - 1, Math.max(0, Math.floor(x))), Math.min(height - 1, Math.max(0, Math.floor(y)))];
}

function boxBetween([ax, ay], [bx, by], { width, height }) {
  const box = [
    Math.max(0, Math.floor(Math.min(ax, bx))),
    Math.max(0, Math.floor(Math.min(ay, by))),
    Math.min(width, Math.ceil(Math.max(ax, bx))),
    Math.min(height, Math.ceil(Math.max(ay, by))),
  ];
  return box[2] - box[0] >= 2 && box[3] - box[1] >= 2 ? box : null;
}
