/** Scenes of two questions on YOLOv2's loss: what 1[MaxIoU < thresh] does, and what a cell's other anchors pay. */

import { dataTable, foreign, html } from "../dom.js";
import { LEARN } from "../strings.js";
import { addBox, grid, iou } from "./boxes.js";
import { digits, formula, short } from "./formula.js";
import { ANCHORS, GRID, ROLES, anchorLosses, newest, person, predictors } from "./losses.js";
import { scene, slider } from "./parts.js";

/** @typedef {import("./boxes.js").Box} Box */
/** @typedef {import("./losses.js").Losses} Losses */
/** @typedef {import("../main.js").Context} Context */

const EDGE = 0.02;

/** @param {number} value @param {number} low @param {number} high */
const bounded = (value, low, high) => Math.min(Math.max(value, low), high);
/** A label, whose center stays in the picture. @param {Box} box @returns {Box} */
const inPicture = ({ x, y, w, h }) => ({
  x: bounded(x, 0, GRID - 0.001), y: bounded(y, 0, GRID - 0.001), w: bounded(w, 0.2, GRID), h: bounded(h, 0.2, GRID),
});

/** @param {string} role */
const roleName = (role) => html("span", { class: `role ${role}` }, role);

/** Who pays for its objectness without an object. @param {Context} context */
export function maxIouScene(context) {
  let truth = person();
  let threshold = 0.6;
  let chosen = 1;
  const confident = predictors();
  const svg = grid(LEARN.maxIouPicture, GRID, GRID);
  const body = html("tbody");
  const counts = html("p", { class: "hint", role: "status" });
  const indicated = html("div");

  /** @param {[Losses, Losses]} answers with the filter and without */
  function show([filtered, free]) {
    const [scale, unfiltered] = [filtered.by_scale[0], free.by_scale[0]];
    const rows = confident.map((predictor, index) => {
      const { anchor, column, row, box, confidence } = predictor;
      const role = ROLES[scale.cell_roles[0][anchor][row][column]];
      const best = iou(box, truth);
      shapes[index].group.setAttribute("class", `box ${role}${index === chosen ? " chosen" : ""}`);
      const cost = (/** @type {typeof scale} */ of) => of.cells.no_objectness[0][anchor][row][column];
      if (index === chosen) {
        const latex = `1[${short(best)} < ${short(threshold)}] \\cdot ${short(confidence)}^2 =`;
        indicated.replaceChildren(formula(latex, html("b", { class: "number" }, digits(cost(scale)))));
      }
      const button = html("button", { type: "button", "aria-pressed": String(index === chosen), onclick: () => choose(index) },
        `(${column}, ${row}), ${anchor}`);
      return html("tr", {}, html("th", { scope: "row" }, button), html("td", { class: "number" }, digits(best)),
        html("td", {}, roleName(role)), html("td", { class: "number" }, digits(cost(scale))),
        html("td", { class: "number" }, digits(cost(unfiltered))));
    });
    const held = body.contains(document.activeElement);
    body.replaceChildren(...rows);
    if (held) /** @type {HTMLElement | null} */ (body.querySelector("[aria-pressed=true]"))?.focus();
    const { responsible = 0, ignored = 0, background = 0 } = scale.roles;
    counts.textContent = LEARN.roleCounts(GRID * GRID * ANCHORS.length, responsible, ignored, background);
  }
  const update = newest(
    () => Promise.all([
      anchorLosses(truth, confident, "v2", { ignore_threshold: threshold }),
      anchorLosses(truth, confident, "v2", { ignore_threshold: null }),
    ]), show, context);
  function redraw() {
    for (const { draw } of [label, ...shapes, ...sliders]) draw();
    update();
  }
  /** @param {number} index */
  function choose(index) {
    if (index === chosen) return;
    chosen = index;
    redraw();
  }
  const label = addBox(svg, 0.16, {
    name: LEARN.label, kind: "target", step: 0.1, get: () => truth,
    set(box) {
      truth = inPicture(box);
      redraw();
    },
  });
  const shapes = confident.map((predictor, index) => addBox(svg, 0.16, {
    name: LEARN.predictor(predictor.column, predictor.row, predictor.anchor), kind: "background", step: 0.1,
    get: () => predictor.box, chosen: () => choose(index),
    set({ x, y, w, h }) { // a predictor's center cannot leave its cell
      predictor.box = {
        x: bounded(x, predictor.column + EDGE, predictor.column + 1 - EDGE), y: bounded(y, predictor.row + EDGE, predictor.row + 1 - EDGE),
        w: bounded(w, 0.2, GRID), h: bounded(h, 0.2, GRID),
      };
      redraw();
    },
  }));
  const area = (/** @type {number} */ index) => confident[index].box.w * confident[index].box.h;
  const byArea = [...shapes.keys()].sort((one, other) => area(other) - area(one));
  svg.append(...byArea.map((index) => shapes[index].group)); // small ones over large ones, so that each can be reached
  const sliders = [
    slider(LEARN.threshold, { min: 0, max: 1, step: 0.01 }, () => threshold, (value) => {
      threshold = value;
      redraw();
    }),
    slider(LEARN.chosenConfidence, { min: 0.01, max: 0.99, step: 0.01 }, () => confident[chosen].confidence, (value) => {
      confident[chosen].confidence = value;
      redraw();
    }),
  ];
  const again = html("button", { type: "button", onclick: () => {
    [truth, threshold] = [person(), 0.6];
    predictors().forEach((predictor, index) => Object.assign(confident[index], predictor));
    redraw();
  } }, LEARN.again);
  redraw();
  return scene(LEARN.maxIou, LEARN.maxIouWords, [svg, ...sliders.map(({ element }) => element), again],
    [formula("1[\\text{MaxIoU} < \\text{thresh}] \\cdot C^2"), html("p", {}, LEARN.maxIouAnswer),
      indicated, dataTable(LEARN.maxIouTable, LEARN.maxIouHeads, body), counts]);
}

