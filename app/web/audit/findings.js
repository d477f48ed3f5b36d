/** Review of the findings of one audit: pictures from the reader's zip, verdicts by keys, downloads at the end. */

import { auditReport } from "../api.js";
import { dataTable, html } from "../dom.js";
import { AUDIT } from "../strings.js";
import { boxesOf, drawFinding, surroundings } from "./crop.js";
import { downloads } from "./downloads.js";
import { groupChooser } from "./groups.js";
import { openPictures } from "./pictures.js";
import { Review, actionOf } from "./review.js";
import { keepZip, verdictsOf, zipOf } from "./store.js";

/** @typedef {import("../api.js").AuditJob} AuditJob */
/** @typedef {import("../api.js").AuditReport} AuditReport */
/** @typedef {import("../api.js").Finding} Finding */
/** @typedef {import("../main.js").Context} Context */

const MOST_FAULTS = 400;

/** @param {Finding} finding what accepting it does */
const edit = ({ kind, class_name, suggestion }) =>
  kind === "class" && suggestion ? AUDIT.relabel(class_name, suggestion.class_name) : `${AUDIT.verbs[kind]} ${class_name}`;

/** @param {string} text @param {(() => void)} onclick @param {Record<string, string>} [more] */
const button = (text, onclick, more = {}) => html("button", { type: "button", onclick, ...more }, text);

/** Certain faults and what was not audited. @param {AuditReport} report */
function faults({ flags, skipped }) {
  const rows = flags.slice(0, MOST_FAULTS).map(({ kind, class_name, label_index, image, detail, consequence }) =>
    [kind.replaceAll("_", " "), `${class_name}, ${label_index}`, image, detail, consequence]);
  return [
    flags.length ? html("details", {}, html("summary", {}, AUDIT.faults(flags.length)), dataTable(AUDIT.faultsTable, AUDIT.faultHeads, rows)) : null,
    skipped.length ? html("details", {}, html("summary", {}, AUDIT.skipped(skipped.length)),
      html("ul", {}, ...skipped.slice(0, MOST_FAULTS).map(({ location, detail }) => html("li", {}, `${location}: ${detail}`)))) : null,
  ];
}

/**
 * Shows the findings of a job that is done. @param {AuditJob} job @param {Context} context @param {() => void} back
 * @returns {Promise<{element: HTMLElement, key: (event: KeyboardEvent) => void, paint: () => void}>}
 */
