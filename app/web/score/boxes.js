/** Arithmetic of labels that are edited by hand: hits, moves, corners, and what was done before. */

/** @typedef {import("../api.js").Box} Box */
/** @typedef {import("../api.js").Size} Size */
/** @typedef {{class_id: number, class_name: string, box: Box, difficult: boolean, crowd: boolean}} Label */
/** @typedef {"move" | "nw" | "ne" | "sw" | "se" | "n" | "e" | "s" | "w"} Grip what of a box is held */

/** Least width and height of a label in pixels. */
export const LEAST = 2;

/** @param {number} value @param {number} least @param {number} most */
const clamp = (value, least, most) => Math.min(Math.max(value, least), most);

/**
 * What of a box is under a point: a corner or an edge within `reach`, the inside, or nothing.
 * @param {Box} box @param {number} x @param {number} y @param {number} reach in pixels @returns {Grip | null}
 */
export function gripAt(box, x, y, reach) {
  const inX = x >= box.x1 - reach && x <= box.x2 + reach;
  const inY = y >= box.y1 - reach && y <= box.y2 + reach;
  if (!inX || !inY) return null;
  const inner = Math.min(reach, (box.x2 - box.x1) / 3, (box.y2 - box.y1) / 3); // a small box can still be moved
  const row = y < box.y1 + inner ? "n" : y > box.y2 - inner ? "s" : "";
  const column = x < box.x1 + inner ? "w" : x > box.x2 - inner ? "e" : "";
  return /** @type {Grip} */ (row + column || "move");
}

/**
 * A box whose grip was pulled by (dx, dy), within the image and at least `LEAST` pixels wide and high.
 * @param {Box} box @param {Grip} grip @param {number} dx @param {number} dy @param {Size} image @returns {Box}
 */
export function pulled(box, grip, dx, dy, image) {
  if (grip === "move") {
    const x = clamp(dx, -box.x1, Math.max(image.width - box.x2, -box.x1));
    const y = clamp(dy, -box.y1, Math.max(image.height - box.y2, -box.y1));
    return { x1: box.x1 + x, y1: box.y1 + y, x2: box.x2 + x, y2: box.y2 + y };
  }
  const { x1, y1, x2, y2 } = box;
  return {
    x1: grip.includes("w") ? clamp(x1 + dx, 0, x2 - LEAST) : x1,
    y1: grip.includes("n") ? clamp(y1 + dy, 0, y2 - LEAST) : y1,
    x2: grip.includes("e") ? clamp(x2 + dx, x1 + LEAST, image.width) : x2,
    y2: grip.includes("s") ? clamp(y2 + dy, y1 + LEAST, image.height) : y2,
  };
}

/** The box between two points, within the image. @param {number[]} from @param {number[]} to @param {Size} image @returns {Box} */
export function between(from, to, image) {
  const xs = [from[0], to[0]].map((x) => clamp(x, 0, image.width)).sort((a, b) => a - b);
  const ys = [from[1], to[1]].map((y) => clamp(y, 0, image.height)).sort((a, b) => a - b);
  return { x1: xs[0], y1: ys[0], x2: xs[1], y2: ys[1] };
}

/** @param {Box} box */
export const area = (box) => (box.x2 - box.x1) * (box.y2 - box.y1);

/**
 * Where an image lies on the network's input, in network pixels, as the service places it.
 * @param {import("../api.js").Spec} spec @param {Size} image
 */
export function placementOf(spec, image) {
  let [width, height] = [spec.input_width, spec.input_height];
  if (spec.resize.placement === "letterbox") {
    if (width * image.height < height * image.width) height = Math.max(Math.floor((image.height * width) / image.width), 1);
    else width = Math.max(Math.floor((image.width * height) / image.height), 1);
  }
  return { left: Math.floor((spec.input_width - width) / 2), top: Math.floor((spec.input_height - height) / 2), width, height };
}

/** Labels and what they were before; each state is a list that is never changed. */
export class History {
  /** @type {Label[][]} */
  past = [];
  /** @type {Label[][]} */
  future = [];

  /** @param {Label[]} labels */
  constructor(labels) {
    this.labels = labels;
  }

  /** @param {Label[]} labels */
  reset(labels) {
    this.past = [];
    this.future = [];
    this.labels = labels;
  }

  /** A step that can be undone. @param {Label[]} labels @param {Label[]} [before] the state to go back to, now by default */
  push(labels, before = this.labels) {
    this.past = [...this.past.slice(-199), before];
    this.future = [];
    this.labels = labels;
  }

  undo() {
    const before = this.past.pop();
    if (!before) return false;
    this.future.push(this.labels);
    this.labels = before;
    return true;
  }

  redo() {
    const after = this.future.pop();
    if (!after) return false;
    this.past.push(this.labels);
    this.labels = after;
    return true;
  }
}
