/** The frame of the page: one view at a time, chosen by the hash; each is loaded when it is first shown. */

import { ProblemError, setApiKey } from "./api.js";
import { TEXT, fillText } from "./strings.js";

/**
 * What the frame offers to its views.
 * @typedef {object} Context
 * @property {(error: unknown) => void} complain tells an error in words; asks for the API key where one is missing
 * @property {() => void} clear takes the last complaint away
 * @property {(retry: () => void) => void} onKey calls back when another API key was typed
 * @property {{file: File | null, model: string | null}} shared the picture and model last worked on, in any view
 */
/** @typedef {{shown?: () => void, hidden?: () => void}} View what `mount` returns; called at each change of view */
/** @typedef {{mount: (section: HTMLElement, context: Context) => View | Promise<View>}} ViewModule `NAME/view.js` */

const at = (/** @type {string} */ id) => /** @type {HTMLElement} */ (document.getElementById(id));
const key = /** @type {HTMLInputElement} */ (at("key"));
const links = /** @type {HTMLAnchorElement[]} */ ([...document.querySelectorAll("nav a[href^='#']")]);
const names = links.map((link) => link.hash.slice(1));
/** @type {Map<string, Promise<View>>} */
const mounted = new Map();
/** @type {(() => void)[]} */
const retries = [];
let current = "";

/** @type {Context} */
const context = {
  complain(error) {
    at("alert").textContent = error instanceof Error ? error.message : String(error);
    if (error instanceof ProblemError && error.status === 401) {
      at("key-row").hidden = false;
      at("alert").textContent = TEXT.keyNeeded;
      key.focus();
    }
  },
  clear() {
    at("alert").textContent = "";
  },
  onKey: (retry) => retries.push(retry),
  shared: { file: null, model: null },
};

/** @param {string} name */
const sectionOf = (name) => at(`view-${name}`) ?? at("views").appendChild(Object.assign(document.createElement("div"), { id: `view-${name}`, hidden: true }));

/** @param {string} name @returns {Promise<View>} */
async function load(name) {
  /** @type {Promise<void>} */
  const styled = new Promise((resolve, reject) => {
    const link = Object.assign(document.createElement("link"), { rel: "stylesheet", href: `page/${name}/view.css` });
    link.addEventListener("load", () => resolve());
    link.addEventListener("error", () => reject(new Error(TEXT.viewMissing)));
    document.head.append(link);
  });
  /** @type {[ViewModule, void]} */
  const [module] = await Promise.all([import(`./${name}/view.js`), styled]);
  return module.mount(sectionOf(name), context);
}

async function navigate() {
  const wanted = location.hash.slice(1);
  const name = names.includes(wanted) ? wanted : names[0];
  if (name === current) return;
  const before = current;
  current = name;
  context.clear();
  for (const link of links) {
    if (link.hash === `#${name}`) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  for (const other of names) sectionOf(other).hidden = other !== name;
  (await mounted.get(before))?.hidden?.();
  const view = mounted.get(name) ?? load(name);
  mounted.set(name, view);
  try {
    const ready = await view;
    if (current === name) ready.shown?.();
  } catch (error) {
    mounted.delete(name);
    context.complain(error);
  }
}

fillText();
key.addEventListener("change", () => {
  setApiKey(key.value);
  context.clear();
  for (const retry of retries) retry();
});
window.addEventListener("hashchange", navigate);
navigate();
