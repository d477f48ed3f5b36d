/** English text of the page, all of it. */

export const TEXT = {
  apiDocument: "API document",
  boxColumn: "x1, y1, x2, y2 in pixels",
  choose: "Choose pictures",
  controls: "Source and settings",
  copied: "Text to copy",
  copiedNow: "Copied.",
  copies: "Copy the request or the answer",
  copyByHand: "The browser did not let the page copy; copy the text below.",
  copyCurl: "Copy as curl",
  copyJson: "Copy as JSON",
  copyPython: "Copy as Python",
  detecting: "Detecting…",
  downloadCoco: "COCO labels",
  downloadImage: "Picture with boxes",
  downloads: "Download",
  downloadVoc: "VOC labels",
  downloadYolo: "YOLO labels",
  dropHint: "Or drop pictures here, or paste one.",
  images: "Pictures",
  key: "API key",
  keyNeeded: "This service expects an API key.",
  model: "Model",
  nav: "Site",
  noPicture: "No picture yet",
  objectClass: "Class",
  objects: "Objects",
  overlap: "Overlap",
  picture: "Picture",
  results: "Objects found",
  sample: "Use the sample",
  score: "Score",
  scoreColumn: "Score",
  viewDetect: "Detect",
  viewLearn: "Learn",
  viewMissing: "This view could not be loaded; reload the page.",
  viewService: "Service",
};

/** @param {string} name @param {number} shown @param {number} all */
export const found = (name, shown, all) => `${name}: ${shown} objects shown, of ${all} candidates`;

/** @param {number} count @param {number} score */
export const cut = (count, score) =>
  `The service sent the best ${count} candidates; those below a score of ${score.toFixed(3)} are missing.`;

/** @param {string} name @param {string} reason */
export const unreadable = (name, reason) => `${name}: the browser cannot show this picture (${reason})`;

export const LEARN = {
  title: "Learn the loss by its numbers",
  lead: "Drag a box, move a slider, or use the arrow keys on a box (with Shift they resize it). Every cost is computed by this service, with the same code that trains a network.",
  v1: "YOLOv1, part by part",
  v1Words: "“YOLOv1 Loss Function Walkthrough: Regression for All” (Ardi, 2026) computes every part of the loss on small cases. Its numbers stand in the column “text”, those of this service beside them. A button sets the scene to a case of the text.",
  v2: "YOLOv2, two questions",
  v2Words: "The forum thread “How to calculate the loss of YOLO V2” leaves two questions open. A predictor is a grid cell together with one of its anchors: here 13 × 13 cells with five anchors each, and one labeled person.",
  again: "Start again",
  anchor: "Anchor",
  anchorPicture: "A grid of 13 by 13 cells with the label of a person and the five anchors of its cell",
  anchors: "What do a cell's other anchors pay when one has the object?",
  anchorsAnswer: "There is one cost per predictor, not per cell. The anchor that has the object pays for box, objectness and class. Every other anchor of the cell has no object, like one in an empty cell: it pays for its objectness alone, and not even that if it is ignored.",
  anchorsWords: "The dashed shapes are the five anchors of the cell that holds the center of the object. Resize the label and another anchor fits it best; move it and another cell has it.",
  anchorTable: "Costs in the cell of the object, by anchor",
  box: "Box: center and size",
  box5: "5 × box",
  boxWords: "Squared errors of the center, and of the roots of the size. In float32, whose rounding and a 1e-6 below the root keep the first case from 0.",
  casesOf: (/** @type {string} */ part) => `${part}: the cases of the text`,
  cat: "One cat, the whole loss",
  catPicture: "A grid of 7 by 7 cells with a cat and the box that is predicted for it",
  catScore: "Score of cat",
  catWords: "A cat has its center in the green cell (3, 3): orange is the label, blue the prediction. The gray cell (1, 1) is empty. The bar shows what each part adds to the loss, with the weights of YOLOv1: 5 for the box, 0.5 for no object.",
  cellOf: (/** @type {number} */ column, /** @type {number} */ row) => `The object's cell is (${column}, ${row}).`,
  chairScore: "Score of chair",
  chosenConfidence: "Confidence C of the chosen predictor",
  classes: "Class",
  classesHead: "cat, chair",
  classesWords: "Squared errors of the scores of all classes: 1 for cat, 0 for the others.",
  confidence: "Confidence C",
  empty: "No object",
  emptyFirst: "Confidence C₁ in the empty cell",
  emptyHalf: "0.5 × no object",
  emptySecond: "Confidence C₂ in the empty cell",
  emptyWords: "In a cell without an object both boxes should have a confidence of 0.",
  label: "Label of the person",
  large: "large object",
  maxIou: "What does 1[MaxIoU < thresh] mean?",
  maxIouAnswer: "It is not non-maximum suppression, which has no part in training. A predictor without an object should have a confidence of 0. But if the box that it predicts now overlaps an object by more than the threshold, it has found the object and only is not the one in charge of it. Then it is ignored: it pays nothing.",
  maxIouHeads: ["Cell, anchor", "MaxIoU", "Role", "Cost", "Without filter"],
  maxIouPicture: "A grid of 13 by 13 cells with the label of a person and five predicted boxes",
  maxIouTable: "What five confident predictors pay for an objectness that should be 0",
  maxIouWords: "Orange is the label; green is responsible for it, purple is ignored, gray is background. Drag a predicted box off the object, or lower the threshold, and see who pays. A predictor's center cannot leave its cell.",
  object: "Object",
  objectWords: "The confidence should be the overlap of the predicted box with the label.",
  ours: "ours",
  overlap: "IoU: how much two boxes overlap",
  overlapNote: "Two boxes of 200 × 200, one shifted along both axes",
  overlapPicture: "Two boxes of 200 by 200 pixels",
  overlapWords: "The shared area over the area of both together: 1 where they are the same, 0 where they do not touch. Drag or resize the blue one.",
  predictedHeight: (/** @type {string} */ name) => `Predicted height, ${name}`,
  prediction: "Prediction",
  predictor: (/** @type {number} */ column, /** @type {number} */ row, /** @type {number} */ anchor) => `Prediction of cell (${column}, ${row}), anchor ${anchor}`,
  preset: "Preset",
  presets: /** @type {Record<string, string>} */ ({ v2: "v2", v4: "v4: other anchors that fit serve too" }),
  role: "Role",
  roleCounts: (/** @type {number} */ all, /** @type {number} */ responsible, /** @type {number} */ ignored, /** @type {number} */ background) =>
    `Of ${all} predictors: ${responsible} responsible, ${ignored} ignored, ${background} background.`,
  roles: /** @type {Record<string, string>} */ ({ background: "background", ignored: "ignored", responsible: "responsible", extra: "extra", prior: "prior" }),
  rootCase: (/** @type {number} */ height, /** @type {number} */ predicted) => `${height} → ${predicted} px`,
  roots: "Why roots of width and height",
  rootsHead: "height → predicted",
  rootsNote: "The text had a language model compute its two, which are off in the third digit",
  rootsPicture: "A small and a large object with the heights that are predicted for them",
  rootsWords: "Both predictions miss by 60 pixels. That is 75 % of the small object and 25 % of the large one. Squared errors would be the same, 3600; roots make the small object count more.",
  shift: "shift",
  small: "small object",
  terms: /** @type {Record<string, string>} */ ({ xy: "center", wh: "size", box: "box", objectness: "objectness", no_objectness: "no object", classification: "class" }),
  text: "text",
  threshold: "Threshold",
  total: "total",
};

