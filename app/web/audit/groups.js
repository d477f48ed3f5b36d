/** Groups of findings to work through: all, those of a kind, or those of a kind and a class. */

import { html } from "../dom.js";
import { AUDIT } from "../strings.js";

/** @typedef {import("../api.js").Finding} Finding */

const KINDS = /** @type {const} */ (["missing", "class", "location", "spurious"]);

/**
 * A chooser of groups; its `ranks` are the positions of the chosen one's findings.
 * @param {Finding[]} findings @param {() => void} changed
 */
export function groupChooser(findings, changed) {
  let isPointed = false;
  const element = html("select", {
    "aria-label": AUDIT.show, onpointerdown: () => (isPointed = true), onkeydown: () => (isPointed = false),
    onchange() {
      if (isPointed) element.blur(); // so that letters are verdicts again
      changed();
    },
  });
  element.append(new Option(AUDIT.all(findings.length), ""));
  for (const kind of KINDS) {
    const own = findings.filter((finding) => finding.kind === kind);
    if (own.length) element.append(new Option(`${AUDIT.kinds[kind]} (${own.length})`, `${kind}:`));
    for (const name of new Set(own.map((finding) => finding.class_name))) {
      const count = own.filter((finding) => finding.class_name === name).length;
      element.append(new Option(`${AUDIT.kinds[kind]}: ${name} (${count})`, `${kind}:${name}`));
    }
  }
  return {
    element,
    ranks() {
      const [kind, ...rest] = element.value.split(":");
      const name = rest.join(":");
      const isOwn = (/** @type {Finding} */ finding) => (!kind || finding.kind === kind) && (!name || finding.class_name === name);
      return [...findings.keys()].filter((rank) => isOwn(findings[rank]));
    },
  };
}
