/** What a review ends in: decisions.json, and the labels or the data set as they should be. */

import { correctData } from "../api.js";
import { html } from "../dom.js";
import { AUDIT } from "../strings.js";
import { saveFile } from "./review.js";

/**
 * @param {import("../api.js").AuditReport} report @param {import("./review.js").Review} review
 * @param {() => Blob | null} zipOf the zip, as far as it is at hand @param {import("../main.js").Context} context
 */
export function downloads(report, review, zipOf, context) {
  const status = html("p", { role: "status" });
  const newClasses = html("input", { type: "checkbox" });
  const button = (/** @type {string} */ text, /** @type {() => void} */ onclick) => html("button", { type: "button", onclick }, text);
  const toJson = () => review.toJson(report, report.findings);

  /** @param {"labels" | "data"} content */
  async function correct(content) {
    const zip = zipOf();
    if (!zip) return;
    context.clear();
    status.textContent = AUDIT.correcting;
    try {
      const options = { content, new_classes: newClasses.checked ? "add" : "refuse" };
      const { file, changes } = await correctData(zip, report.data, toJson(), options);
      saveFile(file, `${report.data}-${content === "data" ? "corrected" : "labels"}.zip`);
      status.textContent = changes;
    } catch (error) {
      status.textContent = "";
      context.complain(error);
    }
  }
  const decisions = button(AUDIT.decisions, () => saveFile(toJson(), "decisions.json"));
  const corrections = [button(AUDIT.labels, () => correct("labels")), button(AUDIT.data, () => correct("data"))];
  return {
    element: html("div", {}, html("h3", {}, AUDIT.downloads), html("p", { class: "hint" }, AUDIT.correctedWords),
      html("div", { class: "row" }, decisions, ...corrections), html("label", {}, newClasses, ` ${AUDIT.newClasses}`), status),
    draw() {
      const isCorrectable = zipOf() !== null && [...review.verdicts.values()].includes("accept");
      for (const one of corrections) one.disabled = !isCorrectable;
      decisions.disabled = review.verdicts.size === 0;
    },
  };
}
