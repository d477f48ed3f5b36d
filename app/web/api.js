/** Requests to the service. */

/** @typedef {{x1: number, y1: number, x2: number, y2: number}} Box corners in pixels */
/** @typedef {{class_id: number, class_name: string, score: number, box: Box}} Detection */
/** @typedef {{width: number, height: number}} Size in pixels */
/** @typedef {{image: Size, truncated?: boolean, detections: Detection[]}} Result */
/** @typedef {{model: string, version: string, results: Result[]}} Answer */
/** @typedef {{beta: number | null, iou_threshold: number, score_threshold: number}} Nms */
/**
 * @typedef {{class_names: string[], input_width: number, input_height: number, nms: Nms,
 *   resize: {placement: string}}} Spec
 */

export const MAX_DETECTIONS = 3000;
/** Least score that the page asks for. */
export const SCORE_FLOOR = 0.05;

let apiKey = "";

/** @param {string} key */
export function setApiKey(key) {
  apiKey = key;
}

/** An answer that is no success; the message is the problem's detail. */
export class ProblemError extends Error {
  /** @param {number} status @param {string} detail */
  constructor(status, detail) {
    super(detail);
    this.status = status;
  }
}

/** @param {string} path @param {RequestInit} [options] @returns {Promise<Response>} a success; raises ProblemError */
async function respond(path, options = {}) {
  const headers = { ...options.headers, ...(apiKey ? { "X-API-Key": apiKey } : {}) };
  const response = await fetch(path, { ...options, headers });
  if (response.ok) return response;
  const problem = await response.json().catch(() => ({}));
  throw new ProblemError(response.status, problem.detail ?? `${response.status}`);
}

/** @param {string} path @param {RequestInit} [options] @returns {Promise<any>} */
async function call(path, options) {
  return (await respond(path, options)).json().catch(() => ({}));
}

/** @typedef {{name: string, default: boolean, loaded: boolean, version: string | null, provider: string | null, problem: string | null}} ModelSummary */
/** @returns {Promise<{default: string, fallback_for: string | null, models: ModelSummary[]}>} */
export const listModels = () => call("v1/models");

/** @param {string} name @returns {Promise<{spec: Spec, [field: string]: unknown}>} */
export const describeModel = (name) => call(`v1/models/${encodeURIComponent(name)}`);

/**
 * Asks once for everything that the sliders may show: a low score and no suppression.
 * @param {File} file @param {string} model @param {number} scoreFloor @returns {Promise<Answer>}
 */
export function detectCandidates(file, model, scoreFloor) {
  const form = new FormData();
  form.append("image", file, file.name);
  const query = new URLSearchParams({
    model,
    score_threshold: String(scoreFloor),
    iou_threshold: "1",
    max_detections: String(MAX_DETECTIONS),
  });
  return call(`v1/detect?${query}`, { method: "POST", body: form });
}

/** @typedef {Record<string, {raw: number, weighted: number}>} Terms */
/**
 * @typedef {object} Losses the answer of `POST /v1/losses`, as far as the page reads it
 * @property {number} total
 * @property {Terms} terms
 * @property {{total: number, terms: Terms}[]} by_image
 * @property {{assignments: {iou: number, role: string, cell: number[], anchor: number}[]}[]} by_object
 * @property {{roles: Record<string, number>, cells: Record<string, number[][][][]>, cell_roles: number[][][][]}[]} by_scale
 */

/** @param {object} request raw heads, their spec and labels @returns {Promise<Losses>} */
export const computeLosses = (request) =>
  call("v1/losses", { method: "POST", body: JSON.stringify(request), headers: { "Content-Type": "application/json" } });

/** @returns {Promise<string>} metrics in Prometheus' text format */
export const readMetrics = async () => (await respond("metrics")).text();

/** @typedef {"missing" | "class" | "location" | "spurious"} FindingKind */
/**
 * @typedef {{image: string, kind: FindingKind, label_index: number | null, class_name: string, box: Box,
 *   suggestion: {class_name: string, box: Box} | null, probability: number, gain: number, reason: string}} Finding
 */
/**
 * @typedef {{id: string, name: string, state: "queued" | "running" | "done" | "failed" | "cancelled", phase: string,
 *   done: number, total: number | null, eta_s: number | null, errors: string[], model: string, split: string | null}} AuditJob
 */
