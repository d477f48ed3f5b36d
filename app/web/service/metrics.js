/** Metrics in Prometheus' text format: parsed, and rates and quantiles of the time between two scrapes. */

/** @typedef {{labels: Record<string, string>, value: number}} Sample */
/** @typedef {Map<string, Sample[]>} Samples by the name of the metric */
/** @typedef {{at: number, samples: Samples}} Scrape `at` in seconds */

const LINE = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)(?: -?\d+)?$/;
const LABEL = /([a-zA-Z_]\w*)="((?:[^"\\]|\\.)*)"/g;
const ESCAPES = /** @type {Record<string, string>} */ ({ "\\n": "\n", "\\\\": "\\", '\\"': '"' });
const NUMBERS = /** @type {Record<string, number>} */ ({ "+Inf": Infinity, "-Inf": -Infinity, NaN: NaN });

/** @param {string} text an answer of `GET /metrics` @returns {Samples} */
export function parseMetrics(text) {
  /** @type {Samples} */
  const samples = new Map();
  for (const line of text.split("\n")) {
    const [, name, inside = "", number] = LINE.exec(line) ?? [];
    if (!name) continue;
    const labels = Object.fromEntries([...inside.matchAll(LABEL)].map(([, key, value]) => [key, value.replace(/\\[n"\\]/g, (found) => ESCAPES[found])]));
    samples.set(name, [...(samples.get(name) ?? []), { labels, value: NUMBERS[number] ?? Number(number) }]);
  }
  return samples;
}

/** @typedef {(labels: Record<string, string>) => boolean} Filter */

/** Sum over the series that are meant. @param {Samples} samples @param {string} name @param {Filter} [filter] */
export function sum(samples, name, filter = () => true) {
  return (samples.get(name) ?? []).filter(({ labels }) => filter(labels)).reduce((all, { value }) => all + value, 0);
}

/** Growth of a counter; one that was set back counts from 0. @param {number} before @param {number} now */
const growth = (before, now) => (now < before ? now : now - before);

/** What a counter grew by each second. @param {Scrape | undefined} before @param {Scrape} now @param {string} name @param {Filter} [filter] */
export function rate(before, now, name, filter) {
  if (!before || now.at <= before.at) return 0;
  return growth(sum(before.samples, name, filter), sum(now.samples, name, filter)) / (now.at - before.at);
}

/** Cumulative counts by upper bound, in order. @param {Samples} samples @param {string} name @param {Filter} [filter] */
function buckets(samples, name, filter = () => true) {
  /** @type {Map<number, number>} */
  const counts = new Map();
  for (const { labels, value } of samples.get(`${name}_bucket`) ?? []) {
    if (!filter(labels)) continue;
    const bound = NUMBERS[labels.le] ?? Number(labels.le);
    counts.set(bound, (counts.get(bound) ?? 0) + value);
  }
  return [...counts].sort(([one], [other]) => one - other);
}

/**
 * A quantile of a histogram, by straight lines within its buckets as Prometheus' `histogram_quantile` has it; null
 * where nothing was counted. With `before`, of what came since.
 * @param {number} share from 0 to 1 @param {Scrape | undefined} before @param {Scrape} now @param {string} name @param {Filter} [filter]
 */
export function quantile(share, before, now, name, filter) {
  const past = new Map(before ? buckets(before.samples, name, filter) : []);
  const counts = buckets(now.samples, name, filter).map(([bound, count]) => ({ bound, count: growth(past.get(bound) ?? 0, count) }));
  const rank = share * (counts[counts.length - 1]?.count ?? 0);
  const index = counts.findIndex(({ count }) => count >= rank && count > 0);
  if (index < 0) return null;
  const lower = index ? counts[index - 1] : { bound: 0, count: 0 };
  const { bound, count } = counts[index];
  if (bound === Infinity) return lower.bound;
  return lower.bound + ((bound - lower.bound) * (rank - lower.count)) / (count - lower.count);
}

/** A quantile of what came since `before`, or where nothing did of all since the start. @param {number} share @param {Scrape | undefined} before @param {Scrape} now @param {string} name @param {Filter} filter */
export const recent = (share, before, now, name, filter) => quantile(share, before, now, name, filter) ?? quantile(share, undefined, now, name, filter);
