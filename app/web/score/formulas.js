/** The terms of each loss, as docs/losses.md writes them: a sum and, where it has one, what stands in its bracket. */

const COORD = "\\lambda_{coord} \\sum_{i,j} 1^{obj}_{ij}";
const V2_SUM = "\\sum_{i,j} 1^{obj}_{ij} (2-\\hat w \\hat h)";
const V3_SUM = "\\sum_{i,j} 1^{obj}_{ij}\\, 1[\\mathrm{IoU}(p_j, \\hat b) > \\mathrm{gate}]\\, (2-\\hat w \\hat h)";
const CENTER = "(x-\\hat x)^2 + (y-\\hat y)^2";
const V3_REST = {
  objectness: ["\\sum_{i,j} 1^{obj}_{ij}\\, \\mathrm{BCE}(1, C)"],
  no_objectness: ["\\sum_{i,j} 1^{noobj}_{ij}\\, 1[\\mathrm{MaxIoU}_{ij} < \\mathrm{thresh}]\\, \\mathrm{BCE}(0, C)"],
  classification: ["\\sum_{i,j} 1^{obj}_{ij} \\sum_c \\mathrm{BCE}(\\hat p(c), p(c))"],
};

/** @type {Record<string, Record<string, string[]>>} */
export const FORMULAS = {
  v1: {
    xy: [COORD, CENTER],
    wh: [COORD, "(\\sqrt w-\\sqrt{\\hat w})^2 + (\\sqrt h-\\sqrt{\\hat h})^2"],
    objectness: ["\\sum_{i,j} 1^{obj}_{ij} (C - \\hat C)^2"],
    no_objectness: ["\\lambda_{noobj} \\sum_{i,j} 1^{noobj}_{ij} C^2"],
    classification: ["\\sum_i 1^{obj}_i \\sum_c (p(c)-\\hat p(c))^2"],
  },
  v2: {
    xy: [V2_SUM, CENTER],
    wh: [V2_SUM, "(w-\\hat w)^2 + (h-\\hat h)^2"],
    objectness: ["\\lambda_{obj} \\sum_{i,j} 1^{obj}_{ij} (C - \\mathrm{IoU})^2"],
    no_objectness: ["\\lambda_{noobj} \\sum_{i,j} 1^{noobj}_{ij}\\, 1[\\mathrm{MaxIoU}_{ij} < \\mathrm{thresh}]\\, C^2"],
    classification: ["\\sum_{i,j} 1^{obj}_{ij} \\sum_c (p(c)-\\hat p(c))^2"],
  },
  v3: {
    xy: [V3_SUM, "(t_x-\\hat t_x)^2 + (t_y-\\hat t_y)^2"],
    wh: [V3_SUM, "(t_w-\\hat t_w)^2 + (t_h-\\hat t_h)^2"],
    ...V3_REST,
  },
  v4: { box: [COORD, "1 - \\mathrm{IoU} + \\frac{d^2}{c^2} + \\alpha v"], ...V3_REST },
  "article-mse": {
    box: ["\\frac{1}{4N}\\sum (b-\\hat b)^2"],
    objectness: ["\\frac1N\\sum (o-\\hat o)^2"],
    classification: ["\\frac{1}{CN}\\sum (p-\\hat p)^2"],
  },
  "article-masked": {
    box: ["\\lambda_{coord}\\, \\overline{\\mathrm{smooth}_{L1}(b, \\hat b)}"],
    objectness: ["\\frac{\\lambda_{obj}}{P} \\sum_{pos} (o-1)^2"],
    no_objectness: ["\\frac{\\lambda_{noobj}}{n} \\sum_{neg} o^2"],
    classification: ["\\frac{\\lambda_{class}}{P C} \\sum_{pos} \\mathrm{BCE}(\\hat p, p)"],
  },
};

/** What darknet's layers report: the squares of what they hand back. */
export const DARKNET = "\\frac{1}{B} \\sum_t \\delta(t)^2";

/** The losses that can be asked for; some fit a model's heads, the service tells in words where one does not. */
export const PRESETS = [
  "v1", "v2", "v3", "v4", "v1-darknet", "v2-darknet", "v2-pjreddie", "v3-darknet", "v3-pjreddie", "v4-darknet",
  "v1-walkthrough", "article-mse", "article-masked", "article-iou",
];

/** The formula of a term in LaTeX, or nothing where the documents have none. @param {string} preset @param {string} term */
export function formulaOf(preset, term) {
  if (/-(darknet|pjreddie)$/.test(preset)) return DARKNET;
  const parts = FORMULAS[preset]?.[term];
  return parts && (parts.length > 1 ? `${parts[0]} [|${parts[1]}]` : parts[0]);
}
