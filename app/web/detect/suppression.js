/**
 * Class-wise DIoU-NMS, as the service computes it.
 * Source: Zheng et al., Distance-IoU Loss, 2020, section 3.4.
 */

/** @typedef {import("../api.js").Box} Box */
/** @typedef {import("../api.js").Detection} Detection */
/** @typedef {{score: number, overlap: number}} Thresholds */
/** @typedef {{width: number, height: number}} Frame fractions of the network input to a pixel of the image */

/**
 * Size of an image's pixel as fractions of the network input; the distance term depends on it.
 * @param {import("../api.js").Spec} spec @param {import("../api.js").Size} image @returns {Frame}
 */
export function pixelFrame(spec, image) {
  if (spec.resize.placement === "stretch") return { width: 1 / image.width, height: 1 / image.height };
  const scale = Math.min(spec.input_width / image.width, spec.input_height / image.height);
  return { width: scale / spec.input_width, height: scale / spec.input_height };
}

/**
 * IoU less (squared center distance / squared diagonal of the enclosing box) ** beta; plain IoU where beta is null.
 * @param {Box} a @param {Box} b @param {number | null} beta @param {Frame} frame
 */
export function similarity(a, b, beta, frame) {
  const width = Math.min(a.x2, b.x2) - Math.max(a.x1, b.x1);
  const height = Math.min(a.y2, b.y2) - Math.max(a.y1, b.y1);
  if (!(width > 0 && height > 0)) return 0;
  const common = width * height;
  const iou = common / ((a.x2 - a.x1) * (a.y2 - a.y1) + (b.x2 - b.x1) * (b.y2 - b.y1) - common);
  if (beta === null) return iou;
  const dx = ((a.x1 + a.x2 - b.x1 - b.x2) / 2) * frame.width;
  const dy = ((a.y1 + a.y2 - b.y1 - b.y2) / 2) * frame.height;
  const cx = (Math.max(a.x2, b.x2) - Math.min(a.x1, b.x1)) * frame.width;
  const cy = (Math.max(a.y2, b.y2) - Math.min(a.y1, b.y1)) * frame.height;
  return iou - ((dx * dx + dy * dy) / (cx * cx + cy * cy)) ** beta;
}

/**
 * The detections that the service would answer with these thresholds, in its order: a box goes if a kept one of its
 * class and a higher score is more similar to it than the threshold.
 * @param {Detection[]} candidates highest score first @param {Thresholds} thresholds
 * @param {number | null} beta @param {Frame} frame @returns {Detection[]}
 */
export function suppress(candidates, thresholds, beta, frame) {
  const score = Math.fround(thresholds.score);
  const overlap = Math.fround(thresholds.overlap); // thresholds of the service are float32
  /** @type {Map<number, Detection[]>} */
  const kept = new Map();
  return candidates.filter((one) => {
    if (!(one.score > score)) return false;
    const same = kept.get(one.class_id) ?? [];
    if (same.some((other) => similarity(other.box, one.box, beta, frame) > overlap)) return false;
    kept.set(one.class_id, [...same, one]);
    return true;
  });
}
