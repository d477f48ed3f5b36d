/** The view Score: labels are edited, and their loss is computed anew while one drags. */

import { describeModel, detect, listModels } from "../api.js";
import { listen, sample } from "../sources.js";
import { SCORE, unreadable } from "../strings.js";
import { History } from "./boxes.js";
import { drawScene } from "./canvas.js";
import { edit, globalKey, replaced } from "./edit.js";
import { downloadLabels, isPicture } from "./files.js";
import { build } from "./layout.js";
import { fillBars, fillFormulas, fillObject, fillObjects, fillUnexplained } from "./panels.js";
import { asNative, Scorer } from "./scorer.js";

/** @typedef {import("../api.js").ImageScore} ImageScore */
/** @typedef {import("./boxes.js").Label} Label */
/** @typedef {import("./scorer.js").Job} Job */
/** @typedef {{file: File, bitmap: ImageBitmap, size: import("../api.js").Size}} Picture */

const at = (/** @type {string} */ id) => /** @type {HTMLElement} */ (document.getElementById(`score-${id}`));
const select = (/** @type {string} */ id) => /** @type {HTMLSelectElement} */ (at(id));
const button = (/** @type {string} */ id) => /** @type {HTMLButtonElement} */ (at(id));
const SHOWN_PX = 2048;
/** Up to so many cells their costs travel while one drags. */
const SMALL_GRIDS = 3000;

/** @type {import("../main.js").Context} */
let frame;
/** @type {HTMLElement} */
let section;
/** @type {Picture | null} */
let picture = null;
/** @type {import("../api.js").Spec | null} */
let spec = null;
/** @type {ImageScore | null} */
let result = null;
/** @type {import("../api.js").Detection[]} */
let predictions = [];
const history = new History([]);
const layers = [true, true, true];
let chosen = -1;
let lastClass = 0;
let drawing = false;

const canvas = () => /** @type {HTMLCanvasElement} */ (at("canvas"));

const scorer = new Scorer(answered, (error) => {
  at("status").textContent = "";
  frame.complain(error);
});

/** @param {import("../api.js").ScoreAnswer} answer @param {Job} job */
function answered(answer, job) {
  if (job.file !== picture?.file) return;
  frame.clear();
  at("status").textContent = "";
  const now = answer.results[0];
  if (job.tag === "import") take(now);
  const before = result; // of large grids the map is that of before while one drags
  result = { ...now, by_scale: now.by_scale.map((scale, i) => (scale.cells ? scale : { ...scale, cells: before?.by_scale[i]?.cells })) };
  fillPanels(answer);
  paint();
}

/** Takes the labels of a file as the service read them. @param {ImageScore} now */
function take(now) {
  select("format").value = now.labels_format;
  const names = spec?.class_names ?? [];
  const scored = now.by_object.map(({ index, class_name, box, flags }) => ({ index, class_name, box, difficult: flags.includes("difficult"), crowd: false }));
  const crowds = now.not_scored.map(({ index, class_name, box }) => ({ index, class_name, box, difficult: false, crowd: true }));
  const labels = [...scored, ...crowds].sort((a, b) => a.index - b.index);
  history.reset(labels.map(({ index: _, ...label }) => ({ ...label, class_id: Math.max(names.indexOf(label.class_name), 0) })));
  chosen = -1;
  showState();
}

/** @param {import("../api.js").ScoreAnswer} answer */
function fillPanels(answer) {
  if (!result) return;
  for (const part of section.querySelectorAll(".results, .below")) /** @type {HTMLElement} */ (part).hidden = false;
  fillBars(at("bars"), result);
  fillUnexplained(at("unexplained"), result, accept);
  at("normalizer").textContent = SCORE.normalizer(answer.preset, answer.normalizer);
  fillFormulas(at("formulas"), result.terms, answer.preset);
  fillMaps(Object.keys(result.terms));
  fillChosen();
  canvas().setAttribute("aria-label", SCORE.pictureOf(picture?.file.name ?? "", history.labels.length, result.total.toFixed(4)));
}

/** @param {string[]} terms */
function fillMaps(terms) {
  const wanted = ["", "total", ...terms];
  const map = select("map");
  if (wanted.join() === [...map.options].map(({ value }) => value).join()) return;
  const before = map.value;
  map.replaceChildren(...wanted.map((value) => new Option(value === "" ? SCORE.mapNone : value === "total" ? SCORE.mapTotal : SCORE.terms[value], value)));
  map.value = wanted.includes(before) ? before : "";
}

const chosenObject = () => result?.by_object.find(({ index }) => index === chosen) ?? null;

function fillChosen() {
  if (!result) return;
  fillObjects(at("objects"), result, chosen, (index) => choose(index === chosen ? -1 : index));
  fillObject(at("object"), chosenObject(), result);
}

