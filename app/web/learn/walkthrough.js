/** Scenes of the walkthrough of YOLOv1's loss: roots, overlap, and a cat whose five terms can be changed. */

import { foreign, html } from "../dom.js";
import { LEARN } from "../strings.js";
import { TOP, addBox, grid } from "./boxes.js";
import { digits, formula, short } from "./formula.js";
import { CAT_CELL, CELLS, newest, walkthroughLosses } from "./losses.js";
import { caseTable, field, scene, slider, stackedBar } from "./parts.js";

/** @typedef {import("./losses.js").Cells} Cells */
/** @typedef {import("../main.js").Context} Context */
/** @typedef {import("./boxes.js").Box} Box */

/** @returns {Cells} */
const perfect = () => {
  const target = { x: CAT_CELL + 0.4, y: CAT_CELL + 0.5, w: 2.4, h: 3.2 };
  return { target, box: { ...target }, confidence: 1, cat: 1, chair: 0, empty: [0, 0] };
};

/** Two boxes with their centers in the middle of the cell, sizes in pixels. @param {Box} target @param {Box} box */
const pair = (target, box) => ({
  ...perfect(), target: { ...target, x: CAT_CELL + 0.5, y: CAT_CELL + 0.5 },
  box: { ...box, x: CAT_CELL + 0.5 + box.x - target.x, y: CAT_CELL + 0.5 + box.y - target.y },
});

/** Heights of a small and a large object. @param {Context} context */
export function rootScene(context) {
  const [bottom, most] = [330, 320];
  const objects = [
    { name: LEARN.small, x: 90, height: 80, predicted: 140, text: 8.349 },
    { name: LEARN.large, x: 290, height: 240, predicted: 300, text: 3.345 },
  ];
  const svg = grid(LEARN.rootsPicture, 1, 1, 0);
  svg.setAttribute("viewBox", "0 0 400 340");
  const values = objects.map(() => html("b", { class: "number", role: "status" }));
  const filled = objects.map(() => html("div"));
  const asked = () => walkthroughLosses(objects.map(({ height, predicted }) =>
    pair({ x: 0, y: 0, w: 1, h: height }, { x: 0, y: 0, w: 1, h: predicted })));
  const update = newest(asked, ({ by_image }) => {
    by_image.forEach(({ terms }, index) => {
      values[index].textContent = digits(terms.wh.raw);
      const { height, predicted } = objects[index];
      filled[index].replaceChildren(formula(`(\\sqrt{${height}} - \\sqrt{${predicted}})^2 =`, values[index]));
    });
  }, context);
  const drawn = objects.map((object) => {
    const bounded = (/** @type {number} */ height) => {
      object.predicted = Math.round(Math.min(Math.max(height, 10), most));
      for (const draw of drawn) draw();
      update();
    };
    svg.append(foreign("svg", "rect", { class: "target", x: object.x - 50, y: bottom - object.height, width: 100, height: object.height }));
    const box = addBox(svg, 7, {
      name: LEARN.predictedHeight(object.name), kind: "predicted", step: 5, corners: TOP,
      get: () => ({ x: object.x, y: bottom - object.predicted / 2, w: 100, h: object.predicted }),
      set: ({ y, h }) => bounded(bottom - (y - h / 2)),
    });
    const row = slider(LEARN.predictedHeight(object.name), { min: 10, max: most, step: 1 }, () => object.predicted, bounded);
    return Object.assign(() => (box.draw(), row.draw()), { row: row.element });
  });
  const cases = objects.map((object) => ({
    label: LEARN.rootCase(object.height, object.height + 60), text: object.text,
    set() {
      object.predicted = object.height + 60;
      for (const draw of drawn) draw();
      update();
    },
  }));
  const table = caseTable(LEARN.rootsNote, LEARN.rootsHead, cases);
  asked().then(({ by_image }) => table.fill(by_image.map(({ terms }) => terms.wh.raw))).catch(context.complain);
  update();
  return scene(LEARN.roots, LEARN.rootsWords, [svg, ...drawn.map(({ row }) => row)],
    [formula("(\\sqrt{h} - \\sqrt{h'})^2"), ...filled, table.table]);
}

