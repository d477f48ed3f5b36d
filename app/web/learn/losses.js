/** The worked examples as `POST /v1/losses` takes them: YOLOv1's 7x7 cells, and YOLOv2's 13x13 cells of five anchors. */

import { computeLosses } from "../api.js";

/** @typedef {import("./boxes.js").Box} Box */
/** @typedef {import("../api.js").Losses} Losses */
/**
 * What YOLOv1 says of one image: a box in cells with its center in the cell (3, 3), scores, and two confidences of the
 * empty cell (1, 1).
 * @typedef {{target: Box, box: Box, confidence: number, cat: number, chair: number, empty: [number, number]}} Cells
 */
/** @typedef {{anchor: number, column: number, row: number, box: Box, confidence: number}} Predictor its box in cells */

export const CELLS = 7;
export const CAT_CELL = 3;
const [CLASSES, CAT, CHAIR, PERSON] = [20, 7, 8, 14];
const SPEC = { class_names: Array.from({ length: CLASSES }, (_, id) => String(id)) };

const V1_SPEC = {
  ...SPEC, family: "v1", input_width: 448, input_height: 448, anchors_px: [], loss: { preset: "v1-walkthrough" },
  heads: [{ kind: "detection", grid_width: CELLS, grid_height: CELLS, boxes_per_cell: 2, class_activation: "softmax" }],
};

/** A center as float32 leaves it of a label's, so that equal boxes have equal numbers. @param {number} position in cells */
const offset = (position) => Math.fround(Math.fround(Math.fround(position / CELLS) * CELLS) - CAT_CELL);

/** @param {Cells} cells @returns {number[]} darknet's order: classes of all cells, confidences, boxes */
function v1Head({ box, confidence, cat, chair, empty }) {
  const count = CELLS * CELLS;
  const own = CAT_CELL * CELLS + CAT_CELL;
  const head = new Array(count * (CLASSES + 2 + 8)).fill(0);
  head[own * CLASSES + CAT] = cat;
  head[own * CLASSES + CHAIR] = chair;
  head[count * CLASSES + own * 2] = confidence;
  const corner = CELLS + 1;
  [head[count * CLASSES + corner * 2], head[count * CLASSES + corner * 2 + 1]] = empty;
  [offset(box.x), offset(box.y), box.w, box.h].forEach((value, side) => (head[count * (CLASSES + 2) + own * 8 + side] = value));
  return head;
}

/** @param {Box} box @param {number} cells @param {number} id */
const label = ({ x, y, w, h }, cells, id) => ({ class_id: id, box: { cx: x / cells, cy: y / cells, w: w / cells, h: h / cells } });

/** Losses of several images at once, each by itself. @param {Cells[]} images @returns {Promise<Losses>} */
export const walkthroughLosses = (images) =>
  computeLosses({
    spec: V1_SPEC, preset: "v1-walkthrough", divisor: 1,
    labels: images.map(({ target }) => [label(target, CELLS, CAT)]), heads: [images.map(v1Head)],
  });

export const GRID = 13;
/** Width and height in cells. @type {[number, number][]} */
export const ANCHORS = [[1.3221, 1.73145], [3.19275, 4.00944], [5.05587, 8.09892], [9.47112, 4.84053], [11.2364, 10.0071]];
const BACKGROUND_LOGIT = -4;
export const ROLES = ["background", "ignored", "responsible", "extra", "prior"];

const V2_SPEC = {
  ...SPEC, family: "v2", input_width: 32 * GRID, input_height: 32 * GRID, loss: { preset: "v2" },
  anchors_px: ANCHORS.map(([w, h]) => [32 * w, 32 * h]),
  heads: [{ kind: "region", grid_width: GRID, grid_height: GRID, anchor_indices: [0, 1, 2, 3, 4], class_activation: "softmax" }],
};

/** A person, 5 by 8 cells large. @returns {Box} */
export const person = () => ({ x: 6.6, y: 6.45, w: 5, h: 8 });

/** The confident predictors around the person, the one that has it first. @returns {Predictor[]} */
export const predictors = () =>
  /** @type {[number, number, number, number, number][]} */ ([
    [2, 6, 6, 4.6, 7.4], [1, 6, 6, 4.4, 7.8], [2, 7, 6, 5, 8], [0, 7, 6, 1.5, 2], [2, 1, 1, 5, 8],
  ]).map(([anchor, column, row, w, h]) => ({ anchor, column, row, box: { x: column + 0.5, y: row + 0.5, w, h }, confidence: 0.8 }));

/** @param {number} probability */
const logit = (probability) => Math.log(probability / (1 - probability));

/** Raw values [anchors * (5 + classes)][rows][columns]. @param {Predictor[]} confident */
export function v2Head(confident) {
  const values = 5 + CLASSES;
  const head = Array.from({ length: ANCHORS.length * values }, (_, channel) =>
    Array.from({ length: GRID }, () => new Array(GRID).fill(channel % values === 4 ? BACKGROUND_LOGIT : 0)));
  for (const { anchor, column, row, box, confidence } of confident) {
    const [w, h] = ANCHORS[anchor];
    const raw = [logit(box.x - column), logit(box.y - row), Math.log(box.w / w), Math.log(box.h / h), logit(confidence)];
    raw.forEach((value, entry) => (head[anchor * values + entry][row][column] = value));
  }
  return head;
}

/**
 * The loss of YOLOv2's example with all of its predictors. @param {Box} truth @param {Predictor[]} confident
 * @param {string} preset @param {object} [options] keys of the preset that differ @returns {Promise<Losses>}
 */
export const anchorLosses = (truth, confident, preset, options = {}) =>
  computeLosses({
    spec: V2_SPEC, preset, options, detail: "cells", dtype: "float64",
    labels: [[label(truth, GRID, PERSON)]], heads: [[v2Head(confident)]],
  });

/**
 * Asks with the newest state: while one request is under way, the last change alone waits.
 * @template T @param {() => Promise<T>} ask @param {(answer: T) => void} show
 * @param {import("../main.js").Context} context
 */
export function newest(ask, show, context) {
  let busy = false;
  let changed = false;
  return async () => {
    changed = true;
    if (busy) return;
    busy = true;
    try {
      while (changed) {
        changed = false;
        show(await ask());
        context.clear();
      }
    } catch (error) {
      context.complain(error);
    } finally {
      busy = false;
    }
  };
}
