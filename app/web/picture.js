/** Drawing of a picture and its boxes. */

/** @typedef {import("./api.js").Detection} Detection */

/** Color of a class; neighbors differ by the golden angle. @param {number} classId */
export const classColor = (classId) => `hsl(${Math.round((classId * 137.508 + 215) % 360)} 90% 32%)`;

/**
 * Draws at the canvas's own size. @param {HTMLCanvasElement} canvas @param {ImageBitmap} image
 * @param {Detection[]} detections @param {Detection | null} chosen
 */
export function draw(canvas, image, detections, chosen) {
  const context = canvas.getContext("2d");
  if (context === null) return;
  const scale = canvas.width / image.width;
  const unit = Math.max(canvas.width, canvas.height) / 640;
  context.drawImage(image, 0, 0, canvas.width, canvas.height);
  context.font = `600 ${Math.round(13 * unit)}px system-ui, sans-serif`;
  context.textBaseline = "top";
  for (const one of [...detections].reverse()) drawBox(context, one, scale, unit, one === chosen);
}

/**
 * @param {CanvasRenderingContext2D} context @param {Detection} detection @param {number} scale @param {number} unit
 * @param {boolean} isChosen
 */
function drawBox(context, { box, class_id, class_name, score }, scale, unit, isChosen) {
  const [x, y] = [box.x1 * scale, box.y1 * scale];
  const [width, height] = [(box.x2 - box.x1) * scale, (box.y2 - box.y1) * scale];
  context.strokeStyle = context.fillStyle = classColor(class_id);
  context.lineWidth = (isChosen ? 4 : 2) * unit;
  context.strokeRect(x, y, width, height);
  if (isChosen) {
    context.globalAlpha = 0.25;
    context.fillRect(x, y, width, height);
    context.globalAlpha = 1;
  }
  const text = `${class_name} ${score.toFixed(2)}`;
  const tag = 16 * unit;
  const top = Math.max(0, y - tag);
  context.fillRect(Math.max(0, x), top, context.measureText(text).width + 6 * unit, tag);
  context.fillStyle = "#fff";
  context.fillText(text, Math.max(0, x) + 3 * unit, top + 2 * unit);
}

/** The smallest box around a point in pixels. @param {Detection[]} detections @param {number} x @param {number} y */
export function boxAt(detections, x, y) {
  const area = (/** @type {Detection} */ { box }) => (box.x2 - box.x1) * (box.y2 - box.y1);
  const around = detections.filter(({ box }) => box.x1 <= x && x <= box.x2 && box.y1 <= y && y <= box.y2);
  return around.sort((a, b) => area(a) - area(b))[0] ?? null;
}
