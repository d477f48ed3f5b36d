/** Review of an audit's findings: verdicts that can be taken back, and `decisions.json`. */

/** @typedef {"accept" | "reject"} Verdict */

const ACTIONS = /** @type {Record<string, "accept" | "reject" | "undo" | "next" | "previous">} */ ({
  a: "accept", r: "reject", u: "undo", n: "next", j: "next", arrowright: "next", p: "previous", k: "previous", arrowleft: "previous",
});

/** What a key means here, if anything. @param {KeyboardEvent} event */
export const actionOf = (event) => (event.ctrlKey || event.metaKey || event.altKey ? undefined : ACTIONS[event.key.toLowerCase()]);

/** Verdicts on findings by their rank in the report, kept under a name in the browser. */
export class Review {
  /** @param {string} name @param {(rank: number) => boolean} isKnown */
  constructor(name, isKnown) {
    this.name = name;
    /** @type {Map<number, Verdict>} */
    this.verdicts = new Map();
    /** Ranks with the verdicts that they had before. @type {[number, Verdict | undefined][]} */
    this.history = [];
    /** Whether the browser keeps what is decided. */
    this.isKept = true;
    this.load(isKnown);
  }

  /** @param {(rank: number) => boolean} isKnown */
  load(isKnown) {
    /** @type {Record<string, unknown>} */
    let kept = {};
    try {
      kept = JSON.parse(localStorage.getItem(this.name) ?? "{}") ?? {};
    } catch {
      this.isKept = false;
    }
    for (const [rank, verdict] of Object.entries(kept)) {
      if (isKnown(Number(rank)) && (verdict === "accept" || verdict === "reject")) this.verdicts.set(Number(rank), verdict);
    }
  }

  /** @param {number} rank @param {Verdict | undefined} verdict */
  set(rank, verdict) {
    if (verdict === undefined) this.verdicts.delete(rank);
    else this.verdicts.set(rank, verdict);
    try {
      localStorage.setItem(this.name, JSON.stringify(Object.fromEntries(this.verdicts)));
    } catch {
      this.isKept = false;
    }
  }

  /** @param {number} rank @param {Verdict} verdict */
  decide(rank, verdict) {
    this.history.push([rank, this.verdicts.get(rank)]);
    this.set(rank, verdict);
  }

  /** Takes the last verdict back. @returns {number | undefined} the rank of its finding */
  undo() {
    const last = this.history.pop();
    if (last) this.set(...last);
    return last?.[0];
  }

  /** @param {number} all */
  inWords(all) {
    const accepted = [...this.verdicts.values()].filter((verdict) => verdict === "accept").length;
    return `${this.verdicts.size} of ${all} decided: ${accepted} accepted, ${this.verdicts.size - accepted} rejected`;
  }

  /**
   * The text of decisions.json. @param {{model: string, version: string, data: string, split: string | null}} report
   * @param {Record<number, object>} findings by their ranks
   */
  toJson({ model, version, data, split }, findings) {
    const decisions = [...this.verdicts.entries()].sort(([one], [other]) => one - other)
      .map(([rank, decision]) => ({ decision, finding: findings[rank] }));
    return JSON.stringify({ model, version, data, split, decisions }, null, 1);
  }
}

/** @param {string | Blob} content @param {string} name */
export function saveFile(content, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([content], { type: "application/octet-stream" }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}
