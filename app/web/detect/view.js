/** The view Detect: candidates are asked for once per picture and model, the sliders choose among them. */

import { MAX_DETECTIONS, SCORE_FLOOR, describeModel, detectCandidates, listModels } from "../api.js";
import { boxAt, draw } from "../picture.js";
import { listen, sample } from "../sources.js";
import { TEXT, cut, found, unreadable } from "../strings.js";
import { Camera } from "./camera.js";
import { copy, download } from "./outputs.js";
import { asCurl, asPython } from "./requests.js";
import { pixelFrame, suppress } from "./suppression.js";
import { fillList, fillTable } from "./table.js";

/** @typedef {import("../api.js").Detection} Detection */
/** @typedef {{file: File, bitmap: ImageBitmap, answer: import("../api.js").Answer | null, live?: boolean}} Item */

const at = (/** @type {string} */ id) => /** @type {HTMLElement} */ (document.getElementById(id));
const input = (/** @type {string} */ id) => /** @type {HTMLInputElement} */ (document.getElementById(id));
const canvas = /** @type {HTMLCanvasElement} */ (at("canvas"));
const model = /** @type {HTMLSelectElement} */ (at("model"));

/** @type {Item[]} */
let items = [];
let current = -1;
/** @type {import("../api.js").Spec | null} */
let spec = null;
/** @type {Detection[]} */
let shown = [];
/** @type {Detection | null} */
let chosen = null;
let round = 0;
/** @type {import("../main.js").Context} */
let frame;

const thresholds = () => ({ score: Number(input("score").value), overlap: Number(input("overlap").value) });

function show() {
  const item = items[current];
  if (item) frame.shared.file = item.file;
  const result = item?.answer?.results[0];
  shown = result && spec ? suppress(result.detections, thresholds(), spec.nms.beta, pixelFrame(spec, result.image)) : [];
  if (chosen && !shown.includes(chosen)) chosen = null;
  at("score-value").textContent = thresholds().score.toFixed(2);
  at("overlap-value").textContent = thresholds().overlap.toFixed(2);
  for (const button of document.querySelectorAll("[data-download], [data-copy]")) {
    /** @type {HTMLButtonElement} */ (button).disabled = !result;
  }
  fillList(at("images"), items.map(({ file }) => file.name), current, (index) => {
    current = index;
    show();
  });
  fillTable(at("rows"), shown, chosen, choose);
  paint();
  if (!item || !result) return;
  const all = result.detections;
  const lowest = result.truncated ? ` ${cut(MAX_DETECTIONS, all[all.length - 1].score)}` : "";
  at("status").textContent = found(item.file.name, shown.length, all.length) + lowest;
  canvas.setAttribute("aria-label", found(item.file.name, shown.length, all.length));
}

/** @param {Detection | null} detection */
function choose(detection) {
  chosen = detection === chosen ? null : detection;
  show();
}

function paint() {
  const bitmap = items[current]?.bitmap;
  if (!bitmap) return;
  const density = Math.max(1, window.devicePixelRatio);
  canvas.width = Math.round(Math.max(1, canvas.clientWidth) * density);
  canvas.height = Math.round((canvas.width * bitmap.height) / bitmap.width);
  draw(canvas, bitmap, shown, chosen);
}

/** @param {MouseEvent} event */
function clicked(event) {
  const bitmap = items[current]?.bitmap;
  if (!bitmap) return;
  const area = canvas.getBoundingClientRect(); // the picture is fitted into it, centered
  const scale = Math.min(area.width / bitmap.width, area.height / bitmap.height);
  const x = (event.clientX - area.left - (area.width - bitmap.width * scale) / 2) / scale;
  const y = (event.clientY - area.top - (area.height - bitmap.height * scale) / 2) / scale;
  choose(boxAt(shown, x, y));
}

/** @param {unknown} error */
function complain(error) {
  at("status").textContent = "";
  frame.complain(error);
}

const scoreFloor = () => Math.min(SCORE_FLOOR, spec?.nms.score_threshold ?? 1);

/** Asks for the candidates of the pictures that have none, one after the other. */
async function detectMissing() {
  if (!spec) return;
  const mine = ++round;
  for (const item of [...items]) {
    if (item.answer) continue;
    at("status").textContent = TEXT.detecting;
    try {
      const answer = await detectCandidates(item.file, model.value, scoreFloor());
      if (mine !== round) return;
      item.answer = answer;
    } catch (error) {
      if (mine !== round) return;
      complain(error);
    }
    show();
  }
}

