/** Elements from plain values; foreign text becomes text nodes only. */

/** @typedef {string | number | boolean | null | undefined | ((event: any) => void)} Property */
/** @typedef {Node | string | number | null | undefined} Child */

const NAMESPACES = /** @type {Record<string, string>} */ ({
  svg: "http://www.w3.org/2000/svg",
  math: "http://www.w3.org/1998/Math/MathML",
});

/** @param {Element} element @param {Record<string, Property>} properties @param {Child[]} children */
function fill(element, properties, children) {
  for (const [name, value] of Object.entries(properties)) {
    if (typeof value === "function") element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(name, String(value));
  }
  for (const child of children) {
    if (child !== null && child !== undefined) element.append(child instanceof Node ? child : String(child));
  }
}

/**
 * An HTML element. Properties are attributes (true: present, false and null: absent); a function is a listener, its
 * name `on` and the event's.
 * @template {keyof HTMLElementTagNameMap} T
 * @param {T} tag @param {Record<string, Property>} [properties] @param {...Child} children
 * @returns {HTMLElementTagNameMap[T]}
 */
export function html(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  fill(element, properties, children);
  return element;
}

/**
 * An element of SVG or MathML.
 * @param {"svg" | "math"} space @param {string} tag @param {Record<string, Property>} [properties] @param {...Child} children
 */
export function foreign(space, tag, properties = {}, ...children) {
  const element = document.createElementNS(NAMESPACES[space], tag);
  fill(element, properties, children);
  return element;
}

/**
 * A table that is scrolled sideways where it is too wide; the first cell of a row is its head.
 * @param {string} caption @param {string[]} heads @param {HTMLTableSectionElement | Child[][]} rows
 */
export function dataTable(caption, heads, rows) {
  const body = Array.isArray(rows)
    ? html("tbody", {}, ...rows.map(([first, ...cells]) =>
        html("tr", {}, html("th", { scope: "row" }, first), ...cells.map((cell) => html("td", {}, cell)))))
    : rows;
  return html("div", { class: "wide", tabindex: "0", role: "region", "aria-label": caption },
    html("table", {}, html("caption", {}, caption),
      html("thead", {}, html("tr", {}, ...heads.map((head) => html("th", { scope: "col" }, head)))), body));
}
