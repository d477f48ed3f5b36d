/** The part of a picture around a finding, with the label and the suggestion drawn on it. */

/** @typedef {import("../api.js").Box} Box */
/** @typedef {import("../api.js").Finding} Finding */
/** @typedef {{x: number, y: number, width: number, height: number}} Region in pixels of the picture */

const CONTEXT = 0.625;
const LEAST_PX = 48;
const [LABEL, SUGGESTION] = ["#ff8c1a", "#2f9bff"];

/** The boxes to draw, the label first. @param {Finding} finding @returns {{box: Box, isSuggestion: boolean}[]} */
export function boxesOf({ kind, box, suggestion }) {
  const label = kind === "missing" ? [] : [{ box, isSuggestion: false }];
  return suggestion ? [...label, { box: suggestion.box, isSuggestion: true }] : label;
}

/** The surroundings of a finding, as the report of an audit has them. @param {Finding} finding @param {{width: number, height: number}} size @returns {Region} */
export function surroundings(finding, size) {
  const boxes = boxesOf(finding).map(({ box }) => box);
  const low = [Math.min(...boxes.map(({ x1 }) => x1)), Math.min(...boxes.map(({ y1 }) => y1))];
  const high = [Math.max(...boxes.map(({ x2 }) => x2)), Math.max(...boxes.map(({ y2 }) => y2))];
  const half = Math.max(Math.max(high[0] - low[0], high[1] - low[1]) * (0.5 + CONTEXT), LEAST_PX / 2);
  const [start, end] = [[0, size.width], [1, size.height]].reduce((found, [axis, most]) => {
    const center = (low[axis] + high[axis]) / 2;
    const from = Math.floor(Math.min(Math.max(Math.floor(center - half), 0), most - 1));
    return [[...found[0], from], [...found[1], Math.min(Math.max(Math.ceil(center + half), from + 1), most)]];
  }, /** @type {number[][]} */ ([[], []]));
  return { x: start[0], y: start[1], width: end[0] - start[0], height: end[1] - start[1] };
}

/**
 * Draws a region as large as the canvas lets it be. @param {HTMLCanvasElement} canvas @param {ImageBitmap} image
 * @param {Finding} finding @param {Region} region
 */
export function drawFinding(canvas, image, finding, { x, y, width, height }) {
  const context = canvas.getContext("2d");
  if (!context) return;
  const density = Math.max(1, window.devicePixelRatio);
  canvas.width = Math.round(canvas.clientWidth * density);
  canvas.height = Math.round(canvas.clientHeight * density);
  const scale = Math.min(canvas.width / width, canvas.height / height);
  const [left, top] = [(canvas.width - width * scale) / 2, (canvas.height - height * scale) / 2];
  context.drawImage(image, x, y, width, height, left, top, width * scale, height * scale);
  const lines = boxesOf(finding).map(({ box, isSuggestion }) => {
    const edges = [left + (box.x1 - x) * scale, top + (box.y1 - y) * scale, (box.x2 - box.x1) * scale, (box.y2 - box.y1) * scale];
    return { edges: /** @type {[number, number, number, number]} */ (edges), isSuggestion };
  });
  context.strokeStyle = "rgb(0 0 0 / 65%)";
  context.lineWidth = 5 * density;
  for (const { edges } of lines) context.strokeRect(...edges);
  context.lineWidth = 2.5 * density;
  for (const { edges, isSuggestion } of lines) {
    context.setLineDash(isSuggestion ? [7 * density, 4 * density] : []);
    context.strokeStyle = isSuggestion ? SUGGESTION : LABEL;
    context.strokeRect(...edges);
  }
}