/** What the anchors of a cell pay when one of them has the object. @param {Context} context */
export function anchorScene(context) {
  let truth = person();
  let preset = "v2";
  const confident = predictors();
  const svg = grid(LEARN.anchorPicture, GRID, GRID);
  const cell = foreign("svg", "rect", { class: "own", width: 1, height: 1 });
  const shapes = ANCHORS.map(([width, height]) => foreign("svg", "rect", { width, height }));
  svg.append(cell, ...shapes);
  const table = html("div");
  const where = html("p", { class: "hint", role: "status" });
  const update = newest(() => anchorLosses(truth, confident, preset), (answer) => {
    const scale = answer.by_scale[0];
    const [column, row] = [Math.floor(truth.x), Math.floor(truth.y)];
    const names = Object.keys(scale.cells).filter((name) => name !== "prior");
    const rows = ANCHORS.map(([width, height], anchor) => {
      const role = ROLES[scale.cell_roles[0][anchor][row][column]];
      shapes[anchor].setAttribute("class", `anchor ${role}`);
      shapes[anchor].setAttribute("x", String(column + 0.5 - width / 2));
      shapes[anchor].setAttribute("y", String(row + 0.5 - height / 2));
      return [anchor, roleName(role), ...names.map((name) => digits(scale.cells[name][0][anchor][row][column]))];
    });
    const scrolled = table.firstElementChild?.scrollLeft ?? 0;
    table.replaceChildren(dataTable(LEARN.anchorTable, [LEARN.anchor, LEARN.role, ...names.map((name) => LEARN.terms[name] ?? name)], rows));
    if (table.firstElementChild) table.firstElementChild.scrollLeft = scrolled;
    cell.setAttribute("x", String(column));
    cell.setAttribute("y", String(row));
    where.textContent = LEARN.cellOf(column, row);
  }, context);
  const label = addBox(svg, 0.16, {
    name: LEARN.label, kind: "target", step: 0.1, get: () => truth,
    set(box) {
      truth = inPicture(box);
      label.draw();
      update();
    },
  });
  const choices = ["v2", "v4"].map((name) => html("label", {},
    html("input", { type: "radio", name: "learn-preset", value: name, checked: name === preset, onchange: () => {
      preset = name;
      update();
    } }), ` ${LEARN.presets[name]}`));
  const again = html("button", { type: "button", onclick: () => {
    truth = person();
    label.draw();
    update();
  } }, LEARN.again);
  update();
  return scene(LEARN.anchors, LEARN.anchorsWords, [svg, again],
    [html("p", {}, LEARN.anchorsAnswer), html("fieldset", { class: "row" }, html("legend", {}, LEARN.preset), ...choices), where, table]);
}
