/** A number with its course over the last minutes. */

import { foreign, html } from "../dom.js";
import { SERVICE } from "../strings.js";

const [WIDTH, HEIGHT, KEPT] = [150, 36, 150];

/** Points of a line from the left, the last one at the right edge. @param {(number | null)[]} values @param {number} most */
export function linePath(values, most) {
  let pen = "M";
  return values
    .map((value, index) => {
      if (value === null) {
        pen = "M";
        return "";
      }
      const x = WIDTH - values.length + 1 + index;
      const y = HEIGHT - 2 - ((HEIGHT - 4) * value) / (most || 1);
      const point = `${pen}${x} ${y.toFixed(1)}`;
      pen = "L";
      return point;
    })
    .join("");
}

/** @param {string} name @param {string} unit */
export function tile(name, unit) {
  /** @type {(number | null)[]} */
  let values = [];
  const number = html("b");
  const path = foreign("svg", "path");
  const picture = foreign("svg", "svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img" },
    foreign("svg", "path", { class: "base", d: `M0 ${HEIGHT - 1}H${WIDTH}` }), path);
  return {
    element: html("div", { class: "tile", role: "group", "aria-label": name }, html("span", {}, name), html("div", {}, number, ` ${unit}`), picture),
    /** @param {number | null} value @param {(value: any) => string} words @param {number} [top] of the scale @param {string} [shown] instead of the value */
    add(value, words, top = 0, shown = words(value)) {
      values = [...values, value].slice(-KEPT);
      const most = Math.max(top, ...values.map((one) => one ?? 0));
      number.textContent = shown;
      path.setAttribute("d", linePath(values, most));
      picture.setAttribute("aria-label", SERVICE.course(name, words(most)));
    },
  };
}
