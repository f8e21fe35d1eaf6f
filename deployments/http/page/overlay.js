// Draws what lies over the picture: what will be repainted, the other candidates, heat, points, the box and cursors.

import { badge, BADGE, BLUE, colourOf, cross, ring, pin, sign } from "./signs.js";
import { selectedOf } from "./store.js";

const HEAT = [230, 40, 60];

/** The canvas over the picture. It is as large as the stage, however large the picture. */
export class Overlay {
  /**
   * @param {HTMLCanvasElement} canvas
   * @param {import("./store.js").Store} store
   */
  constructor(canvas, store) {
    this.canvas = canvas;
    this.store = store;
    this.context = canvas.getContext("2d");
    // What is marked, the same grown a little for a white edge and a little more for a black one, and the edges made of them.
    [this.mask, this.inner, this.outer, this.edge] = Array.from({ length: 4 }, () =>
      document.createElement("canvas").getContext("2d"),
    );
    this.view = { scale: 1, x: 0, y: 0 };
    this.cursor = null; // {x, y} in pixels of the picture, for the ring of the brush
    this.cross = null; // the cross-hair of the keyboard
    this.corner = null; // the first corner of a box
    this.draft = null; // the box that is being drawn
    this.live = null; // the stroke that is being drawn
    this.hint = null; // the candidate that is pointed at in the list
    this.heatImage = null;
    this.frame = 0;
  }

  /** Take over the size of the stage, in pixels of the page. */
  resize(width, height) {
    this.ratio = Math.min(window.devicePixelRatio || 1, 2);
    for (const { canvas } of [this.context, this.mask, this.inner, this.outer, this.edge]) {
      canvas.width = Math.round(width * this.ratio);
      canvas.height = Math.round(height * this.ratio);
    }
    this.draw();
  }

  /** Draw all of it anew with the next frame. */
  draw() {
    this.stale = true;
    this.soon();
  }

  /** Draw again with the next frame what lies on top; what is marked has not changed. */
  soon() {
    this.frame ||= requestAnimationFrame(() => {
      this.frame = 0;
      if (this.stale) this.markAll();
      this.stale = false;
      this.compose();
    });
  }

  /** Begin to draw a stroke, or end it with null. @param {?import("./store.js").Stroke} stroke */
  begin(stroke) {
    this.live = stroke;
    if (stroke) this.extend(0);
    else this.draw();
  }

  /** Draw the stroke that is being drawn from its point number `from` on: the brush never waits for the rest. */
  extend(from) {
    if (!this.stale) this.marked((context, grow) => this.stroke(context, grow, this.live, from));
    this.soon();
  }

  markAll() {
    const { state } = this.store;
    this.marked((context, grow) => {
      context.save();
      context.resetTransform();
      context.clearRect(0, 0, context.canvas.width, context.canvas.height);
      context.restore();
      for (const index of selectedOf(state)) {
        const shape = state.found.shapes[index];
        context.fill(shape, "evenodd");
        context.lineWidth = 2 * grow;
        if (grow) context.stroke(shape);
      }
      for (const stroke of this.live ? [...state.strokes, this.live] : state.strokes) this.stroke(context, grow, stroke, 0);
    });
  }

  marked(draw) {
    const pixel = 1 / this.view.scale;
    const layers = [[this.mask, 0, "#000"], [this.inner, 1.75 * pixel, "#fff"], [this.outer, 3.25 * pixel, "#000"]];
    for (const [context, grow, colour] of layers) {
      this.aim(context);
      context.fillStyle = context.strokeStyle = colour;
      context.lineCap = context.lineJoin = "round";
      draw(context, grow);
    }
  }

  stroke(context, grow, { erase, size, path }, from) {
    context.globalCompositeOperation = erase ? "destination-out" : "source-over";
    context.lineWidth = Math.max(0.1, size + (erase ? -2 : 2) * grow);
    context.beginPath();
    const first = Math.max(0, from - 1);
    context.moveTo(path[2 * first], path[2 * first + 1]);
    for (let i = 2 * first; i < path.length; i += 2) context.lineTo(path[i] + 0.01, path[i + 1]); // a line of no length is not drawn
    context.stroke();
    context.globalCompositeOperation = "source-over";
  }

  aim(context) {
    const { scale, x, y } = this.view;
    context.setTransform(scale * this.ratio, 0, 0, scale * this.ratio, x * this.ratio, y * this.ratio);
  }

  compose() {
    const { context } = this;
    const { state } = this.store;
    context.resetTransform();
    context.clearRect(0, 0, this.canvas.width, this.canvas.height);
    const covered = state.view === "result" || state.job?.preview;
    if (!state.picture || covered) return;
    this.aim(context);
    if (state.heat && state.found?.answer.heat) this.drawHeat(state);
    if (selectedOf(state).length || state.strokes.length || this.live) this.dim(state);
    this.drawOthers(state);
    this.drawPlaces(state);
    this.drawCursors(state);
  }

