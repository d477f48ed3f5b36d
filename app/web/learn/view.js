/** Learn: worked numbers of the losses as scenes that can be changed; every cost is computed by the service. */

import { html } from "../dom.js";
import { LEARN } from "../strings.js";
import { anchorScene, maxIouScene } from "./questions.js";
import { catScene, overlapScene, rootScene } from "./walkthrough.js";

/** @param {HTMLElement} section @param {import("../main.js").Context} context */
export function mount(section, context) {
  const build = () => section.replaceChildren(
    html("h2", {}, LEARN.title), html("p", { class: "lead" }, LEARN.lead),
    html("h2", {}, LEARN.v1), html("p", { class: "lead" }, LEARN.v1Words),
    rootScene(context), overlapScene(context), catScene(context),
    html("h2", {}, LEARN.v2), html("p", { class: "lead" }, LEARN.v2Words),
    maxIouScene(context), anchorScene(context),
  );
  context.onKey(build);
  build();
  return {};
}
