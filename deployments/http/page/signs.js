// The small signs over the picture, each drawn around the origin in pixels of the screen.

// Okabe and Ito's colours, which colour-blind people can tell apart; the numbers carry the meaning.
const COLOURS = ["#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9"];
const ORANGE = "#E69F00";
const LIGHT = [ORANGE, "#CC79A7", "#56B4E9"]; // of these, black letters stand out
export const BLUE = "#0072B2";
export const BADGE = 12; // the radius of a number

/** Return the colour of a candidate. @param {number} index */
export const colourOf = (index) => COLOURS[index % COLOURS.length];

/** Return the colour of letters on a colour. @param {string} colour */
export const inkOn = (colour) => (LIGHT.includes(colour) ? "#000" : "#fff");

/** Draw the number of a candidate. */
export function badge(context, text, colour) {
  disc(context, BADGE + 2, "#fff");
  disc(context, BADGE, colour);
  letter(context, text, inkOn(colour));
}

/** Draw a point: + on a blue disc, − on an orange square, or a bare dot for the corner of a box. @param {?(0 | 1)} label */
export function sign(context, label) {
  if (label === 0) {
    for (const [half, colour] of [[11, "#fff"], [9, ORANGE]]) {
      context.fillStyle = colour;
      context.fillRect(-half, -half, 2 * half, 2 * half);
    }
    letter(context, "−", "#000");
    return;
  }
  disc(context, label === null ? 8 : 12, "#fff");
  disc(context, label === null ? 5 : 10, BLUE);
  if (label !== null) letter(context, "+", "#fff");
}

/** Draw the pin of the best guess, its tip at the origin. */
export function pin(context) {
  const path = new Path2D("M0 0C-3-9-11-13-11-22a11 11 0 0 1 22 0C11-13 3-9 0 0z");
  context.lineWidth = 3;
  context.strokeStyle = "#fff";
  context.stroke(path);
  context.fillStyle = "#b91c1c";
  context.fill(path);
  context.translate(0, -22);
  letter(context, "?", "#fff");
}

/** Draw the cross-hair of the keyboard. */
export function cross(context) {
  const arms = new Path2D("M5 0H16M-5 0H-16M0 5V16M0-5V-16");
  twice(context, () => context.stroke(arms), 4, 2);
}

/** Draw the ring of the brush. @param {number} radius */
export function ring(context, radius) {
  twice(context, () => context.stroke(circle(radius)), 3, 1.2);
}

function twice(context, draw, wide, narrow) {
  for (const [width, colour] of [[wide, "#fff"], [narrow, "#111"]]) {
    context.lineWidth = width;
    context.strokeStyle = colour;
    draw();
  }
}

function circle(radius) {
  const path = new Path2D();
  path.arc(0, 0, radius, 0, 7);
  return path;
}

function disc(context, radius, colour) {
  context.fillStyle = colour;
  context.fill(circle(radius));
}

function letter(context, text, colour) {
  context.fillStyle = colour;
  context.font = "600 14px system-ui, sans-serif";
  context.textAlign = "center";
  context.textBaseline = "middle";
  context.fillText(text, 0, 1);
}