/** Two boxes of 200x200. @param {Context} context */
export function overlapScene(context) {
  const fixed = { x: 130, y: 130, w: 200, h: 200 };
  const box = { ...fixed };
  const svg = grid(LEARN.overlapPicture, 20, 20, 22);
  svg.append(foreign("svg", "rect", { class: "target", x: 30, y: 30, width: 200, height: 200 }));
  const value = html("b", { class: "number", role: "status" });
  const filled = html("div");
  const update = newest(() => walkthroughLosses([pair(fixed, box)]), ({ by_object }) => {
    const iou = by_object[0].assignments[0].iou;
    const across = Math.max(0, Math.min(box.x + box.w / 2, 230) - Math.max(box.x - box.w / 2, 30));
    const down = Math.max(0, Math.min(box.y + box.h / 2, 230) - Math.max(box.y - box.h / 2, 30));
    const [own, shared] = [box.w * box.h, across * down].map((area) => String(Math.round(area)));
    value.textContent = digits(iou);
    filled.replaceChildren(formula(`\\frac{${shared}}{40000 + ${own} - ${shared}} =`, value));
  }, context);
  const moved = (/** @type {Box} */ to) => {
    Object.assign(box, to, { x: Math.min(Math.max(to.x, 0), 440), y: Math.min(Math.max(to.y, 0), 440) });
    shown.draw();
    update();
  };
  const shown = addBox(svg, 8, { name: LEARN.prediction, kind: "predicted", step: 10, get: () => box, set: moved });
  const shifts = /** @type {[number, number][]} */ ([[20, 0.6807], [100, 0.1429], [180, 0.005]]);
  const at = (/** @type {number} */ shift) => ({ ...fixed, x: fixed.x + shift, y: fixed.y + shift });
  const table = caseTable(LEARN.overlapNote, LEARN.shift, shifts.map(([shift, text]) => ({
    label: `${shift} px`, text, set: () => moved(at(shift)),
  })));
  walkthroughLosses(shifts.map(([shift]) => pair(fixed, at(shift))))
    .then(({ by_object }) => table.fill(by_object.map(({ assignments }) => assignments[0].iou))).catch(context.complain);
  moved(at(20));
  return scene(LEARN.overlap, LEARN.overlapWords, [svg],
    [formula("\\text{IoU} = \\frac{\\text{intersection}}{\\text{union}}"), filled, table.table]);
}

/** @typedef {{x?: number, y?: number, w?: number, h?: number, confidence?: number, cat?: number, chair?: number, empty?: [number, number]}} Change x and y in the cell */
/** @typedef {{name: string, words: string, latex: string, head: string, cases: [string, Change, number][], filled: (cells: Cells, iou: number) => string, value: (terms: import("../api.js").Terms) => number}} Part */

/** @param {number} one @param {number} other */
const squared = (one, other) => `(${short(one)} - ${short(other)})^2`;

/** @returns {Part[]} */
const catParts = () => [
  {
    name: LEARN.box, words: LEARN.boxWords, head: "x′, y′, w′, h′",
    latex: "(x - x')^2 |+ (y - y')^2 |+ (\\sqrt{w} - \\sqrt{w'})^2 |+ (\\sqrt{h} - \\sqrt{h'})^2",
    cases: [
      ["0.4, 0.5, 2.4, 3.2", { x: 0.4, y: 0.5, w: 2.4, h: 3.2 }, 1.8474e-13],
      ["0.4, 0.5, 2.8, 4", { x: 0.4, y: 0.5, w: 2.8, h: 4 }, 0.06],
      ["0.3, 0.2, 3.2, 4.3", { x: 0.3, y: 0.2, w: 3.2, h: 4.3 }, 0.2385],
    ],
    filled: ({ box, target }) => [
      squared(target.x - CAT_CELL, box.x - CAT_CELL), squared(target.y - CAT_CELL, box.y - CAT_CELL),
      `(\\sqrt{${short(target.w)}} - \\sqrt{${short(box.w)}})^2`, `(\\sqrt{${short(target.h)}} - \\sqrt{${short(box.h)}})^2`,
    ].join(" |+ "),
    value: ({ xy, wh }) => xy.raw + wh.raw,
  },
  {
    name: LEARN.object, words: LEARN.objectWords, latex: "(C - \\text{IoU})^2", head: "C",
    cases: [["1", { confidence: 1 }, 1.4211e-14], ["0.9", { confidence: 0.9 }, 0.01], ["0.6", { confidence: 0.6 }, 0.16]],
    filled: ({ confidence }, iou) => squared(confidence, iou),
    value: ({ objectness }) => objectness.raw,
  },
  {
    name: LEARN.classes, words: LEARN.classesWords, latex: "\\sum_c (p_c - p'_c)^2", head: LEARN.classesHead,
    cases: [["1, 0", { cat: 1, chair: 0 }, 0], ["0.9, 0.1", { cat: 0.9, chair: 0.1 }, 0.02], ["0.2, 0.8", { cat: 0.2, chair: 0.8 }, 1.28]],
    filled: ({ cat, chair }) => `${squared(1, cat)} + ${squared(0, chair)}`,
    value: ({ classification }) => classification.raw,
  },
  {
    name: LEARN.empty, words: LEARN.emptyWords, latex: "C_1^2 + C_2^2", head: "C₁, C₂",
    cases: [["0, 0", { empty: [0, 0] }, 0], ["0.2, 0.3", { empty: [0.2, 0.3] }, 0.13]],
    filled: ({ empty }) => `${short(empty[0])}^2 + ${short(empty[1])}^2`,
    value: ({ no_objectness }) => no_objectness.raw,
  },
];

