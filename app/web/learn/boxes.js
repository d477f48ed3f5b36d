/** Boxes in an SVG that are moved and resized by pointer and by keyboard. */

import { foreign } from "../dom.js";

/** @typedef {{x: number, y: number, w: number, h: number}} Box center and size, in the units of its picture */
/**
 * @typedef {object} Options
 * @property {string} name what it is, for those who do not see it
 * @property {string} kind a class of the style sheet
 * @property {number} step of the arrow keys
 * @property {() => Box} get
 * @property {(box: Box) => void} set takes what the reader wants, and may bound it
 * @property {() => void} [chosen] the box got the focus
 * @property {number[][]} [corners] those that can be dragged
 */

export const TOP = [[-1, -1], [1, -1]];
const CORNERS = [...TOP, [-1, 1], [1, 1]];
const ARROWS = /** @type {Record<string, [number, number]>} */ ({
  ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1],
});

/** @param {SVGSVGElement} svg @param {PointerEvent} event in the units of the picture */
function place(svg, event) {
  const point = new DOMPoint(event.clientX, event.clientY).matrixTransform(svg.getScreenCTM()?.inverse());
  return { x: point.x, y: point.y };
}

/** The box whose one corner is dragged while the opposite one stays. @param {Box} box @param {number[]} corner @param {{x: number, y: number}} to */
function stretched(box, [sx, sy], to) {
  const [fixedX, fixedY] = [box.x - (sx * box.w) / 2, box.y - (sy * box.h) / 2];
  const [w, h] = [Math.max(sx * (to.x - fixedX), 0), Math.max(sy * (to.y - fixedY), 0)];
  return { x: fixedX + (sx * w) / 2, y: fixedY + (sy * h) / 2, w, h };
}

/** Adds a box to a picture; the answer draws it where it is now. @param {SVGSVGElement} svg @param {number} unit size of a handle @param {Options} options */
export function addBox(svg, unit, options) {
  const shape = foreign("svg", "rect", { class: "shape" });
  const edge = foreign("svg", "rect", { class: "edge" });
  const corners = options.corners ?? CORNERS;
  const handles = corners.map(() => foreign("svg", "circle", { class: "handle", r: unit }));
  const group = /** @type {SVGGElement} */ (
    foreign("svg", "g", { class: `box ${options.kind}`, tabindex: "0", role: "group" }, shape, edge, ...handles)
  );
  svg.append(group);
  /** @type {((point: {x: number, y: number}) => Box) | null} */
  let dragged = null;

  function draw() {
    const box = options.get();
    const corner = { x: box.x - box.w / 2, y: box.y - box.h / 2, width: box.w, height: box.h };
    for (const [name, value] of Object.entries(corner)) {
      for (const rectangle of [shape, edge]) rectangle.setAttribute(name, String(value));
    }
    handles.forEach((handle, index) => {
      handle.setAttribute("cx", String(box.x + (corners[index][0] * box.w) / 2));
      handle.setAttribute("cy", String(box.y + (corners[index][1] * box.h) / 2));
    });
    const place = [box.x, box.y, box.w, box.h].map((value) => Number(value.toFixed(2)));
    group.setAttribute("aria-label", `${options.name}: ${place.join(", ")}`);
  }
  group.addEventListener("pointerdown", (event) => {
    const start = options.get();
    const from = place(svg, event);
    const corner = handles.indexOf(/** @type {Element} */ (event.target));
    dragged = corner >= 0
      ? (to) => stretched(start, corners[corner], to)
      : (to) => ({ ...start, x: start.x + to.x - from.x, y: start.y + to.y - from.y });
    group.setPointerCapture(event.pointerId);
    group.focus({ preventScroll: true });
    event.preventDefault();
  });
  group.addEventListener("pointermove", (event) => dragged && options.set(dragged(place(svg, event))));
  for (const end of ["pointerup", "pointercancel"]) group.addEventListener(end, () => (dragged = null));
  group.addEventListener("focus", () => options.chosen?.());
  group.addEventListener("keydown", (event) => {
    const arrow = ARROWS[event.key];
    if (!arrow) return;
    event.preventDefault();
    const [dx, dy] = arrow.map((way) => way * options.step);
    const box = options.get();
    options.set(event.shiftKey
      ? { ...box, w: Math.max(box.w + dx, 0), h: Math.max(box.h + dy, 0) }
      : { ...box, x: box.x + dx, y: box.y + dy });
  });
  draw();
  return { group, draw };
}

/** A picture with a grid of cells. @param {string} name @param {number} columns @param {number} rows @param {number} [cell] */
export function grid(name, columns, rows, cell = 1) {
  const [width, height] = [columns * cell, rows * cell];
  const lines = [];
  for (let x = 0; x <= columns; x++) lines.push(`M${x * cell} 0V${height}`);
  for (let y = 0; y <= rows; y++) lines.push(`M0 ${y * cell}H${width}`);
  return /** @type {SVGSVGElement} */ (
    foreign("svg", "svg", { viewBox: `0 0 ${width} ${height}`, role: "group", "aria-label": name, class: "scene" },
      foreign("svg", "path", { class: "cells", d: lines.join("") }))
  );
}

/** Intersection over union of two boxes. @param {Box} a @param {Box} b */
export function iou(a, b) {
  const shared = (/** @type {"x" | "y"} */ center, /** @type {"w" | "h"} */ side) =>
    Math.max(0, Math.min(a[center] + a[side] / 2, b[center] + b[side] / 2) - Math.max(a[center] - a[side] / 2, b[center] - b[side] / 2));
  const intersection = shared("x", "w") * shared("y", "h");
  const union = a.w * a.h + b.w * b.h - intersection;
  return union > 0 ? intersection / union : 0;
}
