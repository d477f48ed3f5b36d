/** A data set to try: the sample picture with labels of what the model finds, of which four are made wrong. */

import { detectCandidates } from "../api.js";
import { yoloLabels } from "../labels.js";
import { pixelFrame, suppress } from "../detect/suppression.js";
import { sample } from "../sources.js";

/** @typedef {import("../api.js").Detection} Detection */

/** @param {Uint8Array} bytes */
function crc32(bytes) {
  let crc = -1;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? 0xedb88320 : 0);
  }
  return ~crc >>> 0;
}

/** Files as a zip without compression. @param {[string, Uint8Array][]} files names in ASCII */
export function storedZip(files) {
  /** @type {BlobPart[]} */
  const list = [];
  /** @type {BlobPart[]} */
  const content = [];
  let [at, listed] = [0, 0];
  for (const [name, bytes] of files) {
    const numbers = new DataView(new ArrayBuffer(46));
    numbers.setUint32(0, 0x02014b50, true);
    numbers.setUint16(6, 20, true); // the version that is needed
    numbers.setUint16(14, 0x21, true); // the first day of 1980
    [crc32(bytes), bytes.length, bytes.length].forEach((value, index) => numbers.setUint32(16 + 4 * index, value, true));
    numbers.setUint16(28, name.length, true);
    numbers.setUint32(42, at, true);
    const header = new Uint8Array(numbers.buffer.slice(2, 32)); // the local header has the same fields from the version on
    header.set([0x50, 0x4b, 3, 4]);
    content.push(header, name, /** @type {BlobPart} */ (bytes));
    list.push(numbers, name);
    at += 30 + name.length + bytes.length;
    listed += 46 + name.length;
  }
  const end = new DataView(new ArrayBuffer(22));
  end.setUint32(0, 0x06054b50, true);
  for (const place of [8, 10]) end.setUint16(place, files.length, true);
  end.setUint32(12, listed, true);
  end.setUint32(16, at, true);
  return new Blob([...content, ...list, end]);
}

/**
 * Labels with a missing one, one of a wrong class, one moved, and one on nothing. @param {Detection[]} found the best first
 * @param {number} rare the class whose first label goes missing
 */
function spoiled(found, rare) {
  const gone = found.findIndex(({ class_id }) => class_id === rare);
  const [wrong, moved, ...others] = found.filter((_, index) => index !== gone);
  const { x1, y1, x2, y2 } = moved.box;
  const [dx, dy] = [(x2 - x1) / 4, (y2 - y1) / 4];
  const nothing = { ...moved, box: { x1: 4, y1: 4, x2: 40, y2: 40 } };
  return [{ ...wrong, class_id: rare }, { ...moved, box: { x1: x1 + dx, y1: y1 + dy, x2: x2 + dx, y2: y2 + dy } }, ...others, nothing];
}

/** @param {string} model @param {import("../api.js").Spec} spec @returns {Promise<File>} */
export async function sampleZip(model, spec) {
  const picture = await sample();
  const [{ image, detections }] = (await detectCandidates(picture, model, 0.5)).results;
  const found = suppress(detections, { score: 0.5, overlap: spec.nms.iou_threshold }, spec.nms.beta, pixelFrame(spec, image));
  const labels = spoiled(found, Math.max(0, spec.class_names.indexOf("WBC")));
  const text = new TextEncoder();
  const zip = storedZip([
    ["classes.txt", text.encode(`${spec.class_names.join("\n")}\n`)],
    ["images/blood.jpg", new Uint8Array(await picture.arrayBuffer())],
    ["labels/blood.txt", text.encode(yoloLabels(labels, image))],
  ]);
  return new File([zip], "sample.zip", { type: "application/zip" });
}
