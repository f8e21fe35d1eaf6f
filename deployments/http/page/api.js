// Asks the service: sends forms, reads answers and event streams, and makes a Failure of every refusal.

/** A refusal or a failure of the service, or of the way to it (code "unreachable"). */
export class Failure extends Error {
  /** @param {{code: string, message?: string, param?: string, status?: number}} failure */
  constructor({ code, message = "", param = null, status = 0, reportId = null, waitMs = null, location = null }) {
    super(message);
    Object.assign(this, { code, param, status, reportId, waitMs, location });
  }
}

const JSON_ONLY = { accept: "application/json" };

/** Return the absolute address of a route, whatever prefix the page is served under. @param {string} route */
export const addressOf = (route) => new URL(route, document.baseURI).href;

/** Return the limits that are in force. @returns {Promise<object>} */
export async function limits() {
  return (await readJson(await reach("./", { headers: JSON_ONLY }))).limits;
}

/** Return the names of the stages that cannot work yet. @returns {Promise<string[]>} */
export async function starting() {
  const response = await reach("readyz", { headers: JSON_ONLY, cache: "no-store" });
  if (response.ok) return [];
  const { stages = {} } = await response.json().catch(() => ({}));
  const waiting = Object.keys(stages).filter((name) => !stages[name]);
  return waiting.length ? waiting : ["service"];
}

/**
 * Send a form and return the answer.
 * @param {string} route
 * @param {{texts: [string, string][], files: Object<string, {blob: Blob, name: string}>}} request
 * @param {AbortSignal} signal
 */
export async function send(route, request, signal) {
  return readJson(await reach(route, { method: "POST", headers: JSON_ONLY, body: formOf(request), signal }));
}

const STREAM = ["stream", "progress", "partial_images"];
let streams = true; // until the service says that it does not

/**
 * Send an edit and return its answer, by a stream where the service has one.
 * @param {object} request as for `send`
 * @param {{signal: AbortSignal, onProgress: (event: object) => void, onPartial: (blob: Blob) => void}} options
 */
export async function edit(request, { signal, onProgress, onPartial }) {
  if (!streams) return send("v1/images/edits", request, signal);
  const removal = request.texts.some(([name, value]) => name === "mode" && value === "remove");
  const extra = [["stream", "true"], ["progress", "true"]].concat(removal ? [] : [["partial_images", "2"]]);
  const body = formOf({ ...request, texts: [...request.texts, ...extra] });
  const headers = { accept: "text/event-stream, application/json" };
  const response = await reach("v1/images/edits", { method: "POST", headers, body, signal });
  if (!response.ok) {
    const failure = await failureOf(response);
    if (!STREAM.includes(failure.param)) throw failure;
    streams = false;
    return edit(request, { signal, onProgress, onPartial });
  }
  if (!(response.headers.get("content-type") ?? "").startsWith("text/event-stream")) return readJson(response);
  return answerOf(response, onProgress, onPartial);
}

async function answerOf(response, onProgress, onPartial) {
  const completed = [];
  const events = eventsOf(response.body);
  for (let next = await events.next(); !next.done; next = await events.next()) {
    const event = next.value;
    if (event.error) throw statedFailure(event, response);
    if (event.type === "image_edit.progress") onProgress(event);
    if (event.type === "image_edit.partial_image") onPartial(blobOf(event.b64_json, event.output_format));
    if (event.type !== "image_edit.completed") continue;
    completed.push(event);
    if (completed.length < (event.count ?? 1)) continue;
    events.next().catch(() => {}); // read to its end: to cancel it would cut the connection
    return { ...event, data: completed.sort((a, b) => a.index - b.index) };
  }
  throw lost();
}

/**
 * Yield the events of a stream, each the JSON that its data lines hold.
 * @param {ReadableStream<Uint8Array>} body
 */
export async function* eventsOf(body) {
  let data = [];
  for await (const line of linesOf(body)) {
    if (line === "") {
      if (data.length) yield JSON.parse(data.join("\n"));
      data = [];
    } else if (line.startsWith("data:")) {
      data.push(line.slice(line[5] === " " ? 6 : 5));
    }
  }
}

async function* linesOf(body) {
  const reader = body.getReader();
  const decoder = new TextDecoder();
  let pieces = []; // of the line that has not ended yet; a picture is one line in hundreds of pieces
  try {
    for (;;) {
      const { done, value } = await reader.read().catch(reachable);
      if (done) return;
      const parts = decoder.decode(value, { stream: true }).split("\n");
      for (const part of parts.slice(0, -1)) {
        pieces.push(part);
        yield pieces.join("").replace(/\r$/, "");
        pieces = [];
      }
      pieces.push(parts[parts.length - 1]);
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}

/**
 * Return the picture file that a base64 text holds.
 * @param {string} text
 * @param {string} format "png", "jpeg" or "webp"
 */
export function blobOf(text, format) {
  const bytes = Uint8Array.fromBase64
    ? Uint8Array.fromBase64(text)
    : Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  return new Blob([bytes], { type: `image/${format}` });
}

function formOf({ texts, files }) {
  const form = new FormData();
  for (const [name, value] of texts) form.append(name, value);
  for (const [name, { blob, name: fileName }] of Object.entries(files)) form.append(name, blob, fileName);
  return form;
}

async function reach(route, options) {
  return fetch(addressOf(route), options).catch(reachable);
}

function reachable(error) {
  throw error.name === "AbortError" ? error : lost();
}

function lost() {
  return new Failure({ code: "unreachable", message: "The service cannot be reached." });
}

async function readJson(response) {
  if (!response.ok) throw await failureOf(response);
  return response.json().catch(reachable);
}

async function failureOf(response) {
  return statedFailure(await response.json().catch(() => ({})), response);
}

function statedFailure(body, response) {
  const { code = "unknown", message = "Something went wrong on the way.", param = null } = body.error ?? {};
  const { headers, status } = response;
  const seconds = Number(headers.get("retry-after") ?? "");
  const waitMs = Number(headers.get("retry-after-ms") ?? 0) || seconds * 1000 || null;
  const failed = response.ok && body.error?.type === "server_error"; // in a stream
  const gateway = [502, 503, 504].includes(status) && !body.error;
  return new Failure({
    code: gateway ? "unreachable" : code,
    message,
    param,
    status: failed ? 500 : status,
    waitMs,
    reportId: headers.get("x-request-id"),
    location: body.location ?? null,
  });
}