export const SERVICE = {
  apiDocument: "API document (works offline)",
  course: (/** @type {string} */ name, /** @type {string} */ most) => `${name}, the last five minutes: at most ${most}`,
  default: "default",
  images: "Images",
  median: "Median latency",
  modelHeads: ["Model", "Version", "Runs on", "Variant", "Images", "Images/s", "Mean batch", "Inference p50", "p99"],
  models: "Models",
  noAnswer: "The service does not answer; trying again.",
  none: "–",
  notLoaded: "loaded by its first use",
  note: "Read from /metrics every two seconds. Latencies are those of the last minute, or since the start where nothing came; they are as fine as the buckets of the histograms.",
  ofLimit: (/** @type {number} */ value, /** @type {number} */ limit) => `${value} of ${limit}`,
  p99: "p99 latency",
  pause: "Pause",
  perSecond: "per second",
  queue: "Images at work",
  reasons: /** @type {Record<string, string>} */ ({
    auth: "no known API key", deadline: "not done in time", decode: "no readable picture", draining: "the service stops",
    pixels: "too many pixels", queue_full: "the queue was full", rate: "too many requests of a key", slow_body: "the body came too slowly",
    too_large: "too large",
  }),
  refusalHeads: ["Reason", "Requests"],
  refusals: "Refused since the start",
  refused: "Refused",
  requests: "Requests",
  routeHeads: ["Route", "Requests", "Per second", "Failed", "p50", "p99"],
  routes: "Requests",
  stageHeads: ["Model: stage", "p50", "p99"],
  stages: /** @type {Record<string, string>} */ ({ decode: "decode", queue: "wait", infer: "inference", finish: "suppress", encode: "answer" }),
  stageTable: "Where a request spends its time",
  title: "Service",
  version: (/** @type {string} */ version) => `Yoloscope ${version}`,
};

/** Fills the elements that carry `data-text` or `data-label`. */
export function fillText() {
  const texts = /** @type {Record<string, string>} */ (TEXT);
  for (const element of document.querySelectorAll("[data-text]")) {
    element.textContent = texts[element.getAttribute("data-text") ?? ""];
  }
  for (const element of document.querySelectorAll("[data-label]")) {
    element.setAttribute("aria-label", texts[element.getAttribute("data-label") ?? ""]);
  }
}