export async function reviewJob(job, context, back) {
  const report = await auditReport(job.id);
  const { findings } = report;
  const review = new Review(verdictsOf(job.id), (rank) => rank in findings);
  let zip = await zipOf(job.id);
  let pictures = zip && (await openPictures(zip).catch(() => null));
  let ranks = [...findings.keys()];
  let position = Math.max(0, ranks.findIndex((rank) => !review.verdicts.has(rank)));
  let whole = false;
  /** @type {ImageBitmap | null} */
  let image = null;

  const canvas = html("canvas", { role: "img" });
  const words = html("p", { class: "nothing" });
  const card = html("div", { class: "finding", "aria-live": "polite" });
  const tally = html("p", { role: "status", class: "tally" });
  const done = html("progress", { max: findings.length || 1, "aria-label": AUDIT.decided });
  const unkept = html("p", { class: "hint", hidden: true }, AUDIT.unkept);
  const buttons = {
    accept: button(AUDIT.accept, () => decide("accept"), { "data-verdict": "accept" }), reject: button(AUDIT.reject, () => decide("reject"), { "data-verdict": "reject" }),
    previous: button(AUDIT.previous, () => go(position - 1)), next: button(AUDIT.next, () => go(position + 1)), undo: button(AUDIT.undo, takeBack),
  };
  const wholeBox = html("input", { type: "checkbox", onchange: () => {
    whole = wholeBox.checked;
    paint();
  } });
  const current = () => findings[ranks[position]];

  function paint() {
    const finding = current();
    canvas.hidden = !image || !finding;
    words.hidden = !canvas.hidden;
    if (!image || !finding) return;
    const region = whole ? { x: 0, y: 0, width: image.width, height: image.height } : surroundings(finding, image);
    drawFinding(canvas, image, finding, region);
    canvas.setAttribute("aria-label", AUDIT.pictureOf(finding.image, boxesOf(finding)));
  }
  async function showPicture() {
    const finding = current();
    image = null;
    words.textContent = pictures ? "" : AUDIT.noZip;
    if (pictures && finding) {
      try {
        const found = await pictures.get(finding.image);
        if (finding === current()) image = found;
        const following = findings[ranks[position + 1]];
        if (following && pictures.has(following.image)) pictures.get(following.image).catch(() => {});
      } catch (error) {
        if (finding === current()) words.textContent = error instanceof Error ? error.message : String(error);
      }
    }
    paint();
  }
  function showVerdicts() {
    const verdict = review.verdicts.get(ranks[position]);
    for (const name of /** @type {const} */ (["accept", "reject"])) buttons[name].setAttribute("aria-pressed", String(verdict === name));
    tally.textContent = review.inWords(findings.length);
    done.value = review.verdicts.size;
    buttons.undo.disabled = review.history.length === 0;
    buttons.previous.disabled = position <= 0;
    buttons.next.disabled = position >= ranks.length - 1;
    unkept.hidden = review.isKept;
    ending.draw();
  }
  function show() {
    const finding = current();
    card.replaceChildren(...(finding ? [
      html("h3", {}, edit(finding), " ", html("small", {}, `${Math.round(100 * finding.probability)} %`)),
      html("p", {}, finding.reason),
      html("p", { class: "hint" }, AUDIT.place(finding.image, finding.label_index, finding.gain)),
      html("p", { class: "hint" }, AUDIT.position(position + 1, ranks.length)),
    ] : [html("p", {}, AUDIT.noFindings)]));
    showVerdicts();
    showPicture();
  }
  /** @param {number} to */
  function go(to) {
    if (to < 0 || to >= ranks.length) return;
    position = to;
    show();
  }
  /** @param {"accept" | "reject"} verdict */
  function decide(verdict) {
    if (!current()) return;
    review.decide(ranks[position], verdict);
    if (position < ranks.length - 1) go(position + 1);
    else showVerdicts();
  }
  function takeBack() {
    const rank = review.undo();
    if (rank === undefined) return;
    if (!ranks.includes(rank)) {
      groups.element.value = "";
      ranks = groups.ranks();
    }
    go(ranks.indexOf(rank));
    showVerdicts();
  }

  const groups = groupChooser(findings, regroup);
  function regroup() {
    ranks = groups.ranks();
    position = Math.max(0, ranks.findIndex((rank) => !review.verdicts.has(rank)));
    show();
  }
  const ending = downloads(report, review, () => zip, context);
  const again = html("input", { type: "file", accept: ".zip,application/zip", onchange: async () => {
    const file = again.files?.[0];
    if (!file) return;
    context.clear();
    try {
      const opened = await openPictures(file);
      const missing = findings.find(({ image: name }) => !opened.has(name));
      if (missing) throw new Error(AUDIT.notInZip(missing.image));
      [zip, pictures] = [file, opened];
      await keepZip(job.id, file);
      chooseAgain.hidden = true;
      show();
    } catch (error) {
      context.complain(new Error(AUDIT.otherZip(file.name, error instanceof Error ? error.message : String(error))));
    }
  } });
  const chooseAgain = html("label", { class: "button", hidden: Boolean(pictures) }, html("span", {}, AUDIT.chooseAgain), again);

  const element = html("div", { class: "review" },
    html("div", { class: "head" }, button(AUDIT.back, back), html("h2", { tabindex: "-1" }, AUDIT.labelsOf(report.data))),
    html("p", { class: "hint" }, AUDIT.summary(report)), ...report.notes.map((note) => html("p", { class: "hint" }, note)),
    html("div", { class: "row" }, groups.element, tally), done, unkept,
    html("div", { class: "halves" },
      html("div", { class: "picture" }, canvas, words, html("div", { class: "row" },
        html("span", { class: "key label" }, AUDIT.label), html("span", { class: "key suggestion" }, AUDIT.suggestion),
        html("label", {}, wholeBox, ` ${AUDIT.whole}`), chooseAgain)),
      html("div", {}, card, html("div", { class: "row choice", role: "group", "aria-label": AUDIT.verdict }, buttons.accept, buttons.reject),
        html("div", { class: "row" }, buttons.previous, buttons.next, buttons.undo),
        html("p", { class: "hint keys" }, ...AUDIT.keys.flatMap(([key, what]) => [html("kbd", {}, key), ` ${what} `])),
        ending.element)),
    ...faults(report));
  /** @param {KeyboardEvent} event */
  function key(event) {
    const target = /** @type {Element} */ (event.target);
    const action = target.closest("select, input:not([type=checkbox]), textarea, .wide") ? undefined : actionOf(event);
    if (!action) return;
    event.preventDefault();
    if (action === "accept" || action === "reject") decide(action);
    else if (action === "undo") takeBack();
    else go(position + (action === "next" ? 1 : -1));
  }
  show();
  return { element, key, paint };
}