/** @param {File[]} files */
async function add(files) {
  frame.clear();
  for (const file of files) {
    try {
      items = [...items, { file, bitmap: await createImageBitmap(file, { imageOrientation: "from-image" }), answer: null }];
      current = items.length - 1;
    } catch (error) {
      complain(new Error(unreadable(file.name, error instanceof Error ? error.message : String(error))));
    }
  }
  show();
  await detectMissing();
}

async function chooseModel() {
  frame.clear();
  const name = model.value;
  frame.shared.model = name;
  const mine = ++round;
  try {
    const described = await describeModel(name);
    if (mine !== round) return;
    spec = described.spec;
  } catch (error) {
    if (mine === round) complain(error);
    return;
  }
  input("score").min = String(Math.min(SCORE_FLOOR, spec.nms.score_threshold));
  input("score").value = String(spec.nms.score_threshold);
  input("overlap").value = String(spec.nms.iou_threshold);
  items = items.map((item) => ({ ...item, answer: null }));
  show();
  await detectMissing();
}

async function start() {
  frame.clear();
  try {
    const known = await listModels();
    model.replaceChildren(...known.models.map(({ name }) => new Option(name, name, false, name === known.default)));
  } catch (error) {
    complain(error);
    return;
  }
  await chooseModel();
}

/** @param {string} kind curl, python or json */
async function copyAs(kind) {
  const item = items[current];
  const origin = new URL(".", location.href).href;
  const request = { origin, file: item.file.name, model: model.value, ...thresholds() };
  const answer = { ...item.answer, results: [{ ...item.answer?.results[0], detections: shown }] };
  const text = { curl: asCurl(request), python: asPython(request), json: JSON.stringify(answer, null, 2) }[kind] ?? "";
  const copied = await copy(/** @type {HTMLTextAreaElement} */ (at("copied")), text);
  at("status").textContent = copied ? TEXT.copiedNow : TEXT.copyByHand;
}

/** @param {string} kind */
function save(kind) {
  const item = items[current];
  const size = item?.answer?.results[0].image;
  if (!size || !spec) return;
  download(kind, { name: item.file.name, bitmap: item.bitmap, size, detections: shown, classNames: spec.class_names });
}

/** The entry of the camera among the pictures: each frame takes the place of the last. @param {File} file */
async function takeFrame(file) {
  const name = model.value;
  try {
    const [bitmap, answer] = await Promise.all([createImageBitmap(file), detectCandidates(file, name, scoreFloor())]);
    if (!camera.isOpen || name !== model.value) return;
    const index = items.findIndex((item) => item.live);
    const item = { file, bitmap, answer, live: true };
    items = index < 0 ? [...items, item] : items.map((one, i) => (i === index ? item : one));
    current = index < 0 ? items.length - 1 : index;
    show();
  } catch (error) {
    stopCamera();
    complain(error);
  }
}

const camera = new Camera(/** @type {HTMLSelectElement} */ (at("cameras")), takeFrame);

function showCamera() {
  at("camera-row").hidden = !camera.isOpen;
  at("camera").textContent = camera.isOpen ? TEXT.cameraStop : TEXT.camera;
  at("camera").setAttribute("aria-pressed", String(camera.isOpen));
}

function stopCamera() {
  camera.close();
  items = items.map((item) => ({ ...item, live: false })); // the last frame stays
  showCamera();
}

async function openCamera() {
  frame.clear();
  try {
    await camera.open();
  } catch (error) {
    complain(error);
  }
  showCamera();
  camera.run();
}

/** @param {HTMLElement} section @param {import("../main.js").Context} context @returns {import("../main.js").View} */
export function mount(section, context) {
  frame = context;
  listen(input("files"), section, add);
  for (const id of ["score", "overlap"]) input(id).addEventListener("input", show);
  model.addEventListener("change", chooseModel);
  canvas.addEventListener("click", clicked);
  at("sample").addEventListener("click", () => sample().then((file) => add([file])).catch(complain));
  at("camera").addEventListener("click", () => (camera.isOpen ? stopCamera() : openCamera()));
  at("cameras").addEventListener("change", openCamera);
  for (const button of section.querySelectorAll("[data-download], [data-copy]")) {
    const { download: kind, copy: format } = /** @type {HTMLElement} */ (button).dataset;
    button.addEventListener("click", () => (kind ? save(kind) : copyAs(format ?? "")));
  }
  new ResizeObserver(paint).observe(/** @type {HTMLElement} */ (canvas.parentElement));
  context.onKey(start);
  start();
  return { hidden: stopCamera };
}