/**
 * @typedef {{model: string, version: string, data: string, split: string | null, num_images: number, num_labels: number, notes: string[],
 *   findings: Finding[], flags: {image: string, kind: string, label_index: number, class_name: string, detail: string, consequence: string}[],
 *   skipped: {location: string, detail: string}[]}} AuditReport
 */

/** @param {string} id @param {string} [rest] */
const auditPath = (id, rest = "") => `v1/audits/${encodeURIComponent(id)}${rest}`;

/** @param {File} zip @param {Record<string, string>} options @returns {Promise<AuditJob>} */
export function createAudit(zip, options) {
  const form = new FormData();
  form.append("data", zip, zip.name);
  return call(`v1/audits?${new URLSearchParams(options)}`, { method: "POST", body: form });
}

/** @param {string} id @returns {Promise<AuditJob>} */
export const getAudit = (id) => call(auditPath(id));
/** @param {string} id @returns {Promise<AuditJob>} */
export const cancelAudit = (id) => call(auditPath(id, "/cancel"), { method: "POST" });
/** @param {string} id */
export const deleteAudit = (id) => respond(auditPath(id), { method: "DELETE" });
/** @param {string} id @returns {Promise<AuditReport>} */
export const auditReport = (id) => call(auditPath(id, "/report.json"));

/**
 * The data set as it should be, a zip, and what differs in words.
 * @param {Blob} zip @param {string} name @param {string} decisions @param {Record<string, string>} options
 */
export async function correctData(zip, name, decisions, options) {
  const form = new FormData();
  form.append("data", zip, `${name}.zip`);
  form.append("decisions", new Blob([decisions], { type: "application/json" }), "decisions.json");
  const response = await respond(`v1/audits/corrected?${new URLSearchParams(options)}`, { method: "POST", body: form });
  return { file: await response.blob(), changes: response.headers.get("Yoloscope-Changes") ?? "" };
}

/** @typedef {{stride: number, cell: number[], anchor: number, anchor_px?: number[], role: string}} Predictor */
/** @typedef {Predictor & {iou: number, anchor_iou: number}} Assignment */
/** @typedef {Omit<Predictor, "role"> & Detection & {objectness: number, iou: number}} Predicted */
/**
 * @typedef {{index: number, class_name: string, box: Box, total: number, terms: Terms, box_parts: Terms, rank: number,
 *   assignments: Assignment[], predicted: Predicted, why: string, flags: string[]}} ObjectScore
 */
/**
 * @typedef {{stride: number, grid: number[], total: number, terms: Terms, roles?: Record<string, number>,
 *   cells?: Record<string, number[][]>, predictors?: Predictor[]}} ScaleScore
 */
/** @typedef {Predictor & Detection & {cost: number, serves: number[]}} Unexplained */
/** @typedef {{index: number, class_name: string, box: Box}} Unscored */
/**
 * @typedef {{image: Size, image_id?: string, labels_format: string, objects: number, total: number, terms: Terms, box_parts: Terms,
 *   by_scale: ScaleScore[], by_object: ObjectScore[], background: {total: number, terms: Terms}, unexplained: Unexplained[],
 *   not_scored: Unscored[]}} ImageScore
 */
/** @typedef {{model: string, preset: string, normalizer: string, results: ImageScore[]}} ScoreAnswer */

/**
 * The loss of labels. The image is a file, which the service keeps for a while, or the id of one that it keeps.
 * @param {{image: File | string, labels: Blob, model: string, preset: string, detail: string}} request @returns {Promise<ScoreAnswer>}
 */
export function scoreLabels({ image, labels, model, preset, detail }) {
  const form = new FormData();
  const query = new URLSearchParams({ model, detail, ...(preset && { preset }) });
  if (typeof image === "string") {
    query.set("image_id", image);
  } else {
    form.append("image", image, image.name);
    query.set("keep", "true");
  }
  form.append("labels", labels, "labels");
  return call(`v1/score?${query}`, { method: "POST", body: form });
}

/** What the model finds with its own thresholds. @param {File} file @param {string} model @returns {Promise<Answer>} */
export function detect(file, model) {
  const form = new FormData();
  form.append("image", file, file.name);
  return call(`v1/detect?${new URLSearchParams({ model })}`, { method: "POST", body: form });
}
