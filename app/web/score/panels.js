/** The loss in bars, tables and formulas; foreign text becomes text nodes only. */

import { html } from "../dom.js";
import { formula } from "../learn/formula.js";
import { SCORE } from "../strings.js";
import { census } from "./canvas.js";
import { formulaOf } from "./formulas.js";

/** @typedef {import("../api.js").ImageScore} ImageScore */
/** @typedef {import("../api.js").ObjectScore} ObjectScore */
/** @typedef {import("../api.js").Terms} Terms */

/** A number in short, with all its digits as its value. @param {number} value */
export const number = (value) => html("data", { value, title: value }, value !== 0 && Math.abs(value) < 1e-4 ? value.toExponential(2) : value.toFixed(4));

/** @param {string} term */
const termName = (term) => SCORE.terms[term] ?? term;

/** One stacked bar; widths are shares of `most`. @param {Terms} terms @param {number} most */
function bar(terms, most) {
  const parts = Object.entries(terms).map(([name, { weighted }]) => {
    const part = html("span", { class: `part term-${name}`, title: SCORE.share(termName(name), weighted.toFixed(4)) });
    part.style.width = `${(100 * Math.max(weighted, 0)) / Math.max(most, 1e-12)}%`;
    return part;
  });
  return html("span", { class: "bar", "aria-hidden": "true" }, ...parts);
}

/** @param {string} name @param {number} value @param {Terms} terms @param {number} most */
const line = (name, value, terms, most) => html("li", {}, html("span", { class: "name" }, name), bar(terms, most), number(value));

/** Total, terms and scales. @param {HTMLElement} place @param {ImageScore} result */
export function fillBars(place, result) {
  const { total, terms, by_scale, background } = result;
  const byTerm = Object.entries(terms).map(([name, value]) => line(termName(name), value.weighted, { [name]: value }, total));
  const scales = by_scale.map((scale) => line(SCORE.scale(scale.stride), scale.total, scale.terms, total));
  place.replaceChildren(
    html("p", { class: "total" }, html("span", {}, SCORE.total), number(total)),
    bar(terms, total),
    html("h3", {}, SCORE.byTerm),
    html("ul", { class: "lines", id: "by-term" }, ...byTerm),
    html("h3", {}, SCORE.byScale),
    html("ul", { class: "lines", id: "by-scale" }, ...scales, line(SCORE.background, background.total, background.terms, total)),
  );
}

/** @param {HTMLElement} body @param {ImageScore} result @param {number} chosen position in the labels @param {(index: number) => void} choose */
export function fillObjects(body, result, chosen, choose) {
  const held = body.contains(document.activeElement);
  const most = Math.max(...result.by_object.map(({ total }) => total), 1e-12);
  const crowd = result.not_scored.map(({ index, class_name }) => ({ index, class_name, total: 0, terms: {}, why: "", flags: ["crowd"] }));
  const rows = [...result.by_object, ...crowd].sort((a, b) => b.total - a.total).map((one) => {
    const button = html("button", { type: "button", "aria-pressed": String(one.index === chosen), onclick: () => choose(one.index) }, SCORE.object(one.index, one.class_name));
    const flags = one.flags.map((flag) => html("span", { class: "flag" }, flag.replace("_", " ")));
    return html("tr", {}, html("td", {}, button), html("td", { class: "cost" }, number(one.total), bar(one.terms, most)), html("td", { class: "why" }, one.why, " ", ...flags));
  });
  body.replaceChildren(...rows);
  if (held) /** @type {HTMLElement | null} */ (body.querySelector("[aria-pressed=true]"))?.focus();
}

/** @param {string[]} heads @param {(Node | string)[][]} rows @param {string} name */
function table(heads, rows, name) {
  const head = html("tr", {}, ...heads.map((text) => html("th", { scope: "col" }, text)));
  return html("table", { "aria-label": name }, html("thead", {}, head), html("tbody", {}, ...rows.map((row) => html("tr", {}, ...row.map((cell) => html("td", {}, cell))))));
}

