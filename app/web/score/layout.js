/** The elements of the view Score. */

import { html } from "../dom.js";
import { SCORE, TEXT } from "../strings.js";
import { PRESETS } from "./formulas.js";

/** @param {string} id @param {string} text @param {Record<string, import("../dom.js").Property>} [more] */
const button = (id, text, more = {}) => html("button", { type: "button", id, ...more }, text);

/** @param {string} id @param {string} text @param {HTMLOptionElement[]} [options] */
const choice = (id, text, options = []) => [html("label", { for: id }, text), html("select", { id }, ...options)];

/** @param {string} id @param {string} text @param {string} accept @param {boolean} several */
const file = (id, text, accept, several) =>
  html("label", { class: "button" }, html("span", {}, text), html("input", { type: "file", id, accept, multiple: several }));

function controls() {
  const layers = SCORE.layerNames.map((name, index) => html("label", { class: "check" }, html("input", { type: "checkbox", "data-layer": index, checked: true }), ` ${name}`));
  return html("section", { class: "controls", "aria-label": SCORE.settings },
    html("div", { class: "row" },
      file("score-file", SCORE.choosePicture, "image/*", false), file("score-labels", SCORE.chooseLabels, ".txt,.xml,.json", false), button("score-sample", TEXT.sample)),
    html("p", { class: "hint" }, SCORE.dropHint),
    ...choice("score-model", TEXT.model),
    ...choice("score-preset", SCORE.preset, [new Option(SCORE.own, ""), ...PRESETS.map((name) => new Option(name, name))]),
    html("fieldset", {}, html("legend", {}, SCORE.layers), ...layers),
    ...choice("score-map", SCORE.map),
    html("p", { id: "score-status", role: "status" }));
}

function editor() {
  return html("section", { class: "editor", "aria-label": TEXT.picture },
    html("div", { class: "row", role: "group", "aria-label": SCORE.tools },
      button("score-undo", SCORE.undo, { disabled: true }), button("score-redo", SCORE.redo, { disabled: true }),
      button("score-add", SCORE.add, { disabled: true }), button("score-delete", SCORE.delete, { disabled: true }),
      html("span", {}, html("label", { for: "score-class" }, SCORE.change), " ", html("select", { id: "score-class", disabled: true })),
      html("span", { class: "gap" }),
      html("select", { id: "score-format", "aria-label": SCORE.format }, ...Object.entries(SCORE.formats).map(([value, name]) => new Option(name, value))),
      button("score-download", SCORE.download, { disabled: true })),
    html("div", { class: "stack", hidden: true },
      html("canvas", { id: "score-picture", "aria-hidden": "true" }),
      html("canvas", { id: "score-canvas", tabindex: 0, role: "application", "aria-label": SCORE.picture, "aria-describedby": "score-help" })),
    html("p", { class: "empty", id: "score-empty" }, SCORE.empty),
    html("details", {}, html("summary", {}, SCORE.keys), html("p", { id: "score-help" }, SCORE.help)));
}

function results() {
  const head = html("tr", {}, ...SCORE.columns.map((text) => html("th", { scope: "col" }, text)));
  const objects = html("table", {}, html("thead", {}, head), html("tbody", { id: "score-objects" }));
  return html("section", { class: "results", "aria-label": SCORE.bars, hidden: true },
    html("div", { id: "score-bars" }),
    html("h3", {}, SCORE.unexplained), html("div", { id: "score-unexplained" }),
    html("h3", {}, SCORE.byObject),
    html("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": SCORE.byObject }, objects));
}

function below() {
  return html("section", { class: "below", hidden: true, "aria-label": SCORE.formulas },
    html("div", {}, html("h3", {}, SCORE.objectTitle), html("div", { id: "score-object" })),
    html("div", {}, html("h3", {}, SCORE.formulas), html("p", { class: "hint", id: "score-normalizer" }), html("ul", { id: "score-formulas" })));
}

/** @param {HTMLElement} section */
export function build(section) {
  section.append(html("h2", {}, SCORE.title), controls(), editor(), results(), below());
  return section;
}
