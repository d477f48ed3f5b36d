/** Labels edited on a canvas by pointer and by keyboard. */

import { area, between, gripAt, pulled, LEAST } from "./boxes.js";

/** @typedef {import("./boxes.js").Label} Label */
/** @typedef {import("../api.js").Box} Box */
/**
 * @typedef {object} Editing
 * @property {() => {labels: Label[], chosen: number, image: import("../api.js").Size, shown: boolean} | null} state nothing without a picture
 * @property {(index: number) => void} choose
 * @property {(labels: Label[]) => void} preview labels while a pointer is down
 * @property {(before: Label[]) => void} commit what a pointer did, with the labels before
 * @property {(box: Box) => Label} make a label of a drawn box
 * @property {(name: string) => boolean} command of a key: next, previous, class, add, remove, undo, redo, layer0 ...
 */

const CURSORS = /** @type {Record<string, string>} */ ({ move: "move", n: "ns-resize", s: "ns-resize", e: "ew-resize", w: "ew-resize", nw: "nwse-resize", se: "nwse-resize", ne: "nesw-resize", sw: "nesw-resize" });
const ARROWS = /** @type {Record<string, [number, number]>} */ ({ ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] });
const KEYS = /** @type {Record<string, string>} */ ({ n: "next", p: "previous", c: "class", b: "add", Delete: "remove", Backspace: "remove", Escape: "release" });
const DRAWN_PX = 6;

/** @param {Label[]} labels @param {number} index @param {Label} label */
export const replaced = (labels, index, label) => labels.map((one, i) => (i === index ? label : one));

/** @param {HTMLCanvasElement} canvas @param {Editing} editing */
export function edit(canvas, editing) {
  /** @type {{grip: string, index: number, from: number[], before: Label[]} | null} */
  let held = null;

  /** @param {PointerEvent} event in pixels of the image, and how many of them a screen pixel is */
  const place = (event) => {
    const [state, area] = [editing.state(), canvas.getBoundingClientRect()];
    const unit = (state?.image.width ?? 1) / area.width;
    return { at: [(event.clientX - area.left) * unit, (event.clientY - area.top) * unit], unit };
  };

  /** The label under a point and what of it: the chosen one first, then the smallest. @param {number[]} at @param {number} unit */
  const find = (at, unit) => {
    const state = editing.state();
    if (!state?.shown) return null;
    const reach = 8 * unit;
    const order = state.labels.map((_, index) => index).sort((a, b) => area(state.labels[a].box) - area(state.labels[b].box));
    for (const index of [state.chosen, ...order]) {
      const grip = state.labels[index] && gripAt(state.labels[index].box, at[0], at[1], index === state.chosen ? reach : 0);
      if (grip) return { index, grip: index === state.chosen ? grip : "move" };
    }
    return null;
  };

  canvas.addEventListener("pointerdown", (event) => {
    const state = editing.state();
    if (!state || event.button !== 0) return;
    canvas.focus({ preventScroll: true });
    canvas.setPointerCapture(event.pointerId);
    const { at, unit } = place(event);
    const hit = find(at, unit);
    held = { grip: hit?.grip ?? "draw", index: hit?.index ?? -1, from: at, before: state.labels };
    editing.choose(hit?.index ?? -1);
    event.preventDefault();
  });

  canvas.addEventListener("pointermove", (event) => {
    const state = editing.state();
    if (!state) return;
    const { at, unit } = place(event);
    if (!held) {
      const hit = find(at, unit);
      canvas.style.cursor = CURSORS[hit?.grip ?? ""] ?? "crosshair";
      return;
    }
    const { grip, before, from } = held;
    if (grip === "draw") {
      const box = between(from, at, state.image);
      const large = Math.min(box.x2 - box.x1, box.y2 - box.y1) >= Math.max(DRAWN_PX * unit, LEAST);
      if (!large && held.index < 0) return;
      if (!large) return;
      held.index = before.length;
      editing.preview([...before, editing.make(box)]);
      editing.choose(held.index);
    } else {
      const label = before[held.index];
      const box = pulled(label.box, /** @type {import("./boxes.js").Grip} */ (grip), at[0] - from[0], at[1] - from[1], state.image);
      editing.preview(replaced(before, held.index, { ...label, box }));
    }
  });

  const release = () => {
    const state = editing.state();
    if (held && state && state.labels !== held.before) editing.commit(held.before);
    held = null;
  };
  canvas.addEventListener("pointerup", release);
  canvas.addEventListener("pointercancel", release);

  canvas.addEventListener("keydown", (event) => {
    const state = editing.state();
    const step = ARROWS[event.key];
    const label = state?.labels[state.chosen];
    if (state && label && step && !event.ctrlKey && !event.metaKey) {
      const [dx, dy] = step;
      const box = pulled(label.box, event.shiftKey ? "se" : "move", dx, dy, state.image);
      editing.preview(replaced(state.labels, state.chosen, { ...label, box }));
      editing.commit(state.labels);
      event.preventDefault();
    } else if (!event.ctrlKey && !event.metaKey && !event.altKey) {
      const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
      if (KEYS[key] && editing.command(KEYS[key])) event.preventDefault();
    }
  });
}

/** Keys that act wherever the focus is: undo, redo, layers. @param {KeyboardEvent} event @param {Editing} editing */
export function globalKey(event, editing) {
  const typing = event.target instanceof HTMLInputElement || event.target instanceof HTMLSelectElement || event.target instanceof HTMLTextAreaElement;
  if (typing && !["file", "checkbox"].includes(/** @type {HTMLInputElement} */ (event.target).type ?? "")) return;
  const key = event.key.toLowerCase();
  const control = event.ctrlKey || event.metaKey;
  const name = control && key === "z" ? (event.shiftKey ? "redo" : "undo") : control && key === "y" ? "redo" : !control && "123".includes(key) ? `layer${Number(key) - 1}` : "";
  if (name && editing.command(name)) event.preventDefault();
}