/** @param {Cells} cells @param {Change} change @returns {Cells} */
function changed(cells, { x, y, w, h, ...scores }) {
  const { box } = cells;
  const moved = {
    x: x === undefined ? box.x : CAT_CELL + x, y: y === undefined ? box.y : CAT_CELL + y, w: w ?? box.w, h: h ?? box.h,
  };
  return { ...cells, ...scores, box: moved };
}

/** The whole loss of one image: a cat in the cell (3, 3). @param {Context} context */
export function catScene(context) {
  let cells = changed(perfect(), { x: 0.3, y: 0.2, w: 3.2, h: 4.3, confidence: 0.6, cat: 0.9, chair: 0.1, empty: [0.2, 0.3] });
  const parts = catParts();
  const filled = parts.map(() => html("div"));
  const bar = stackedBar([LEARN.box5, LEARN.object, LEARN.classes, LEARN.emptyHalf]);
  const update = newest(() => walkthroughLosses([cells]), ({ terms, by_object }) => {
    const { iou } = by_object[0].assignments[0];
    parts.forEach((part, index) => {
      const value = html("b", { class: "number" }, digits(part.value(terms)));
      filled[index].replaceChildren(formula(`${part.filled(cells, iou)} =`, value));
    });
    bar.draw([terms.xy.weighted + terms.wh.weighted, ...[terms.objectness, terms.classification, terms.no_objectness].map((one) => one.weighted)]);
  }, context);
  const set = (/** @type {Change} */ change) => {
    cells = changed(cells, change);
    for (const { draw } of drawn) draw();
    update();
  };
  const svg = grid(LEARN.catPicture, CELLS, CELLS);
  svg.append(
    foreign("svg", "rect", { class: "own", x: CAT_CELL, y: CAT_CELL, width: 1, height: 1 }),
    foreign("svg", "rect", { class: "empty", x: 1, y: 1, width: 1, height: 1 }),
    foreign("svg", "rect", { class: "target", x: CAT_CELL - 0.8, y: CAT_CELL - 1.1, width: 2.4, height: 3.2 }));
  const inside = (/** @type {number} */ value) => Number((Math.min(Math.max(value, 0), CELLS) - CAT_CELL).toFixed(3));
  const size = (/** @type {number} */ value) => Number(Math.min(Math.max(value, 0.05), CELLS).toFixed(3));
  const box = addBox(svg, 0.13, {
    name: LEARN.prediction, kind: "predicted", step: 0.1, get: () => cells.box,
    set: ({ x, y, w, h }) => set({ x: inside(x), y: inside(y), w: size(w), h: size(h) }),
  });
  const fields = [
    field("x′", () => cells.box.x - CAT_CELL, (x) => set({ x })), field("y′", () => cells.box.y - CAT_CELL, (y) => set({ y })),
    field("w′", () => cells.box.w, (w) => set({ w: size(w) })), field("h′", () => cells.box.h, (h) => set({ h: size(h) })),
  ];
  const share = (/** @type {string} */ name, /** @type {() => number} */ get, /** @type {(value: number) => void} */ put) =>
    slider(name, { min: 0, max: 1, step: 0.01 }, get, put);
  const sliders = [
    share(LEARN.confidence, () => cells.confidence, (confidence) => set({ confidence })),
    share(LEARN.catScore, () => cells.cat, (cat) => set({ cat })),
    share(LEARN.chairScore, () => cells.chair, (chair) => set({ chair })),
    share(LEARN.emptyFirst, () => cells.empty[0], (first) => set({ empty: [first, cells.empty[1]] })),
    share(LEARN.emptySecond, () => cells.empty[1], (second) => set({ empty: [cells.empty[0], second] })),
  ];
  const drawn = [box, ...fields, ...sliders];
  const tables = parts.map((part) => caseTable(LEARN.casesOf(part.name), part.head,
    part.cases.map(([label, change, text]) => ({ label, text, set: () => set(change) }))));
  const images = parts.flatMap((part) => part.cases.map(([, change]) => changed(perfect(), change)));
  walkthroughLosses(images).then(({ by_image }) => {
    const terms = by_image.map((image) => image.terms);
    parts.forEach((part, index) => tables[index].fill(terms.splice(0, part.cases.length).map(part.value)));
  }).catch(context.complain);
  update();
  return scene(LEARN.cat, LEARN.catWords,
    [svg, html("div", { class: "fields" }, ...fields.map(({ element }) => element)), ...sliders.map(({ element }) => element), bar.element],
    parts.flatMap((part, index) => [
      html("h4", {}, part.name), html("p", {}, part.words), formula(part.latex), filled[index], tables[index].table,
    ]));
}
