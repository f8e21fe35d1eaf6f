// Says in words what was found, what was painted and what went wrong.

// A picture is rounded up and a limit down, so that the two never read alike.
const megapixels = (pixels, round) => String(round(pixels / 1e5) / 10);

/**
 * Return why a picture is too large for the service, null if it is not.
 * @param {{width: number, height: number, blob: Blob}} picture
 * @param {?object} limits
 */
export function tooLarge({ width, height, blob }, limits) {
  if (!limits) return null;
  const { max_pixels, max_side_px, max_image_bytes } = limits;
  if (width * height > max_pixels) {
    return `${megapixels(width * height, Math.ceil)} megapixels; at most ${megapixels(max_pixels, Math.floor)} are accepted.`;
  }
  if (Math.max(width, height) > max_side_px) return `${Math.max(width, height)} pixels; at most ${max_side_px} a side are accepted.`;
  if (blob.size > max_image_bytes) {
    return `${(blob.size / 1e6).toFixed(1)} MB; at most ${(max_image_bytes / 1e6).toFixed(1)} are accepted.`;
  }
  return null;
}

/** Return the sentence about a search. @param {object} answer of /v1/locate */
export function foundSentence(answer) {
  const { candidates, instances, low_confidence } = answer;
  const what = pointed(answer) ? "Cut out where you pointed." : `${candidates.length} found.`;
  const which =
    instances.length > 1 ? `All ${instances.length} of them will be repainted.` : `Number ${answer.chosen + 1} will be repainted.`;
  const rest = candidates.length > 1 || !pointed(answer) ? ` ${which}` : "";
  return what + rest + (low_confidence ? " The outline is a guess." : "");
}

const pointed = (answer) => answer.heat === null;

/** Return the sentence about a thing that was not found. @param {object} answer of /v1/locate */
export function missingSentence({ phrase, confidence }) {
  return `Found no ${phrase.replace(/^(the|a|an) /i, "")}. Best guess here, ${Math.round(100 * confidence)} % sure.`;
}

/**
 * Return how a candidate is called in the list.
 * @param {object} answer of /v1/locate
 * @param {number} index of the candidate
 */
export function candidateName(answer, index) {
  const { box, area } = answer.candidates[index];
  const [width, height] = answer.size;
  const place = placeOf((box[0] + box[2]) / 2 / width, (box[1] + box[3]) / 2 / height);
  const share = 100 * area;
  return { number: `Number ${index + 1} of ${answer.candidates.length}`, place, share: `${share < 1 ? share.toFixed(1) : Math.round(share)} %` };
}

function placeOf(x, y) {
  const across = x < 0.4 ? "left" : x > 0.6 ? "right" : "";
  const down = y < 0.4 ? "upper" : y > 0.6 ? "lower" : "";
  if (!across && !down) return "in the middle";
  if (!across) return down === "upper" ? "at the top" : "at the bottom";
  return down ? `${down} ${across}` : `on the ${across}`;
}

/** Return by how much a picture's region matches better, null without a score. @param {?object} score */
export const gainOf = (score) => (score ? score.region_after - score.region_before : null);

/** Return a number with its sign, as "+0.09". @param {number} value */
export const signed = (value) => `${value < 0 ? "−" : "+"}${Math.abs(value).toFixed(2)}`;

/**
 * Return the sentence about a picture that was painted.
 * @param {object} result
 * @param {number} shown which of its pictures
 */
export function verdict({ answer, images }, shown) {
  const gain = gainOf(images[shown].score);
  if (gain === null) return "Done.";
  const better = answer.mode === "remove" ? gain < 0 : gain > 0;
  if (answer.mode === "remove") return better ? `Less of it is left than before (${signed(gain)}).` : "Still looks as if it were there.";
  return better ? `Matches better than before (${signed(gain)}).` : "No better than before.";
}

/** Return the sentence of the badge. @param {object} answer of an edit */
export function outsideSentence({ changed_outside_px: changed }) {
  return `${changed} pixels changed outside.`;
}

const STAGES = { locate: "Looking for it", segment: "Cutting it out", inpaint: "Painting", fill: "Filling", score: "Checking" };

/**
 * Return what a job is doing, with the seconds since it began.
 * @param {{kind: string, stage: ?string, started: number}} job
 */
export function busySentence({ kind, stage, started }) {
  const seconds = Math.round((performance.now() - started) / 1000);
  const doing = kind === "find" ? "Looking" : (STAGES[stage] ?? "Painting");
  return `${doing}… ${seconds} s`;
}

// By code and never by status: several failures share one.
const TEXTS = {
  image_unsupported: "This file cannot be read. Choose PNG, JPEG or WebP.",
  image_invalid: "This picture is damaged. Choose another one.",
  deadline_exceeded: "This took too long. Try lower quality.",
  content_filtered: "Held back by the safety check. Change the words.",
  moderation_blocked: "Held back by the safety check. Change the words.",
  unreachable: "The service cannot be reached. Your work is kept.",
};

/** Return what a failure means, for the person at the page. @param {import("./api.js").Failure} failure */
export function failureSentence(failure) {
  const { code, message, reportId } = failure;
  if (TEXTS[code]) return TEXTS[code];
  return reportId && failure.status >= 500 ? `${message} Report id ${reportId}` : message.replaceAll("`", "");
}
