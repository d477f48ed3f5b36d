/** Service: what runs here and how it fares now, from `/metrics` and `/v1/models`. */

import { ProblemError, describeModel, listModels, readMetrics } from "../api.js";
import { dataTable, html } from "../dom.js";
import { SERVICE } from "../strings.js";
import { parseMetrics, quantile, rate, recent, sum } from "./metrics.js";
import { tile } from "./tile.js";

/** @typedef {import("./metrics.js").Scrape} Scrape */
/** @typedef {import("../main.js").Context} Context */
/** @typedef {Record<string, string>} Labels */
/** @typedef {import("../api.js").ModelSummary & {detail?: Record<string, any>}} Model */

const PERIOD_MS = 2000;
const KEPT = 150;
/** Readings after which models are asked for what they run by. */
const MODELS_EVERY = 10;
/** Seconds of which quantiles tell. */
const WINDOW_S = 60;
const REQUESTS = "yoloscope_requests_total";
const REFUSED = "yoloscope_rejected_total";
const DURATION = "yoloscope_request_duration_seconds";
const STAGE = "yoloscope_stage_duration_seconds";

/** Requests that bring work, not those of pages and probes. @param {Labels} labels */
const isWork = ({ method }) => method === "POST";

/** @param {number | null} seconds */
const milliseconds = (seconds) => (seconds === null ? SERVICE.none : `${Number((1000 * seconds).toPrecision(3))} ms`);
/** @param {number} value */
const perSecond = (value) => value.toFixed(value < 10 ? 1 : 0);

/** Values of a label among the series of a metric, in order. @param {Scrape} scrape @param {string} name @param {string} label @param {(labels: Record<string, string>) => boolean} [filter] */
const valuesOf = (scrape, name, label, filter = () => true) =>
  [...new Set((scrape.samples.get(name) ?? []).filter(({ labels }) => filter(labels)).map(({ labels }) => labels[label]))].sort();

/** What a model detects with. @param {Record<string, any> | undefined} precision of `GET /v1/models/{name}`, where it has that */
function variantOf(precision) {
  if (!precision) return SERVICE.none;
  const { running, engine, speedup, state, reason } = precision;
  return html("span", { title: reason }, SERVICE.variant(running, engine, speedup ?? null, state === "preparing"));
}

/** @param {Model} model @param {Scrape} now @param {Scrape | undefined} before @param {Scrape | undefined} since */
function modelRow({ name, default: isDefault, version, provider, problem, detail }, now, before, since) {
  const own = (/** @type {Labels} */ labels) => labels.model === name;
  const infer = (/** @type {Labels} */ labels) => own(labels) && labels.stage === "infer";
  const [images, runs] = ["yoloscope_images_total", "yoloscope_inference_executions_total"].map((metric) => sum(now.samples, metric, own));
  return [
    html("span", {}, name, isDefault ? html("small", {}, ` ${SERVICE.default}`) : null),
    problem ?? version ?? SERVICE.notLoaded, provider ?? SERVICE.none, variantOf(detail?.precision),
    String(images), perSecond(rate(before, now, "yoloscope_images_total", own)), runs ? (images / runs).toFixed(2) : SERVICE.none,
    milliseconds(recent(0.5, since, now, STAGE, infer)), milliseconds(recent(0.99, since, now, STAGE, infer)),
  ];
}

/** @param {string} route @param {Scrape} now @param {Scrape | undefined} before @param {Scrape | undefined} since */
function routeRow(route, now, before, since) {
  const own = (/** @type {Labels} */ labels) => labels.route === route;
  const failed = (/** @type {Labels} */ labels) => own(labels) && Number(labels.status) >= 400;
  return [
    route, String(sum(now.samples, REQUESTS, own)), perSecond(rate(before, now, REQUESTS, own)), String(sum(now.samples, REQUESTS, failed)),
    milliseconds(recent(0.5, since, now, DURATION, own)), milliseconds(recent(0.99, since, now, DURATION, own)),
  ];
}

