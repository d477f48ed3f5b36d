// The page of an audit: its cards show the verdicts of review.js, which stands before this text in the same script.
const report = JSON.parse(document.getElementById("report").textContent);
const cards = [...document.querySelectorAll(".card")];
const count = document.getElementById("count");
const undo = document.getElementById("undo");
const review = new Review("yoloscope-audit-" + report.digest, (rank) => rank in report.findings);
let current = -1;

const rankOf = (card) => Number(card.dataset.index);

function show(card) {
  const verdict = review.verdicts.get(rankOf(card));
  card.classList.toggle("accept", verdict === "accept");
  card.classList.toggle("reject", verdict === "reject");
  for (const button of card.querySelectorAll("button")) {
    button.setAttribute("aria-pressed", String(button.value === verdict));
  }
}

function tally() {
  count.textContent = review.inWords(cards.length);
  undo.disabled = review.history.length === 0;
  document.getElementById("unkept").hidden = review.isKept;
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

function decide(verdict) {
  if (current < 0) return;
  review.decide(rankOf(cards[current]), verdict);
  show(cards[current]);
  tally();
  go(current + 1);
}

function takeBack() {
  const rank = review.undo();
  const position = cards.findIndex((card) => rankOf(card) === rank);
  if (position < 0) return;
  show(cards[position]);
  tally();
  go(position);
}

const actions = {
  accept: () => decide("accept"), reject: () => decide("reject"), undo: takeBack,
  next: () => go(current + 1), previous: () => go(current - 1),
};

document.addEventListener("keydown", (event) => {
  const action = event.target.closest(".scroll") ? undefined : actionOf(event);
  if (!action) return;
  event.preventDefault();
  actions[action]();
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
document.getElementById("save").addEventListener("click", () => saveFile(review.toJson(report, report.findings), "decisions.json"));
tally();
const first = cards.findIndex((card) => !review.verdicts.has(rankOf(card)));
current = first < 0 ? (cards.length ? 0 : -1) : first;
cards[current]?.setAttribute("aria-current", "true");
