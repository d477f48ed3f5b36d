/** Detections as label files: boxes cut at the edges of the picture, as `yoloscope detect --labels` writes them. */

/**
 * What becomes a label; a score is written where there is one.
 * @typedef {Omit<import("./api.js").Detection, "score"> & {score?: number, difficult?: boolean, crowd?: boolean}} Detection
 */
/** @typedef {import("./api.js").Size} Size */

/**
 * Detections with their boxes cut; those that lie outside are left out.
 * @param {Detection[]} detections @param {Size} image @returns {Detection[]}
 */
function within(detections, image) {
  const x = (/** @type {number} */ value) => Math.min(Math.max(value, 0), image.width);
  const y = (/** @type {number} */ value) => Math.min(Math.max(value, 0), image.height);
  return detections
    .map((one) => ({ ...one, box: { x1: x(one.box.x1), y1: y(one.box.y1), x2: x(one.box.x2), y2: y(one.box.y2) } }))
    .filter(({ box }) => box.x2 > box.x1 && box.y2 > box.y1);
}

/** Lines of `class cx cy w h`, as fractions. @param {Detection[]} detections @param {Size} image */
export function yoloLabels(detections, image) {
  const line = (/** @type {Detection} */ one) => {
    const { x1, y1, x2, y2 } = one.box;
    const row = [(x1 + x2) / 2 / image.width, (y1 + y2) / 2 / image.height, (x2 - x1) / image.width, (y2 - y1) / image.height];
    return `${one.class_id} ${row.map((value) => value.toFixed(6)).join(" ")}\n`;
  };
  return within(detections, image).map(line).join("");
}

/** Pascal VOC annotation. @param {string} name @param {Detection[]} detections @param {Size} image */
export function vocLabels(name, detections, image) {
  const xml = document.implementation.createDocument(null, "annotation");
  const add = (/** @type {Element} */ parent, /** @type {string} */ tag, /** @type {string | number} */ text = "") => {
    const element = parent.appendChild(xml.createElement(tag));
    element.textContent = String(text);
    return element;
  };
  const root = xml.documentElement;
  add(root, "filename", name);
  const size = add(root, "size");
  add(size, "width", image.width);
  add(size, "height", image.height);
  add(size, "depth", 3);
  for (const one of within(detections, image)) {
    const object = add(root, "object");
    add(object, "name", one.class_name);
    add(object, "difficult", one.difficult ? 1 : 0);
    add(object, "truncated", 0);
    const box = add(object, "bndbox");
    add(box, "xmin", one.box.x1.toFixed(2)); // edges, as labeling tools write them
    add(box, "ymin", one.box.y1.toFixed(2));
    add(box, "xmax", one.box.x2.toFixed(2));
    add(box, "ymax", one.box.y2.toFixed(2));
  }
  return new XMLSerializer().serializeToString(xml);
}

/**
 * COCO data set of one image. @param {string} name @param {Detection[]} detections @param {Size} image
 * @param {string[]} classNames
 */
export function cocoLabels(name, detections, image, classNames) {
  const annotations = within(detections, image).map((one, index) => {
    const { x1, y1, x2, y2 } = one.box;
    const [width, height] = [x2 - x1, y2 - y1];
    return {
      id: index + 1, image_id: 1, category_id: one.class_id + 1, bbox: [x1, y1, width, height],
      area: width * height, iscrowd: one.crowd ? 1 : 0, ...(one.score !== undefined && { score: one.score }),
    };
  });
  const categories = classNames.map((class_name, id) => ({ id: id + 1, name: class_name }));
  return JSON.stringify({ images: [{ id: 1, file_name: name, ...image }], annotations, categories }, null, 1);
}
