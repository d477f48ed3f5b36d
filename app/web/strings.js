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
  viewMissing: "This view could not be loaded; reload the page.",
};

/** @param {string} name @param {number} shown @param {number} all */
export const found = (name, shown, all) => `${name}: ${shown} objects shown, of ${all} candidates`;

/** @param {number} count @param {number} score */
export const cut = (count, score) =>
  `The service sent the best ${count} candidates; those below a score of ${score.toFixed(3)} are missing.`;

/** @param {string} name @param {string} reason */
export const unreadable = (name, reason) => `${name}: the browser cannot show this picture (${reason})`;

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
