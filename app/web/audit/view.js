/** Audit: data sets are uploaded as zips, their labels judged by jobs, and the findings reviewed. */

import { ProblemError, cancelAudit, createAudit, deleteAudit, describeModel, getAudit, listModels } from "../api.js";
import { html } from "../dom.js";
import { AUDIT } from "../strings.js";
import { reviewJob } from "./findings.js";
import { sampleZip } from "./sample.js";
import { dropJob, keepJobs, keepZip, knownJobs } from "./store.js";

/** @typedef {import("../api.js").AuditJob} AuditJob */
/** @typedef {import("../main.js").Context} Context */

/** The model that knows what is on the sample picture. */
const SAMPLE_MODEL = "builtin";
const PERIOD_MS = 1000;
const KINDS = /** @type {const} */ (["missing", "class", "location", "spurious"]);
const isOpen = (/** @type {AuditJob | undefined} */ job) => job === undefined || job.state === "queued" || job.state === "running";

/** @param {HTMLElement} section @param {Context} context @param {(job: AuditJob, zip: File) => void} added */
function uploadForm(section, context, added) {
  /** @type {File | null} */
  let file = null;
  const name = html("span", { class: "hint" }, AUDIT.dropHint);
  const model = html("select", { id: "audit-model" });
  const split = html("input", { type: "text", id: "audit-split", placeholder: AUDIT.allOfIt, autocomplete: "off" });
  const floor = html("input", { type: "number", id: "audit-floor", min: "0", max: "100", step: "1", value: "5" });
  const shares = KINDS.map((kind) => html("input", { type: "number", id: `audit-${kind}`, min: "0.1", max: "90", step: "0.1", placeholder: "3" }));
  const status = html("p", { role: "status" });
  const start = html("button", { type: "button", class: "primary", disabled: true, onclick: submit }, AUDIT.start);
  const take = (/** @type {File | undefined} */ chosen) => {
    if (!chosen) return;
    file = chosen;
    name.textContent = AUDIT.chosen(chosen.name, chosen.size);
    start.disabled = false;
    context.clear();
  };
  const input = html("input", { type: "file", accept: ".zip,application/zip", onchange: () => take(input.files?.[0]) });

  const trySample = html("button", { type: "button", hidden: true, onclick: async () => {
    context.clear();
    try {
      model.value = SAMPLE_MODEL;
      take(await sampleZip(SAMPLE_MODEL, (await describeModel(SAMPLE_MODEL)).spec));
      await submit();
    } catch (error) {
      context.complain(error);
    }
  } }, AUDIT.sample);

  async function submit() {
    if (!file) return;
    const zip = file;
    const prevalence = KINDS.flatMap((kind, index) => (shares[index].value ? [`${kind}=${Number(shares[index].value) / 100}`] : []));
    const options = {
      model: model.value, floor: String(Number(floor.value) / 100),
      ...(split.value.trim() ? { split: split.value.trim() } : {}), ...(prevalence.length ? { prevalence: prevalence.join(",") } : {}),
    };
    context.clear();
    start.disabled = true;
    status.textContent = AUDIT.uploading(zip.size);
    try {
      added(await createAudit(zip, options), zip);
      file = null;
      name.textContent = AUDIT.dropHint;
    } catch (error) {
      context.complain(error instanceof TypeError ? new Error(AUDIT.unread) : error);
      start.disabled = false;
    }
    status.textContent = "";
  }
  for (const kind of ["dragover", "drop"]) {
    section.addEventListener(kind, (event) => {
      event.preventDefault();
      if (kind === "drop") take(/** @type {DragEvent} */ (event).dataTransfer?.files[0]);
    });
  }
  const row = (/** @type {string} */ text, /** @type {HTMLInputElement | HTMLSelectElement} */ control) =>
    html("div", {}, html("label", { for: control.id }, text), control);
  return {
    element: html("section", { class: "card", "aria-label": AUDIT.newAudit },
      html("div", { class: "row" }, html("label", { class: "button" }, html("span", {}, AUDIT.choose), input), trySample, name),
      html("div", { class: "fields" }, row(AUDIT.model, model), row(AUDIT.split, split)),
      html("details", {}, html("summary", {}, AUDIT.more), html("p", { class: "hint" }, AUDIT.moreWords),
        html("div", { class: "fields" }, row(AUDIT.floor, floor), ...KINDS.map((kind, index) => row(AUDIT.shareOf(AUDIT.kinds[kind]), shares[index])))),
      html("div", { class: "row" }, start, status)),
    async fill() {
      const { models, default: first } = await listModels();
      trySample.hidden = !models.some((one) => one.name === SAMPLE_MODEL);
      model.replaceChildren(...models.map((one) => new Option(one.name, one.name, false, one.name === first)));
    },
  };
}

