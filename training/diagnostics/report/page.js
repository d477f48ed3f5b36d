"use strict";
// Review of findings: decisions by keys or buttons, kept in the browser and saved as decisions.json.
const report = JSON.parse(document.getElementById("report").textContent);
const cards = [...document.querySelectorAll(".card")];
const count = document.getElementById("count");
const undo = document.getElementById("undo");
const store = "yoloscope-audit-" + report.digest;
const verdicts = new Map(); // rank of a finding in the report -> "accept" or "reject"
const history = []; // [position, former verdict or undefined]
let current = -1;

function load() {
  let kept = {};
  try {
    kept = JSON.parse(localStorage.getItem(store) ?? "{}") ?? {};
  } catch {
    document.getElementById("unkept").hidden = false;
  }
  for (const [index, verdict] of Object.entries(kept)) {
    if (report.findings[index] && (verdict === "accept" || verdict === "reject")) verdicts.set(Number(index), verdict);
  }
}

function keep() {
  try {
    localStorage.setItem(store, JSON.stringify(Object.fromEntries(verdicts)));
  } catch {
    document.getElementById("unkept").hidden = false;
  }
}

const indexOf = (card) => Number(card.dataset.index);

function show(card) {
  const verdict = verdicts.get(indexOf(card));
  card.classList.toggle("accept", verdict === "accept");
  card.classList.toggle("reject", verdict === "reject");
  for (const button of card.querySelectorAll("button")) {
    button.setAttribute("aria-pressed", String(button.value === verdict));
  }
}

function tally() {
  const accepted = [...verdicts.values()].filter((verdict) => verdict === "accept").length;
  const decided = verdicts.size;
  count.textContent = `${decided} of ${cards.length} decided: ${accepted} accepted, ${decided - accepted} rejected`;
  undo.disabled = history.length === 0;
}

function go(position) {
  if (position < 0 || position >= cards.length) return;
  cards[current]?.removeAttribute("aria-current");
  current = position;
  const card = cards[current];
  card.setAttribute("aria-current", "true");
  card.focus({ preventScroll: true });
  card.scrollIntoView({ block: "nearest" });
}

function set(card, verdict) {
  const index = indexOf(card);
  if (verdict === undefined) verdicts.delete(index);
  else verdicts.set(index, verdict);
  show(card);
  tally();
  keep();
}

function decide(verdict) {
  if (current < 0) return;
  const card = cards[current];
  history.push([current, verdicts.get(indexOf(card))]);
  set(card, verdict);
  go(current + 1);
}

function takeBack() {
  if (!history.length) return;
  const [position, former] = history.pop();
  set(cards[position], former);
  go(position);
}

function save() {
  const { model, version, data, split } = report;
  const decisions = [...verdicts.entries()].sort(([one], [other]) => one - other)
    .map(([index, decision]) => ({ decision, finding: report.findings[index] }));
  const text = JSON.stringify({ model, version, data, split, decisions }, null, 1);
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type: "application/json" }));
  link.download = "decisions.json";
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

const keys = {
  a: () => decide("accept"), r: () => decide("reject"), u: takeBack,
  n: () => go(current + 1), j: () => go(current + 1), ArrowRight: () => go(current + 1),
  p: () => go(current - 1), k: () => go(current - 1), ArrowLeft: () => go(current - 1),
};

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest(".scroll")) return;
  const action = keys[event.key] ?? keys[event.key.toLowerCase()];
  if (!action) return;
  event.preventDefault();
  action();
});
cards.forEach((card, position) => {
  show(card);
  card.addEventListener("click", (event) => {
    if (position !== current) go(position);
    const button = event.target.closest("button");
    if (button) decide(button.value);
  });
});
undo.addEventListener("click", takeBack);
document.getElementById("save").addEventListener("click", save);
load();
cards.forEach(show);
tally();
const first = cards.findIndex((card) => !verdicts.has(indexOf(card)));
current = first < 0 ? (cards.length ? 0 : -1) : first;
cards[current]?.setAttribute("aria-current", "true");
