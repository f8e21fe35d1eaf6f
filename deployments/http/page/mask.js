// Makes mask files of strokes, and outlines of the masks that the service sends.

import { blobOf } from "./api.js";

const OUTLINE_SIDE = 640; // the longest side, in pixels, on which outlines are traced

/**
 * Return the mask of strokes over what is there already: 255 where the picture is to be repainted, else 0, row by row.
 * @param {number} width
 * @param {number} height
 * @param {?Uint8Array} base of the same size, or null
 * @param {import("./store.js").Stroke[]} strokes
 * @returns {Uint8Array}
 */
export function rasterise(width, height, base, strokes) {
  const bytes = base ? base.slice() : new Uint8Array(width * height);
  for (const { erase, size, path } of strokes) {
    const value = erase ? 0 : 255;
    for (let i = 0; i === 0 || i + 3 < path.length; i += 2) {
      const end = path.length > 2 ? i + 2 : i;
      fillCapsule(bytes, width, height, path[i], path[i + 1], path[end], path[end + 1], size / 2, value);
    }
  }
  return bytes;
}

/** Fill all pixels whose centre lies within `radius` of the line from (x0, y0) to (x1, y1). */
function fillCapsule(bytes, width, height, x0, y0, x1, y1, radius, value) {
  const length = Math.hypot(x1 - x0, y1 - y0);
  const [nx, ny] = length ? [((y0 - y1) / length) * radius, ((x1 - x0) / length) * radius] : [0, 0];
  const corners = [[x0 + nx, y0 + ny], [x1 + nx, y1 + ny], [x1 - nx, y1 - ny], [x0 - nx, y0 - ny]];
  const first = Math.max(0, Math.ceil(Math.min(y0, y1) - radius - 0.5));
  const last = Math.min(height - 1, Math.floor(Math.max(y0, y1) + radius - 0.5));
  for (let row = first; row <= last; row++) {
    const y = row + 0.5;
    let left = Infinity;
    let right = -Infinity;
    for (const [cx, cy] of [[x0, y0], [x1, y1]]) {
      const half = Math.sqrt(radius * radius - (y - cy) ** 2); // NaN where the row passes the circle by
      if (half >= 0) [left, right] = [Math.min(left, cx - half), Math.max(right, cx + half)];
    }
    for (let i = 0; length && i < 4; i++) {
      const [ax, ay] = corners[i];
      const [bx, by] = corners[(i + 1) % 4];
      if ((ay <= y) === (by <= y)) continue;
      const x = ax + ((y - ay) / (by - ay)) * (bx - ax);
      [left, right] = [Math.min(left, x), Math.max(right, x)];
    }
    const from = Math.max(0, Math.ceil(left - 0.5));
    const to = Math.min(width, Math.floor(right - 0.5) + 1);
    if (from < to) bytes.fill(value, row * width + from, row * width + to);
  }
}

/**
 * Return a grey PNG of 8 bits. A canvas is no way to one: some browsers alter what is read back from it.
 * @param {Uint8Array} bytes row by row
 * @param {number} width
 * @param {number} height
 * @returns {Promise<Blob>}
 */
export async function greyPng(bytes, width, height) {
  const rows = new Uint8Array((width + 1) * height); // each row begins with its filter, 0 for none
  for (let y = 0; y < height; y++) rows.set(bytes.subarray(y * width, (y + 1) * width), y * (width + 1) + 1);
  const zlib = new Blob([rows]).stream().pipeThrough(new CompressionStream("deflate"));
  const data = new Uint8Array(await new Response(zlib).arrayBuffer());
  const header = new DataView(new ArrayBuffer(13));
  header.setUint32(0, width);
  header.setUint32(4, height);
  header.setUint8(8, 8); // bits; the colour type 0 is grey
  const signature = Uint8Array.of(0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a);
  const chunks = [chunk("IHDR", new Uint8Array(header.buffer)), chunk("IDAT", data), chunk("IEND", new Uint8Array())];
  return new Blob([signature, ...chunks], { type: "image/png" });
}

