/** Drawing of labels, predictions, cells and costs over a picture. */

import { classColor } from "../picture.js";
import { placementOf } from "./boxes.js";

/** @typedef {import("../api.js").Box} Box */
/** @typedef {import("../api.js").ImageScore} ImageScore */
/** @typedef {import("./boxes.js").Label} Label */
/**
 * @typedef {object} Scene what is shown, boxes in pixels of the image
 * @property {import("../api.js").Size} image
 * @property {Label[]} labels
 * @property {number} chosen the label that is worked on, or -1
 * @property {import("../api.js").Detection[]} predictions
 * @property {ImageScore | null} result
 * @property {import("../api.js").ObjectScore | null} object the chosen one as it was scored
 * @property {import("../api.js").Spec} spec
 * @property {boolean[]} layers labels, predictions, unexplained
 * @property {string} map term whose cost is drawn, "total" or nothing
 */

export const ROLE_COLORS = /** @type {Record<string, string>} */ ({
  responsible: "#16a34a", extra: "#0891b2", ignored: "#9333ea", background: "#6b7280", prior: "#6b7280",
});

/** Cells on each side of an object's that are looked at. */
const REACH = 2;

/** @param {CanvasRenderingContext2D} context @param {Box} box @param {number} scale */
function stroke(context, box, scale) {
  context.strokeRect(box.x1 * scale, box.y1 * scale, (box.x2 - box.x1) * scale, (box.y2 - box.y1) * scale);
}

/** A cell of a scale, in pixels of the image. @param {Scene} scene @param {number} stride @param {number[]} cell @returns {Box} */
export function cellBox({ spec, image }, stride, [column, row]) {
  const placed = placementOf(spec, image);
  const x = (/** @type {number} */ at) => ((at - placed.left) * image.width) / placed.width;
  const y = (/** @type {number} */ at) => ((at - placed.top) * image.height) / placed.height;
  return { x1: x(column * stride), y1: y(row * stride), x2: x((column + 1) * stride), y2: y((row + 1) * stride) };
}

/** Costs by cell of one term, or of all. @param {import("../api.js").ScaleScore} scale @param {string} term @returns {number[][]} */
function costs(scale, term) {
  const planes = Object.entries(scale.cells ?? {}).filter(([name]) => term === "total" || name === term);
  return planes.map(([, rows]) => rows).reduce((sum, rows) => sum.map((row, r) => row.map((value, c) => value + rows[r][c])), planes[0]?.[1].map((row) => row.map(() => 0)) ?? []);
}

/** @param {CanvasRenderingContext2D} context @param {Scene} scene @param {number} scale */
function drawMap(context, scene, scale) {
  const planes = (scene.result?.by_scale ?? []).map((one) => ({ stride: one.stride, rows: costs(one, scene.map) }));
  const most = Math.max(1e-12, ...planes.flatMap(({ rows }) => rows.flat()));
  for (const { stride, rows } of planes) {
    rows.forEach((row, r) => row.forEach((value, c) => {
      const strength = Math.sqrt(value / most);
      if (strength < 0.05) return;
      const { x1, y1, x2, y2 } = cellBox(scene, stride, [c, r]);
      context.fillStyle = `rgb(${Math.round(255 - 60 * strength)} ${Math.round(150 - 140 * strength)} 0 / ${0.65 * strength})`;
      context.fillRect(x1 * scale, y1 * scale, (x2 - x1) * scale, (y2 - y1) * scale);
    }));
  }
}

/** The cells around the chosen object with their roles, its anchors, and what is predicted there. @param {CanvasRenderingContext2D} context @param {Scene} scene @param {number} scale @param {number} unit */
function drawObject(context, scene, scale, unit) {
  const { object } = scene;
  if (!object) return;
  const places = object.assignments.length ? object.assignments : [{ ...object.predicted, role: "background" }];
  context.setLineDash([]);
  context.lineWidth = unit;
  for (const { stride, cell: [column, row] } of places.slice(0, 1)) {
    context.strokeStyle = "rgb(255 255 255 / 55%)";
    for (let c = column - REACH; c <= column + REACH; c++) for (let r = row - REACH; r <= row + REACH; r++) stroke(context, cellBox(scene, stride, [c, r]), scale);
  }
  for (const near of nearby(scene)) {
    const box = cellBox(scene, near.stride, near.cell);
    context.fillStyle = `${ROLE_COLORS[near.role]}59`;
    context.fillRect(box.x1 * scale, box.y1 * scale, (box.x2 - box.x1) * scale, (box.y2 - box.y1) * scale);
  }
  context.lineWidth = 1.5 * unit;
  for (const one of places) {
    const cell = cellBox(scene, one.stride, one.cell);
    context.strokeStyle = ROLE_COLORS[one.role];
    context.setLineDash([]);
    stroke(context, cell, scale);
    if (!one.anchor_px) continue;
    const placed = placementOf(scene.spec, scene.image);
    const [w, h] = [(one.anchor_px[0] * scene.image.width) / placed.width / 2, (one.anchor_px[1] * scene.image.height) / placed.height / 2];
    const [x, y] = [(cell.x1 + cell.x2) / 2, (cell.y1 + cell.y2) / 2];
    context.setLineDash([3 * unit, 3 * unit]);
    stroke(context, { x1: x - w, y1: y - h, x2: x + w, y2: y + h }, scale);
  }
  context.setLineDash([]);
  context.lineWidth = 2.5 * unit;
  context.strokeStyle = "#2563eb";
  stroke(context, object.predicted.box, scale);
}

