/** The loss of the labels as they are edited: one request at a time, the latest labels win. */

import { ProblemError, scoreLabels } from "../api.js";

/** @typedef {import("../api.js").ScoreAnswer} ScoreAnswer */
/** @typedef {import("./boxes.js").Label} Label */
/** @typedef {{file: File, model: string, preset: string, labels: Blob, detail: "objects" | "cells", tag: unknown}} Job */

/** Labels as the service takes them. @param {Label[]} labels */
export function asNative(labels) {
  const objects = labels.map(({ class_name, box, difficult, crowd }) => ({ class_name, box, difficult, crowd }));
  return new Blob([JSON.stringify({ objects })], { type: "application/json" });
}

/** Asks the service for losses; the image travels once per file and model, then its id stands for it. */
export class Scorer {
  /** @param {(answer: ScoreAnswer, job: Job) => void} answered @param {(error: unknown, job: Job) => void} failed */
  constructor(answered, failed) {
    this.answered = answered;
    this.failed = failed;
    /** @type {Job | null} */
    this.next = null;
    this.busy = false;
    /** @type {WeakMap<File, Map<string, string>>} */
    this.ids = new WeakMap();
  }

  /** Asks for a loss; what waits is replaced. @param {Job} job */
  ask(job) {
    this.next = job;
    if (!this.busy) this.work();
  }

  async work() {
    this.busy = true;
    while (this.next) {
      const job = this.next;
      this.next = null;
      try {
        this.answered(await this.score(job), job);
      } catch (error) {
        this.failed(error, job);
      }
    }
    this.busy = false;
  }

  /** @param {Job} job @returns {Promise<ScoreAnswer>} */
  async score(job) {
    const known = this.ids.get(job.file)?.get(job.model);
    if (known) {
      try {
        return await scoreLabels({ ...job, image: known });
      } catch (error) {
        if (!(error instanceof ProblemError && error.status === 404)) throw error;
      }
    }
    const answer = await scoreLabels({ ...job, image: job.file });
    const ids = this.ids.get(job.file) ?? new Map();
    this.ids.set(job.file, ids);
    ids.delete(job.model);
    if (answer.results[0].image_id) ids.set(job.model, answer.results[0].image_id);
    return answer;
  }
}
