/** Labels as files, in the format they came in. */

import { save, stem } from "../detect/outputs.js";
import { cocoLabels, vocLabels, yoloLabels } from "../labels.js";

/** @typedef {import("./boxes.js").Label} Label */

/** Whether a file is a picture; others are taken as labels. @param {File} file */
export const isPicture = (file) => file.type.startsWith("image/") || /\.(jpe?g|png|webp|gif|bmp|avif)$/i.test(file.name);

/**
 * @param {string} format yolo, voc, coco or native @param {string} name of the picture @param {Label[]} labels
 * @param {import("../api.js").Size} image @param {string[]} classNames
 */
export function downloadLabels(format, name, labels, image, classNames) {
  const native = () => JSON.stringify({ image, objects: labels.map(({ class_name, box, difficult, crowd }) => ({ class_name, box, difficult, crowd })) }, null, 1);
  const formats = /** @type {Record<string, () => string[]>} */ ({
    yolo: () => [yoloLabels(labels, image), "text/plain", "txt"],
    voc: () => [vocLabels(name, labels, image), "text/xml", "xml"],
    coco: () => [cocoLabels(name, labels, image, classNames), "application/json", "json"],
  });
  const [text, type, ending] = formats[format]?.() ?? [native(), "application/json", "json"];
  save(new Blob([text], { type }), `${stem(name)}.${ending}`);
}
