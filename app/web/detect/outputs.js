/** What the page hands out: files to download and text to copy. */

import { cocoLabels, vocLabels, yoloLabels } from "../labels.js";
import { draw } from "../picture.js";

/** @typedef {import("../api.js").Detection} Detection */
/** @typedef {{name: string, bitmap: ImageBitmap, size: import("../api.js").Size, detections: Detection[], classNames: string[]}} Shown */

/** @param {Blob} blob @param {string} name */
export function save(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

/** @param {Shown} shown */
function saveImage({ name, bitmap, detections }) {
  const canvas = document.createElement("canvas");
  canvas.width = bitmap.width;
  canvas.height = bitmap.height;
  draw(canvas, bitmap, detections, null);
  canvas.toBlob((blob) => blob && save(blob, `${stem(name)}-boxes.png`), "image/png");
}

/** A file name without its ending. @param {string} name */
export const stem = (name) => name.replace(/\.[^.]*$/, "");

/** @param {string} kind image, yolo, voc or coco @param {Shown} shown */
export function download(kind, shown) {
  const { name, detections, size, classNames } = shown;
  if (kind === "image") saveImage(shown);
  if (kind === "yolo") save(new Blob([yoloLabels(detections, size)], { type: "text/plain" }), `${stem(name)}.txt`);
  if (kind === "voc") save(new Blob([vocLabels(name, detections, size)], { type: "text/xml" }), `${stem(name)}.xml`);
  if (kind === "coco") {
    const text = cocoLabels(name, detections, size, classNames);
    save(new Blob([text], { type: "application/json" }), `${stem(name)}.json`);
  }
}

/** @param {HTMLTextAreaElement} area @param {string} text @returns {Promise<boolean>} whether the browser copied */
export async function copy(area, text) {
  area.hidden = false;
  area.value = text;
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    area.select();
    return false;
  }
}