/**
 * Predictors that are no mere background within two cells of those of the chosen object.
 * @param {Pick<Scene, "object" | "result">} scene
 */
export function nearby({ object, result }) {
  const places = object?.assignments ?? [];
  return (result?.by_scale ?? []).flatMap(({ predictors = [] }) => predictors).filter(({ stride, cell }) =>
    places.some((one) => one.stride === stride && Math.abs(one.cell[0] - cell[0]) <= REACH && Math.abs(one.cell[1] - cell[1]) <= REACH));
}

/**
 * How many predictors of each role are around the chosen object, and what those without an object pay.
 * @param {Pick<Scene, "object" | "result">} scene
 */
export function census(scene) {
  const counts = new Map();
  for (const { role } of nearby(scene)) counts.set(role, (counts.get(role) ?? 0) + 1);
  let [all, cost] = [0, 0];
  for (const { stride, grid, roles, cells } of scene.result?.by_scale ?? []) {
    const anchors = Object.values(roles ?? {}).reduce((sum, count) => sum + count, 0) / (grid[0] * grid[1]);
    const places = scene.object?.assignments.filter((one) => one.stride === stride) ?? [];
    cells?.no_objectness?.forEach((row, r) => row.forEach((value, c) => {
      if (!places.some(({ cell }) => Math.abs(cell[0] - c) <= REACH && Math.abs(cell[1] - r) <= REACH)) return;
      all += anchors;
      cost += value;
    }));
  }
  const rest = all - [...counts.values()].reduce((sum, count) => sum + count, 0);
  if (rest > 0) counts.set("background", rest);
  return { counts, cost };
}

/** @param {CanvasRenderingContext2D} context @param {string} text @param {Box} box @param {number} scale @param {number} unit */
function tag(context, text, box, scale, unit) {
  const [x, y] = [Math.max(0, box.x1 * scale), Math.max(0, box.y1 * scale - 16 * unit)];
  context.fillRect(x, y, context.measureText(text).width + 6 * unit, 16 * unit);
  context.fillStyle = "#fff";
  context.fillText(text, x + 3 * unit, y + 2 * unit);
}

/** @param {CanvasRenderingContext2D} context @param {Label} label @param {boolean} chosen @param {number} scale @param {number} unit */
function drawLabel(context, label, chosen, scale, unit) {
  context.strokeStyle = context.fillStyle = classColor(label.class_id);
  context.lineWidth = (chosen ? 3 : 2) * unit;
  context.setLineDash(label.crowd ? [8 * unit, 4 * unit] : []);
  stroke(context, label.box, scale);
  tag(context, label.class_name, label.box, scale, unit);
  if (!chosen) return;
  const { x1, y1, x2, y2 } = label.box;
  context.lineWidth = unit;
  context.strokeStyle = classColor(label.class_id);
  for (const x of [x1, (x1 + x2) / 2, x2]) {
    for (const y of [y1, (y1 + y2) / 2, y2]) {
      if (x === (x1 + x2) / 2 && y === (y1 + y2) / 2) continue;
      context.fillRect(x * scale - 4 * unit, y * scale - 4 * unit, 8 * unit, 8 * unit);
      context.strokeRect(x * scale - 4 * unit, y * scale - 4 * unit, 8 * unit, 8 * unit);
    }
  }
}

/** Draws a scene over its picture, at the canvas's own size. @param {HTMLCanvasElement} canvas @param {Scene} scene */
export function drawScene(canvas, scene) {
  const context = canvas.getContext("2d");
  if (!context) return;
  const scale = canvas.width / scene.image.width;
  const unit = Math.max(1, window.devicePixelRatio);
  context.clearRect(0, 0, canvas.width, canvas.height);
  context.font = `600 ${Math.round(12 * unit)}px system-ui, sans-serif`;
  context.textBaseline = "top";
  if (scene.map) drawMap(context, scene, scale);
  if (scene.layers[1]) {
    context.strokeStyle = "#2563eb";
    context.lineWidth = 1.5 * unit;
    context.setLineDash([5 * unit, 4 * unit]);
    for (const { box } of scene.predictions) stroke(context, box, scale);
  }
  if (scene.layers[2]) {
    for (const one of scene.result?.unexplained ?? []) {
      context.strokeStyle = context.fillStyle = "#b45309";
      context.lineWidth = 2.5 * unit;
      context.setLineDash([2 * unit, 3 * unit]);
      stroke(context, one.box, scale);
      tag(context, `? ${one.class_name} ${one.score.toFixed(2)}`, one.box, scale, unit);
    }
  }
  drawObject(context, scene, scale, unit);
  if (scene.layers[0]) {
    scene.labels.forEach((label, index) => index !== scene.chosen && drawLabel(context, label, false, scale, unit));
    const chosen = scene.labels[scene.chosen];
    if (chosen) drawLabel(context, chosen, true, scale, unit);
  }
  context.setLineDash([]);
}