/** @param {HTMLElement} section @param {Context} context */
export function mount(section, context) {
  let known = knownJobs();
  /** @type {Map<string, AuditJob>} */
  const jobs = new Map();
  /** @type {{element: HTMLElement, key: (event: KeyboardEvent) => void, paint: () => void} | null} */
  let review = null;
  let running = false;
  let round = 0;
  const list = html("ul", { class: "jobs" });
  const form = uploadForm(section, context, (job, zip) => {
    jobs.set(job.id, job);
    known = [{ id: job.id, name: job.name }, ...known];
    keepJobs(known);
    keepZip(job.id, zip);
    run();
  });
  const home = html("div", {}, html("h2", { tabindex: "-1" }, AUDIT.title), html("p", { class: "lead" }, AUDIT.lead), form.element,
    html("h3", {}, AUDIT.jobs), list);
  section.replaceChildren(home);

  /** @param {() => Promise<unknown>} act */
  const act = async (act) => {
    context.clear();
    try {
      await act();
    } catch (error) {
      context.complain(error);
    }
    run();
  };
  /** @param {string} id */
  function forget(id) {
    known = known.filter((one) => one.id !== id);
    jobs.delete(id);
    keepJobs(known);
    dropJob(id);
  }
  const backHome = () => {
    review = null;
    section.replaceChildren(home);
    home.querySelector("h2")?.focus();
    context.clear();
    run();
  };
  /** @param {AuditJob} job */
  const open = (job) => act(async () => {
    review = await reviewJob(job, context, backHome);
    section.replaceChildren(review.element);
    review.element.querySelector("h2")?.focus();
    review.paint();
  });
  /** @param {import("./store.js").Known} one */
  function row({ id, name }) {
    const job = jobs.get(id);
    const remove = html("button", { type: "button", "data-act": `delete-${id}`, onclick: () => act(async () => {
      await deleteAudit(id).catch((error) => {
        if (!(error instanceof ProblemError && error.status === 404)) throw error;
      });
      forget(id);
    }) }, AUDIT.remove);
    if (!job) return html("li", {}, html("b", {}, name), remove);
    const bar = isOpen(job) ? html("progress", { "aria-label": AUDIT.progressOf(name), max: job.total ?? 1, ...(job.total ? { value: job.done } : {}) }) : null;
    return html("li", { class: job.state }, html("b", {}, name), html("span", {}, job.errors[0] ?? AUDIT.stateOf(job)), bar,
      job.state === "done" ? html("button", { type: "button", class: "primary", "data-act": `open-${id}`, onclick: () => open(job) }, AUDIT.review) : null,
      isOpen(job) ? html("button", { type: "button", "data-act": `cancel-${id}`, onclick: () => act(() => cancelAudit(id)) }, AUDIT.cancel) : null, remove);
  }
  function show() {
    const held = /** @type {HTMLElement | null} */ (document.activeElement)?.dataset.act;
    list.replaceChildren(...(known.length ? known.map(row) : [html("li", { class: "hint" }, AUDIT.noJobs)]));
    if (held) /** @type {HTMLElement | null} */ (list.querySelector(`[data-act="${held}"]`))?.focus();
  }
  async function look() {
    for (const { id } of known) {
      if (!isOpen(jobs.get(id))) continue;
      try {
        jobs.set(id, await getAudit(id));
      } catch (error) {
        if (!(error instanceof ProblemError && error.status === 404)) throw error;
        forget(id);
      }
    }
    show();
  }
  async function run() {
    const mine = ++round;
    show();
    while (running && !review && mine === round) {
      try {
        await look();
      } catch (error) {
        context.complain(error);
        if (error instanceof ProblemError && error.status === 401) return;
      }
      if (!known.some(({ id }) => isOpen(jobs.get(id)))) return;
      await new Promise((resolve) => setTimeout(resolve, PERIOD_MS));
    }
  }
  const begin = () => {
    form.fill().catch(context.complain);
    run();
  };
  document.addEventListener("keydown", (event) => running && review?.key(event));
  new ResizeObserver(() => review?.paint()).observe(section);
  context.onKey(() => running && begin());
  form.fill().catch(context.complain);
  return {
    shown() {
      running = true;
      review?.paint();
      run();
    },
    hidden() {
      running = false;
    },
  };
}