function showState() {
  const label = history.labels[chosen];
  button("undo").disabled = !history.past.length;
  button("redo").disabled = !history.future.length;
  button("add").disabled = !picture;
  button("download").disabled = !picture;
  button("delete").disabled = select("class").disabled = !label;
  if (label) select("class").value = String(label.class_id);
}

function paint() {
  if (drawing) return;
  drawing = true;
  requestAnimationFrame(() => {
    drawing = false;
    if (!picture || !spec) return;
    const scene = { image: picture.size, labels: history.labels, chosen, predictions, result, object: chosenObject(), spec, layers, map: select("map").value };
    drawScene(canvas(), scene);
  });
}

/** Gives both canvases their size; the picture is drawn here alone, not while one drags. */
function resize() {
  if (!picture) return;
  const below = /** @type {HTMLCanvasElement} */ (at("picture"));
  const width = Math.round(Math.max(1, below.clientWidth) * Math.max(1, window.devicePixelRatio));
  const height = Math.round((width * picture.size.height) / picture.size.width);
  for (const one of [below, canvas()]) Object.assign(one, { width, height });
  below.getContext("2d")?.drawImage(picture.bitmap, 0, 0, width, height);
  paint();
}

/** @param {"objects" | "cells"} detail @param {Blob} [labels] a file instead of those that are edited */
function rescore(detail, labels) {
  if (!picture || !spec) return;
  const job = { file: picture.file, model: select("model").value, preset: select("preset").value, detail };
  scorer.ask({ ...job, labels: labels ?? asNative(history.labels), tag: labels ? "import" : null });
}

/** @param {number} index */
function choose(index) {
  chosen = index;
  showState();
  fillChosen();
  paint();
}

/** One step of editing. @param {Label[]} labels @param {number} [next] what is chosen then */
function step(labels, next = chosen) {
  history.push(labels);
  chosen = next;
  showState();
  fillChosen();
  paint();
  rescore("cells");
}

/** @param {import("../api.js").Detection[]} found */
function accept(found) {
  const image = picture?.size ?? { width: 0, height: 0 };
  const cut = (/** @type {number} */ value, /** @type {number} */ most) => Math.min(Math.max(value, 0), most);
  const labels = found.map(({ class_id, class_name, box }) => ({
    class_id, class_name, difficult: false, crowd: false,
    box: { x1: cut(box.x1, image.width), y1: cut(box.y1, image.height), x2: cut(box.x2, image.width), y2: cut(box.y2, image.height) },
  }));
  step([...history.labels, ...labels], found.length === 1 ? history.labels.length : -1);
}

/** @param {number} classId */
function changeClass(classId) {
  const label = history.labels[chosen];
  if (!label || !spec) return;
  lastClass = classId;
  step(replaced(history.labels, chosen, { ...label, class_id: classId, class_name: spec.class_names[classId] }));
}

/** @param {import("../api.js").Box} box */
const make = (box) => ({ class_id: lastClass, class_name: spec?.class_names[lastClass] ?? "", box, difficult: false, crowd: false });

function addInTheMiddle() {
  const { width, height } = picture?.size ?? { width: 1, height: 1 };
  step([...history.labels, make({ x1: width * 0.4, y1: height * 0.4, x2: width * 0.6, y2: height * 0.6 })], history.labels.length);
}

/** @param {() => boolean} move undo or redo */
function travel(move) {
  if (!move()) return false;
  if (chosen >= history.labels.length) chosen = -1;
  showState();
  fillChosen();
  paint();
  rescore("cells");
  return true;
}

/** @param {string} name */
function command(name) {
  const count = history.labels.length;
  if (!picture || !spec) return false;
  if (name === "undo" || name === "redo") return travel(() => history[name]());
  if (name.startsWith("layer")) toggle(Number(name.slice(5)));
  else if (name === "add") addInTheMiddle();
  else if (name === "release") choose(-1);
  else if (!count) return false;
  else if (name === "next") choose((chosen + 1) % count);
  else if (name === "previous") choose((Math.max(chosen, 0) + count - 1) % count);
  else if (name === "class" && chosen >= 0) changeClass((history.labels[chosen].class_id + 1) % spec.class_names.length);
  else if (name === "remove" && chosen >= 0) step(history.labels.filter((_, index) => index !== chosen), -1);
  else return false;
  return true;
}

/** @param {number} layer */
function toggle(layer) {
  layers[layer] = !layers[layer];
  const box = /** @type {HTMLInputElement} */ (section.querySelector(`[data-layer="${layer}"]`));
  box.checked = layers[layer];
  paint();
}