function chunk(name, data) {
  const bytes = new Uint8Array(12 + data.length);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, data.length);
  bytes.set(Uint8Array.from(name, (letter) => letter.charCodeAt(0)), 4);
  bytes.set(data, 8);
  view.setUint32(8 + data.length, crc(bytes.subarray(4, 8 + data.length)));
  return bytes;
}

const CRC_TABLE = Uint32Array.from({ length: 256 }, (_, n) => {
  for (let k = 0; k < 8; k++) n = n & 1 ? 0xedb88320 ^ (n >>> 1) : n >>> 1;
  return n;
});

function crc(bytes) {
  let value = 0xffffffff;
  for (const byte of bytes) value = CRC_TABLE[(value ^ byte) & 255] ^ (value >>> 8);
  return ~value >>> 0;
}

/**
 * Return the pixels of a mask file that the service sent, 255 where it is white.
 * @param {string} base64 a PNG
 * @param {number} width to read it at
 * @param {number} height
 * @returns {Promise<Uint8Array>}
 */
export async function readMask(base64, width, height) {
  const bitmap = await createImageBitmap(blobOf(base64, "png"));
  const canvas = Object.assign(document.createElement("canvas"), { width, height });
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(bitmap, 0, 0, width, height);
  bitmap.close();
  const { data } = context.getImageData(0, 0, width, height);
  // A threshold, because browsers that guard against fingerprints alter the lowest bits.
  return Uint8Array.from({ length: width * height }, (_, i) => (data[4 * i] > 127 ? 255 : 0));
}

/**
 * Return masks laid over each other, each the pixels of a file.
 * @param {string[]} files base64 PNGs
 */
export async function union(files, width, height) {
  const all = new Uint8Array(width * height);
  for (const file of files) {
    const mask = await readMask(file, width, height);
    for (let i = 0; i < all.length; i++) all[i] |= mask[i];
  }
  return all;
}

/**
 * Return the outline of a mask file as a path in pixels of the picture.
 * @param {string} base64 a PNG
 * @param {number} width of the picture
 * @param {number} height
 * @returns {Promise<Path2D>}
 */
export async function outlineOf(base64, width, height) {
  const scale = Math.min(1, OUTLINE_SIDE / Math.max(width, height));
  const [w, h] = [Math.max(1, Math.round(width * scale)), Math.max(1, Math.round(height * scale))];
  const path = new Path2D();
  for (const ring of rings(await readMask(base64, w, h), w, h)) {
    ring.forEach(([x, y], i) => path[i ? "lineTo" : "moveTo"]((x * width) / w, (y * height) / h));
    path.closePath();
  }
  return path;
}

// Right, down, left, up; and of the four cells around a corner, those ahead to the left and ahead to the right.
const STEPS = [[1, 0], [0, 1], [-1, 0], [0, -1]];
const AHEAD_LEFT = [[0, -1], [0, 0], [-1, 0], [-1, -1]];
const AHEAD_RIGHT = [[0, 0], [-1, 0], [-1, -1], [0, -1]];

/** Return the borders of what is inside, each a list of the middles of the cells' edges that it follows. */
function rings(mask, width, height) {
  const inside = (x, y) => x >= 0 && y >= 0 && x < width && y < height && mask[y * width + x] > 0;
  const seen = new Uint8Array(mask.length);
  const found = [];
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      if (seen[y * width + x] || !inside(x, y) || inside(x, y - 1)) continue;
      found.push(follow(x, y, inside, (at) => (seen[at[1] * width + at[0]] = 1)));
    }
  }
  return found;
}

/** Follow a border from the upper left corner of a cell, with the inside on the right, until it closes. */
function follow(startX, startY, inside, mark) {
  const ring = [];
  let [x, y, heading] = [startX, startY, 0];
  do {
    const [dx, dy] = STEPS[heading];
    if (heading === 0) mark([x, y]);
    ring.push([x + dx / 2, y + dy / 2]);
    [x, y] = [x + dx, y + dy];
    const [left, right] = [AHEAD_LEFT[heading], AHEAD_RIGHT[heading]];
    if (inside(x + left[0], y + left[1])) heading = (heading + 3) % 4;
    else if (!inside(x + right[0], y + right[1])) heading = (heading + 1) % 4;
  } while (x !== startX || y !== startY || heading !== 0);
  return ring;
}
