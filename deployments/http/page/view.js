// How the picture lies on its stage: zoomed, moved, and compared with what came of it.

import { urlOf } from "./store.js";

const MOST_ZOOM = 32;
const KEEP_PX = 48; // of the picture that always stays on the stage

/** The view of the picture: `overlay.view` has scale, x and y, from the picture to the stage, in pixels of the page. */
export class View {
  /**
   * @param {HTMLElement} element the stage
   * @param {import("./overlay.js").Overlay} overlay
   * @param {import("./store.js").Store} store
   */
  constructor(element, overlay, store) {
    [this.element, this.overlay, this.store] = [element, overlay, store];
    this.images = ["before", "after"].map((id) => document.getElementById(id));
    this.divider = document.getElementById("divider");
    this.divider.addEventListener("pointerdown", (event) => this.slide(event));
    this.fitted = true;
    this.originalHeld = false;
    new ResizeObserver(() => this.resize()).observe(element);
    // In a frame of its own: it changes the stage, which is observed too.
    new ResizeObserver(([{ borderBoxSize }]) => requestAnimationFrame(() => this.makeRoom(borderBoxSize[0].blockSize))).observe(
      document.getElementById("notice"),
    );
  }

  resize() {
    const { width, height } = this.element.getBoundingClientRect();
    if (!width || !height) return;
    this.overlay.resize(width, height);
    if (this.fitted) this.fit();
    else this.show();
  }

  /** Let the style sheet keep the picture clear of the notice above it. @param {number} noticePx the notice's height */
  makeRoom(noticePx) {
    this.element.style.setProperty("--notice", `${noticePx}px`);
  }

  /** Show the whole picture. */
  fit() {
    const { picture } = this.store.state;
    if (!picture) return;
    const style = getComputedStyle(this.element);
    const [top, right, bottom, left] = ["Top", "Right", "Bottom", "Left"].map((side) => parseFloat(style[`padding${side}`]));
    const { width, height } = this.element.getBoundingClientRect();
    const [roomX, roomY] = [width - left - right, height - top - bottom];
    const scale = Math.min(roomX / picture.width, roomY / picture.height, 4);
    const [x, y] = [left + (roomX - picture.width * scale) / 2, top + (roomY - picture.height * scale) / 2];
    this.overlay.view = { scale, x, y };
    this.fitted = true;
    this.show();
  }

  /** Zoom by a factor around a place of the stage, its middle if there is none. */
  zoom(factor, at = null) {
    const { picture } = this.store.state;
    if (!picture) return;
    const { width, height } = this.element.getBoundingClientRect();
    const { scale, x, y } = this.overlay.view;
    const least = Math.min(1, (0.25 * Math.min(width, height)) / Math.max(picture.width, picture.height));
    const next = Math.min(MOST_ZOOM, Math.max(least, scale * factor));
    const [cx, cy] = at ?? [width / 2, height / 2];
    this.place(next, cx - ((cx - x) * next) / scale, cy - ((cy - y) * next) / scale);
  }

  /** Put the picture's upper left corner at a place of the stage, at a scale. */
  place(wanted, x, y) {
    const { picture } = this.store.state;
    const scale = Math.min(MOST_ZOOM, wanted);
    const { width, height } = this.element.getBoundingClientRect();
    x = Math.min(width - KEEP_PX, Math.max(KEEP_PX - picture.width * scale, x));
    y = Math.min(height - KEEP_PX, Math.max(KEEP_PX - picture.height * scale, y));
    this.overlay.view = { scale, x, y };
    this.fitted = false;
    this.show();
  }

  /** Bring picture, result and overlay to where the view says. */
  show() {
    const { picture, view, compare, job, result, shown } = this.store.state;
    const [before, after] = this.images;
    const { scale, x, y } = this.overlay.view;
    const over = job?.preview ?? (view === "result" && !this.originalHeld ? result?.images[shown].blob : null);
    for (const [image, blob] of [[before, picture?.blob], [after, over]]) {
      image.hidden = !blob;
      if (!blob) continue;
      if (image.src !== urlOf(blob)) image.src = urlOf(blob);
      image.style.width = `${picture.width}px`;
      image.style.height = `${picture.height}px`;
      image.style.transform = `translate(${x}px, ${y}px) scale(${scale})`;
      image.classList.toggle("near", scale > 3);
    }
    const share = job?.preview ? 1 : compare / 100;
    after.style.clipPath = `inset(0 0 0 ${100 * (1 - share)}%)`;
    this.divider.hidden = !over || Boolean(job?.preview);
    if (picture) {
      this.divider.style.transform = `translate(${x + picture.width * scale * (1 - share)}px, ${y}px)`;
      this.divider.style.height = `${picture.height * scale}px`;
    }
    this.overlay.draw();
  }

  slide(event) {
    event.stopPropagation();
    event.preventDefault();
    const { divider } = this;
    divider.setPointerCapture(event.pointerId);
    const move = ({ clientX }) => {
      const { scale, x } = this.overlay.view;
      const at = (clientX - this.element.getBoundingClientRect().left - x) / (this.store.state.picture.width * scale);
      this.store.set({ compare: Math.round(100 * (1 - Math.min(1, Math.max(0, at)))) });
    };
    divider.addEventListener("pointermove", move);
    const end = () => divider.removeEventListener("pointermove", move);
    for (const name of ["pointerup", "pointercancel"]) divider.addEventListener(name, end, { once: true });
  }

  /** Return where a pointer is on the stage. */
  placeOf({ clientX, clientY }) {
    const { left, top } = this.element.getBoundingClientRect();
    return [clientX - left, clientY - top];
  }

  /** Return a place of the stage in pixels of the picture. */
  toPicture([stageX, stageY]) {
    const { scale, x, y } = this.overlay.view;
    return [(stageX - x) / scale, (stageY - y) / scale];
  }
}