/** @type {import("./edit.js").Editing} */
const editing = {
  state: () => picture && { labels: history.labels, chosen, image: picture.size, shown: layers[0] },
  choose,
  preview(labels) {
    history.labels = labels;
    paint();
    const cells = result?.by_scale.reduce((sum, { grid }) => sum + grid[0] * grid[1], 0) ?? 0;
    rescore(cells > SMALL_GRIDS ? "objects" : "cells");
  },
  commit(before) {
    history.push(history.labels, before);
    showState();
    fillChosen();
    rescore("cells");
  },
  make,
  command,
};

/** @param {File[]} files a picture, labels, or both */
async function add(files) {
  frame.clear();
  const image = files.find(isPicture);
  const labels = files.find((file) => !isPicture(file));
  if (image && !(await open(image))) return;
  if (labels && !image) rescore("cells", labels);
  if (image) {
    at("status").textContent = SCORE.scoring;
    rescore("cells", labels);
    await predict();
  }
}

/** @param {File} file @returns {Promise<boolean>} whether the browser can show it */
async function open(file) {
  try {
    const whole = await createImageBitmap(file, { imageOrientation: "from-image" });
    const size = { width: whole.width, height: whole.height };
    const shrink = Math.min(1, SHOWN_PX / Math.max(size.width, size.height)); // smooth while one drags
    const resized = { resizeWidth: Math.round(size.width * shrink), resizeHeight: Math.round(size.height * shrink), resizeQuality: /** @type {const} */ ("medium") };
    const bitmap = shrink < 1 ? await createImageBitmap(whole, resized) : whole;
    picture = { file, bitmap, size };
  } catch (error) {
    frame.complain(new Error(unreadable(file.name, error instanceof Error ? error.message : String(error))));
    return false;
  }
  frame.shared.file = file;
  history.reset([]);
  [chosen, result, predictions] = [-1, null, []];
  /** @type {HTMLElement} */ (section.querySelector(".stack")).hidden = false;
  at("empty").hidden = true;
  showState();
  resize();
  return true;
}

async function predict() {
  if (!picture) return;
  const { file } = picture;
  try {
    const answer = await detect(file, select("model").value);
    if (file === picture?.file) predictions = answer.results[0].detections;
    paint();
  } catch (error) {
    frame.complain(error);
  }
}

async function chooseModel() {
  frame.clear();
  frame.shared.model = select("model").value;
  try {
    spec = (await describeModel(select("model").value)).spec;
  } catch (error) {
    frame.complain(error);
    return;
  }
  const { class_names } = spec;
  lastClass = 0;
  select("class").replaceChildren(...class_names.map((name, id) => new Option(name, String(id))));
  [result, predictions] = [null, []];
  rescore("cells");
  await predict();
}

async function start() {
  try {
    const known = await listModels();
    const wanted = known.models.find(({ name }) => name === frame.shared.model)?.name ?? known.default;
    select("model").replaceChildren(...known.models.map(({ name }) => new Option(name, name, false, name === wanted)));
  } catch (error) {
    frame.complain(error);
    return;
  }
  await chooseModel();
}

function wire() {
  listen(/** @type {HTMLInputElement} */ (at("file")), section, add);
  const labels = /** @type {HTMLInputElement} */ (at("labels"));
  labels.addEventListener("change", () => {
    if (labels.files?.length) add([...labels.files]);
    labels.value = "";
  });
  at("sample").addEventListener("click", () => sample().then((file) => add([file])).catch(frame.complain));
  for (const name of ["undo", "redo", "add"]) at(name).addEventListener("click", () => command(name));
  at("delete").addEventListener("click", () => command("remove"));
  at("download").addEventListener("click", () => picture && spec && downloadLabels(select("format").value, picture.file.name, history.labels, picture.size, spec.class_names));
  select("model").addEventListener("change", chooseModel);
  select("preset").addEventListener("change", () => rescore("cells"));
  select("map").addEventListener("change", paint);
  select("class").addEventListener("change", () => changeClass(Number(select("class").value)));
  section.addEventListener("change", (event) => {
    const layer = /** @type {HTMLElement} */ (event.target).dataset.layer;
    if (layer) toggle(Number(layer));
  });
  edit(canvas(), editing);
  document.addEventListener("keydown", (event) => !section.hidden && globalKey(event, editing));
  new ResizeObserver(resize).observe(/** @type {HTMLElement} */ (section.querySelector(".editor")));
}

/** @param {HTMLElement} place @param {import("../main.js").Context} context @returns {Promise<import("../main.js").View>} */
export async function mount(place, context) {
  [frame, section] = [context, build(place)];
  wire();
  fillMaps([]);
  context.onKey(start);
  await start();
  return {
    shown() {
      if (!picture && context.shared.file) add([context.shared.file]);
    },
  };
}
