/** The table of objects and the list of pictures; foreign text becomes text nodes only. */

import { classColor } from "../picture.js";

/** @typedef {import("../api.js").Detection} Detection */

const SVG = "http://www.w3.org/2000/svg";

/** @param {number} classId */
function swatch(classId) {
  const icon = document.createElementNS(SVG, "svg");
  const square = document.createElementNS(SVG, "rect");
  for (const [name, value] of [["width", "12"], ["height", "12"], ["aria-hidden", "true"]]) icon.setAttribute(name, value);
  for (const [name, value] of [["width", "12"], ["height", "12"], ["fill", classColor(classId)]]) square.setAttribute(name, value);
  icon.append(square);
  return icon;
}

/**
 * @param {HTMLElement} body @param {Detection[]} detections @param {Detection | null} chosen
 * @param {(detection: Detection) => void} choose
 */
export function fillTable(body, detections, chosen, choose) {
  const held = body.contains(document.activeElement);
  body.replaceChildren(
    ...detections.map((one) => {
      const row = document.createElement("tr");
      const button = document.createElement("button");
      button.type = "button";
      button.append(swatch(one.class_id), one.class_name);
      button.setAttribute("aria-pressed", String(one === chosen));
      button.addEventListener("click", () => choose(one));
      const corners = [one.box.x1, one.box.y1, one.box.x2, one.box.y2].map((value) => value.toFixed(1));
      for (const content of [button, one.score.toFixed(3), corners.join(", ")]) row.insertCell().append(content);
      row.classList.toggle("chosen", one === chosen);
      return row;
    }),
  );
  const pressed = /** @type {HTMLElement | null} */ (body.querySelector("[aria-pressed=true]"));
  if (held) pressed?.focus();
  pressed?.scrollIntoView({ block: "nearest" });
}

/** @param {HTMLElement} list @param {string[]} names @param {number} current @param {(index: number) => void} choose */
export function fillList(list, names, current, choose) {
  const held = list.contains(document.activeElement);
  list.replaceChildren(
    ...names.map((name, index) => {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = name;
      button.setAttribute("aria-pressed", String(index === current));
      button.addEventListener("click", () => choose(index));
      const item = document.createElement("li");
      item.append(button);
      return item;
    }),
  );
  if (held) /** @type {HTMLElement | null} */ (list.querySelector("[aria-pressed=true]"))?.focus();
}
