// The last edit as a command or a program that paints the same pixels again.

import { addressOf } from "./api.js";
import { button } from "./panel.js";
import { save } from "./results.js";

const $ = (id) => document.getElementById(id);
const NUMBERS = ["n", "seed", "candidate", "num_inference_steps"];

/** Shows the snippets, and copies them. */
export class Snippets {
  constructor() {
    $("snippet-copy").addEventListener("click", () => this.copy());
  }

  /**
   * Show how to repeat an edit, and copy it where the browser lets a page do so.
   * @param {"curl" | "python"} kind
   * @param {object} result
   */
  show(kind, { request, picture }) {
    const { image, mask } = request.files;
    $("snippet-text").textContent = kind === "curl" ? curl(request) : python(request);
    const files = [...(picture.own ? [] : [image]), ...(mask ? [mask] : [])];
    $("snippet-files").textContent = files.length
      ? "Save these files first, in the folder where it runs:"
      : `It reads ${image.name} in the folder where it runs.`;
    $("snippet-downloads").replaceChildren(
      ...files.map(({ blob, name }) => button("second", `Save ${name}`, () => save(blob, name))),
    );
    $("snippet-copy").textContent = "Copy";
    $("snippet").showModal();
    this.copy();
  }

  async copy() {
    const text = $("snippet-text");
    const copied = await (navigator.clipboard?.writeText(text.textContent) ?? Promise.reject()).then(
      () => true,
      () => copyBySelection(text),
    );
    $("snippet-copy").textContent = copied ? "Copied" : "Copy";
  }
}

// On plain HTTP a page has no clipboard of its own.
function copyBySelection(element) {
  getSelection().selectAllChildren(element);
  return document.execCommand("copy");
}

/** Return a command for a POSIX shell. @param {object} request */
export function curl({ texts, files }) {
  const lines = [`curl ${quoted(addressOf("v1/images/edits"))} -H 'Accept: image/png' -o edited.png`];
  for (const [name, file] of Object.entries(files)) lines.push(`-F ${quoted(`${name}=@"${escaped(file.name)}"`)}`);
  for (const [name, value] of texts) lines.push(`--form-string ${quoted(`${name}=${value}`)}`);
  return lines.join(" \\\n  ");
}

const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;
const escaped = (text) => text.replace(/["\\]/g, "\\$&");

/** Return a Python program for the client of this service. @param {object} request */
export function python({ texts, files }) {
  const fields = new Map(texts);
  const removes = fields.get("mode") === "remove";
  const first = removes ? fields.get("target") : fields.get("prompt");
  for (const name of ["mode", removes ? "target" : "prompt"]) fields.delete(name);
  if (files.mask) fields.set("mask", files.mask.name);
  const options = [...fields].map(([name, value]) => `${name}=${literal(name, value)}`);
  const call = [literal("image", files.image.name), ...(first ? [literal("prompt", first)] : []), ...options];
  return [
    "from retouch import Retouch",
    "",
    `with Retouch(${JSON.stringify(addressOf("./").replace(/\/$/, ""))}) as client:`,
    `    result = client.${removes ? "remove" : "edit"}(`,
    ...call.map((argument) => `        ${argument},`),
    "    )",
    '    result.image.save("edited.png")',
  ].join("\n");
}

function literal(name, value) {
  if (NUMBERS.includes(name)) return String(Number(value));
  if (name === "all") return value === "true" ? "True" : "False";
  if (name === "points") return `[${value.split("; ").map((pair) => `(${pair.replace(",", ", ")})`).join(", ")}]`;
  if (name === "labels") return `[${value.replaceAll(",", ", ")}]`;
  if (name === "box") return `(${value.replaceAll(",", ", ")})`;
  return JSON.stringify(value); // which Python reads alike
}