/** @param {HTMLElement} section @param {Context} context */
export function mount(section, context) {
  /** @type {Scrape[]} */
  let scrapes = [];
  /** @type {Model[]} */
  let models = [];
  let running = false;
  let paused = false;
  const tiles = {
    requests: tile(SERVICE.requests, SERVICE.perSecond), images: tile(SERVICE.images, SERVICE.perSecond),
    queue: tile(SERVICE.queue, ""), p50: tile(SERVICE.median, ""), p99: tile(SERVICE.p99, ""), refused: tile(SERVICE.refused, SERVICE.perSecond),
  };
  const tables = html("div");
  const state = html("span", { role: "status" });
  const pause = html("button", { type: "button", "aria-pressed": "false", onclick: () => {
    paused = !paused;
    pause.setAttribute("aria-pressed", String(paused));
    if (!paused) run();
  } }, SERVICE.pause);
  section.replaceChildren(
    html("div", { class: "head" }, html("h2", {}, SERVICE.title), state, pause, html("a", { href: "docs" }, SERVICE.apiDocument)),
    html("div", { class: "tiles" }, ...Object.values(tiles).map(({ element }) => element)), tables, html("p", { class: "hint" }, SERVICE.note));

  function show() {
    const now = scrapes[scrapes.length - 1];
    const before = scrapes[scrapes.length - 2];
    const since = scrapes.find(({ at }) => at >= now.at - WINDOW_S);
    const window = since === now ? undefined : since;
    const work = (/** @type {Labels} */ labels) => routes.includes(labels.route);
    const routes = valuesOf(now, REQUESTS, "route", isWork).filter((route) => sum(now.samples, REQUESTS, (labels) => labels.route === route));
    const [depth, limit] = [sum(now.samples, "yoloscope_queue_depth"), sum(now.samples, "yoloscope_queue_limit")];
    tiles.requests.add(rate(before, now, REQUESTS, isWork), perSecond);
    tiles.images.add(rate(before, now, "yoloscope_images_total"), perSecond);
    tiles.refused.add(rate(before, now, REFUSED), perSecond);
    tiles.queue.add(depth, (value) => SERVICE.ofLimit(value, limit), limit);
    for (const [share, name] of /** @type {[number, "p50" | "p99"][]} */ ([[0.5, "p50"], [0.99, "p99"]])) {
      const shown = milliseconds(recent(share, window, now, DURATION, work));
      tiles[name].add(quantile(share, window, now, DURATION, work), milliseconds, 0, shown);
    }
    const stages = valuesOf(now, `${STAGE}_count`, "model").flatMap((model) =>
      Object.keys(SERVICE.stages).filter((stage) => sum(now.samples, `${STAGE}_count`, (labels) => labels.model === model && labels.stage === stage)).map((stage) => {
        const own = (/** @type {Labels} */ labels) => labels.model === model && labels.stage === stage;
        return [`${model}: ${SERVICE.stages[stage]}`, ...[0.5, 0.99].map((share) => milliseconds(recent(share, window, now, STAGE, own)))];
      }));
    const refusals = valuesOf(now, REFUSED, "reason")
      .map((reason) => ({ reason, count: sum(now.samples, REFUSED, (labels) => labels.reason === reason) }))
      .filter(({ count }) => count)
      .map(({ reason, count }) => [SERVICE.reasons[reason] ?? reason, count]);
    const scrolled = [...tables.children].map((child) => child.scrollLeft);
    const focused = [...tables.children].indexOf(/** @type {Element} */ (document.activeElement));
    tables.replaceChildren(
      dataTable(SERVICE.models, SERVICE.modelHeads, models.map((model) => modelRow(model, now, before, window))),
      ...(routes.length ? [dataTable(SERVICE.routes, SERVICE.routeHeads, routes.map((route) => routeRow(route, now, before, window)))] : []),
      ...(stages.length ? [dataTable(SERVICE.stageTable, SERVICE.stageHeads, stages)] : []),
      ...(refusals.length ? [dataTable(SERVICE.refusals, SERVICE.refusalHeads, refusals)] : []));
    [...tables.children].forEach((child, index) => (child.scrollLeft = scrolled[index] ?? 0));
    /** @type {HTMLElement | undefined} */ (tables.children[focused])?.focus();
    const version = now.samples.get("yoloscope_build_info")?.[0]?.labels.version ?? "";
    state.textContent = SERVICE.version(version);
  }

  let looks = 0;
  async function look() {
    const text = await readMetrics();
    scrapes = [...scrapes, { at: performance.now() / 1000, samples: parseMetrics(text) }].slice(-KEPT);
    const ready = sum(scrapes[scrapes.length - 1].samples, "yoloscope_model_ready");
    if (ready !== models.filter(({ loaded }) => loaded).length || looks++ % MODELS_EVERY === 0) {
      const listed = await listModels();
      models = await Promise.all(listed.models.map(async (model) => (model.loaded ? { ...model, detail: await describeModel(model.name) } : model)));
    }
    show();
  }

  let round = 0;
  async function run() {
    const mine = ++round;
    while (running && !paused && mine === round) {
      try {
        if (!document.hidden) await look();
        context.clear();
      } catch (error) {
        context.complain(error instanceof ProblemError ? error : new Error(SERVICE.noAnswer));
        if (error instanceof ProblemError && error.status === 401) return;
      }
      await new Promise((resolve) => setTimeout(resolve, PERIOD_MS));
    }
  }
  context.onKey(() => running && run());
  return {
    shown() {
      running = true;
      run();
    },
    hidden() {
      running = false;
    },
  };
}
