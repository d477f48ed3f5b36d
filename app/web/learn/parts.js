/** Pieces that scenes are made of: captions, fields, bars, and tables of numbers beside those of a text. */

import { dataTable, html } from "../dom.js";
import { LEARN } from "../strings.js";
import { digits } from "./formula.js";

/** @typedef {{label: string, text: number, set: () => void}} Case a setting of the text, and the number that it prints */

/** A scene: heading, words, a picture, and what stands beside it. @param {string} title @param {string} words @param {Node[]} picture @param {Node[]} beside */
export const scene = (title, words, picture, beside) =>
  html("section", { class: "card", "aria-label": title },
    html("h3", {}, title), html("p", {}, words),
    html("div", { class: "halves" }, html("div", { class: "picture" }, ...picture), html("div", {}, ...beside)));

/**
 * A slider with its value. @param {string} name @param {{min: number, max: number, step: number}} range
 * @param {() => number} get @param {(value: number) => void} set
 */
export function slider(name, range, get, set) {
  const value = html("span", { class: "value", "aria-hidden": "true" });
  const input = html("input", { type: "range", ...range, oninput: () => set(Number(input.value)) });
  const draw = () => {
    input.value = String(get());
    value.textContent = String(get());
  };
  draw();
  return { element: html("label", { class: "slider" }, name, value, input), draw };
}

/** A field for a number. @param {string} name @param {() => number} get @param {(value: number) => void} set */
export function field(name, get, set) {
  const input = html("input", { type: "number", step: 0.1, oninput: () => input.value !== "" && set(Number(input.value)) });
  const draw = () => {
    if (document.activeElement !== input) input.value = String(Number(get().toFixed(4)));
  };
  draw();
  return { element: html("label", { class: "field" }, name, input), draw };
}

/** The cases of a text: a button sets the scene, and our number stands beside the text's. @param {string} caption @param {string} head @param {Case[]} cases */
export function caseTable(caption, head, cases) {
  const ours = cases.map(() => html("span", {}, "…"));
  const rows = cases.map(({ label, text, set }, index) => [html("button", { type: "button", onclick: set }, label), ours[index], digits(text)]);
  const table = dataTable(caption, [head, LEARN.ours, LEARN.text], rows);
  return { table, fill: (/** @type {number[]} */ values) => values.forEach((value, index) => (ours[index].textContent = digits(value))) };
}

/** Costs that add up, as parts of one bar. @param {string[]} names */
export function stackedBar(names) {
  const parts = names.map((name, index) => html("span", { class: `part part-${index}`, title: name }));
  const legend = names.map((name, index) => ({ value: html("b", { class: "number" }), name, swatch: html("i", { class: `part-${index}` }) }));
  const total = html("b", { class: "number" });
  const element = html("div", {},
    html("div", { class: "bar", "aria-hidden": "true" }, ...parts),
    html("ul", { class: "legend" },
      ...legend.map(({ swatch, name, value }) => html("li", {}, swatch, `${name} `, value)),
      html("li", {}, `${LEARN.total} `, total)));
  return {
    element,
    draw(/** @type {number[]} */ values) {
      const sum = values.reduce((one, other) => one + other, 0);
      values.forEach((value, index) => {
        parts[index].style.width = sum > 0 ? `${(100 * value) / sum}%` : "0";
        legend[index].value.textContent = digits(value);
      });
      total.textContent = digits(sum);
    },
  };
}