  dim({ picture }) {
    const { context, edge } = this;
    context.fillStyle = "rgb(8 8 12 / 0.5)";
    context.fillRect(0, 0, picture.width, picture.height);
    context.resetTransform();
    context.globalCompositeOperation = "destination-out";
    context.drawImage(this.mask.canvas, 0, 0);
    context.globalCompositeOperation = "source-over";
    edge.globalCompositeOperation = "copy";
    edge.drawImage(this.outer.canvas, 0, 0);
    edge.globalCompositeOperation = "source-over";
    edge.drawImage(this.inner.canvas, 0, 0);
    edge.globalCompositeOperation = "destination-out";
    edge.drawImage(this.mask.canvas, 0, 0);
    context.drawImage(edge.canvas, 0, 0);
    this.aim(context);
  }

  drawHeat({ found, picture }) {
    if (this.heatOf !== found) {
      this.heatOf = found;
      this.heatImage = heatCanvas(found.answer.heat);
    }
    this.context.drawImage(this.heatImage, 0, 0, picture.width, picture.height);
  }

  drawOthers(state) {
    const { found } = state;
    if (!found?.answer.found || found.shapes.length < 2) return;
    const { context } = this;
    const selected = selectedOf(state);
    const { candidates } = found.answer;
    const places = selected.map((index) => String(candidates[index].point));
    const pixel = 1 / this.view.scale;
    found.shapes.forEach((shape, index) => {
      // Other outlines of the same thing would hide the chosen one; they show while they are pointed at.
      if (selected.includes(index) || (places.includes(String(candidates[index].point)) && index !== this.hint)) return;
      for (const [width, colour, dash] of [[4, "#fff", []], [2.5, colourOf(index), [6 * pixel, 4 * pixel]]]) {
        context.setLineDash(dash);
        context.lineWidth = width * pixel;
        context.strokeStyle = colour;
        context.stroke(shape);
      }
    });
    context.setLineDash([]);
    badgesOf(found.answer, this.view.scale).forEach(([x, y], index) => {
      this.at(x, y, (at) => badge(at, String(index + 1), selected.includes(index) ? "#111" : colourOf(index)));
    });
  }

  drawPlaces({ found, points, box }) {
    for (const { x, y, label } of points) this.at(x + 0.5, y + 0.5, (at) => sign(at, label));
    for (const shown of [box, this.draft]) if (shown) this.frameOf(shown);
    if (this.corner) this.at(...this.corner, (at) => sign(at, null));
    if (found && !found.answer.found) this.at(...found.answer.point, pin);
  }

  drawCursors({ tool, brush }) {
    const place = this.cross ?? this.cursor;
    if (place && (tool === "brush" || tool === "eraser")) this.at(place.x, place.y, (at) => ring(at, (brush / 2) * this.view.scale));
    if (this.cross) this.at(this.cross.x + 0.5, this.cross.y + 0.5, cross);
  }

  frameOf([left, top, right, bottom]) {
    const { context } = this;
    for (const [width, colour] of [[4, "#fff"], [2, BLUE]]) {
      context.lineWidth = width / this.view.scale;
      context.strokeStyle = colour;
      context.strokeRect(left, top, right - left, bottom - top);
    }
  }

  /** Draw in pixels of the screen around a place of the picture. */
  at(x, y, draw) {
    const { context, view, ratio } = this;
    context.save();
    context.setTransform(ratio, 0, 0, ratio, (x * view.scale + view.x) * ratio, (y * view.scale + view.y) * ratio);
    draw(context);
    context.restore();
  }
}

/**
 * Return where the numbers of the candidates stand, in pixels of the picture: above each thing, side by side.
 * @param {object} answer of /v1/locate
 * @param {number} scale of the view
 */
export function badgesOf({ candidates }, scale) {
  const step = (2 * BADGE + 4) / scale;
  const groups = new Map();
  for (const { point, box } of candidates) groups.set(String(point), [...(groups.get(String(point)) ?? []), box]);
  const placed = new Map();
  return candidates.map(({ point }) => {
    const boxes = groups.get(String(point));
    const left = Math.min(...boxes.map((box) => box[0]));
    const right = Math.max(...boxes.map((box) => box[2]));
    const top = Math.min(...boxes.map((box) => box[1]));
    const rank = placed.get(String(point)) ?? 0;
    placed.set(String(point), rank + 1);
    return [(left + right) / 2 + (rank - (boxes.length - 1) / 2) * step, Math.max(top - step * 0.7, step * 0.6)];
  });
}

function heatCanvas(heat) {
  const [height, width] = [heat.length, heat[0].length];
  const canvas = Object.assign(document.createElement("canvas"), { width, height });
  const image = new ImageData(width, height);
  const values = heat.flat();
  const most = Math.max(...values, 1e-6);
  values.forEach((value, i) => image.data.set([...HEAT, Math.round((200 * value) / most)], 4 * i));
  canvas.getContext("2d").putImageData(image, 0, 0);
  return canvas;
}
