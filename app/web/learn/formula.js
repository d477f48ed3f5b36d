/** Formulas as MathML, written in the few commands of LaTeX that they need. */

import { foreign, html } from "../dom.js";

const SYMBOLS = /** @type {Record<string, string>} */ ({
  alpha: "α", cap: "∩", cdot: "⋅", cup: "∪", delta: "δ", lambda: "λ", log: "log", sum: "∑", to: "→",
});
const OPERATORS = new Set(["cap", "cdot", "cup", "sum", "to"]);
const TOKENS = /\\(?:text|mathrm)\{[^}]*\}|\\[a-z]+|\\,|\d+(?:\.\d+)?|[a-zA-Z]|[^\s]/g;

/** @param {string} name @param {...(Node | string)} children */
const math = (name, ...children) => foreign("math", name, {}, ...children);

/** @param {string} token */
function leaf(token) {
  if (token.startsWith("\\text")) return math("mtext", token.slice(6, -1));
  if (token.startsWith("\\mathrm")) return math("mi", token.slice(8, -1));
  if (token === "\\,") return foreign("math", "mspace", { width: "0.17em" });
  if (token.startsWith("\\")) return math(OPERATORS.has(token.slice(1)) ? "mo" : "mi", SYMBOLS[token.slice(1)]);
  if (/^\d/.test(token)) return math("mn", token);
  return math(/[a-zA-Z]/.test(token) ? "mi" : "mo", token === "-" ? "−" : token === "'" ? "′" : token);
}

/** One thing without its scripts. @param {string[]} tokens taken from the front @returns {Element} */
function atom(tokens) {
  const token = tokens.shift() ?? "";
  if (token === "{") return math("mrow", ...row(tokens));
  if (token === "\\frac") return math("mfrac", atom(tokens), atom(tokens));
  if (token === "\\hat") return foreign("math", "mover", { accent: "true" }, atom(tokens), math("mo", "^"));
  if (token === "\\overline") return foreign("math", "mover", {}, atom(tokens), math("mo", "¯"));
  if (token === "\\sqrt") return math("msqrt", atom(tokens));
  return leaf(token);
}

/** What stands up to the next closing brace. @param {string[]} tokens @returns {Element[]} */
function row(tokens) {
  const found = [];
  while (tokens.length && tokens[0] !== "}") {
    const base = atom(tokens);
    /** @type {{sub?: Element, sup?: Element}} */
    const scripts = {};
    while (tokens[0] === "_" || tokens[0] === "^") scripts[tokens.shift() === "_" ? "sub" : "sup"] = atom(tokens);
    const { sub, sup } = scripts;
    if (sub && sup) found.push(math("msubsup", base, sub, sup));
    else if (sub) found.push(math("msub", base, sub));
    else if (sup) found.push(math("msup", base, sup));
    else found.push(base);
  }
  tokens.shift();
  return found;
}

/**
 * A formula; at a `|` it goes to another line where there is no room.
 * @param {string} latex such as `(\sqrt{h} - \sqrt{h'})^2 |+ h^2` @param {...(Node | string)} after what stands behind it
 */
export function formula(latex, ...after) {
  const parts = latex.split("|");
  const typeset = (/** @type {string} */ part) =>
    foreign("math", "math", { displaystyle: "true" }, math("mrow", math("mrow"), ...row(part.match(TOKENS) ?? []))); // so that a plus in front is no sign
  return html("div", { class: "formula" }, ...parts.map(typeset), ...after);
}

/** A number as the documents show it: four digits behind the point, or a power where that would be none. @param {number} value */
export function digits(value) {
  return value !== 0 && Math.abs(value) < 1e-4 ? value.toExponential(4) : value.toFixed(4);
}

/** A number in a formula: four significant digits, brackets around what is negative. @param {number} value */
export function short(value) {
  const text = String(Number(value.toPrecision(4)));
  return value < 0 ? `(${text})` : text;
}