/** @param {Terms} terms @param {Record<string, string>} names */
const termRows = (terms, names) => Object.entries(terms).map(([name, { weighted }]) => html("li", {}, html("span", { class: `name key term-${name}` }, names[name] ?? name), number(weighted)));

/** The chosen object: its predictors, what is predicted there, its costs. @param {HTMLElement} place @param {ObjectScore | null} object @param {ImageScore} result */
export function fillObject(place, object, result) {
  if (!object) {
    place.replaceChildren(html("p", { class: "hint" }, SCORE.none));
    return;
  }
  const { predicted, assignments, terms, box_parts } = object;
  const short = (/** @type {number} */ value) => value.toFixed(3);
  const roles = assignments.map((one) => [
    SCORE.scale(one.stride), one.cell.join(", "), one.anchor_px ? `${one.anchor_px.map((side) => Math.round(side)).join(" × ")}` : String(one.anchor),
    html("span", { class: `role role-${one.role}` }, SCORE.roles[one.role]), short(one.iou), short(one.anchor_iou),
  ]);
  const { counts, cost } = census({ object, result });
  place.replaceChildren(
    html("p", {}, html("strong", {}, SCORE.object(object.index, object.class_name)), " ", number(object.total), " ", html("span", { class: "why" }, object.why)),
    html("ul", { class: "lines short" }, ...termRows(terms, SCORE.terms)),
    html("h3", {}, SCORE.predicted),
    html("p", {}, SCORE.predictedWords(predicted.class_name, short(predicted.score), short(predicted.objectness), short(predicted.iou))),
    ...(roles.length ? [html("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": SCORE.role }, table(SCORE.roleHeads, roles, SCORE.role))] : []),
    ...(Object.keys(box_parts).length ? [html("h3", {}, SCORE.partsTitle), html("ul", { class: "lines short" }, ...termRows(box_parts, SCORE.parts))] : []),
    ...(counts.size ? [
      html("h3", {}, SCORE.near),
      html("p", {}, ...[...counts].map(([role, count]) => html("span", { class: `role role-${role}` }, SCORE.nearWords(SCORE.roles[role], count))), SCORE.nearCost(short(cost))),
    ] : []),
  );
}

/** @param {HTMLElement} place @param {ImageScore} result @param {(item: import("../api.js").Unexplained[]) => void} accept */
export function fillUnexplained(place, result, accept) {
  const found = result.unexplained;
  const items = found.map((one) => html("li", {}, html("button", { type: "button", onclick: () => accept([one]) }, SCORE.accept(one.class_name, one.score.toFixed(2)))));
  place.replaceChildren(
    html("p", { class: "hint" }, SCORE.unexplainedWords),
    html("ul", { class: "found" }, ...items),
    html("button", { type: "button", onclick: () => accept(found) }, SCORE.acceptAll),
  );
  place.hidden = !found.length;
  const title = /** @type {HTMLElement} */ (place.previousElementSibling);
  title.hidden = !found.length;
}

/** What a term was multiplied by, as far as its digits tell. @param {{raw: number, weighted: number}} term */
const factor = ({ raw, weighted }) => Number((weighted / raw).toPrecision(6));

/** Each term with its formula and its number. @param {HTMLElement} place @param {Terms} terms @param {string} preset */
export function fillFormulas(place, terms, preset) {
  place.replaceChildren(
    ...Object.entries(terms).map(([name, term]) => {
      const latex = formulaOf(preset, name);
      const filled = html("p", { class: "filled" }, number(term.weighted), term.raw ? ` = ${factor(term)} × ` : " = ", term.raw ? number(term.raw) : "0");
      return html("li", {}, html("span", { class: `key term-${name}` }, termName(name)), ...(latex ? [formula(latex)] : []), filled);
    }),
  );
}
