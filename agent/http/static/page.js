// What every page does: show controls that need JavaScript, say times in the reader's zone, choose several groups at
// once, and say when the agent or the connection is gone.
import "./forms.js";
import { shownSince, renew } from "./renew.js";
import { seen } from "./rows.js";
import { localize } from "./times.js";

document.documentElement.classList.add("has-js");
if (document.querySelector(".event")) import("./events.js");

const health = document.getElementById("health");
const lost = document.getElementById("lost");
const EVERY_MS = 5000;
const GONE = "SL903"; // the agent is silent, or has ended

localize(document);

// ---------------------------------------------------------------- several groups

function boxes() {
  return [...document.querySelectorAll("td.choose input")];
}

function count() {
  const all = document.getElementById("choose-all");
  if (!all) return;
  const number = boxes().filter((box) => box.checked).length;
  all.checked = number === boxes().length;
  all.indeterminate = number > 0 && number < boxes().length;
  document.getElementById("chosen").textContent = number === 0 ? "Choose groups to change them:" : number === 1 ? "1 group:" : `${number} groups:`;
  for (const button of all.form.querySelectorAll("button")) button.disabled = number === 0;
}

document.addEventListener("change", ({ target }) => {
  if (target.id === "choose-all") for (const box of boxes()) box.checked = target.checked;
  if (target.id === "choose-all" || target.closest("td.choose")) count();
});
count();

// What a form has done is said once: who loads the page again, or comes back to it, is not told anew.
if (document.querySelector(".done")) {
  const here = new URL(location.href);
  for (const name of ["done", "n"]) here.searchParams.delete(name);
  history.replaceState(history.state, "", here);
}

// What is chosen for a list holds at once.
document.addEventListener("change", async ({ target }) => {
  if (!target.matches("form.filters select")) return;
  const there = new URL(target.form.getAttribute("action"), location.href);
  for (const [name, value] of new FormData(target.form)) if (value) there.searchParams.set(name, value);
  history.pushState(null, "", there);
  try {
    if (!await renewed(true)) location.reload();
  } catch {
    disconnect();
  }
});
if (document.querySelector("form.filters")) addEventListener("popstate", () => location.reload());

async function renewed(forced) {
  const done = await renew(forced);
  count();
  return done;
}

// ---------------------------------------------------------------- the agent

const problems = document.getElementById("problems");
const MOST_PROBLEMS = 5;

function show(found) {
  health.classList.toggle("bad", found.length > 0);
  health.classList.toggle("good", found.length === 0);
  health.textContent = found.length ? "needs attention" : "healthy";
  problems.hidden = found.length === 0;
  const rows = found.slice(0, MOST_PROBLEMS).map((one) => {
    const row = document.createElement("li");
    const code = document.createElement("a");
    code.href = `/explain/${encodeURIComponent(one.code)}`;
    code.append(document.createElement("b"));
    code.firstChild.textContent = one.code;
    row.append(code, ` ${seen(one.message)}${one.code === GONE ? ". What is shown is what was stored before." : ""}`);
    return row;
  });
  if (found.length > MOST_PROBLEMS) {
    rows.push(document.createElement("li"));
    rows.at(-1).textContent = `… and ${found.length - MOST_PROBLEMS} more`;
  }
  problems.firstElementChild.replaceChildren(...rows);
}

function lose(word, words) {
  health.classList.add("bad");
  health.textContent = word;
  lost.textContent = words;
  lost.hidden = false;
}

function disconnect() {
  lose("no connection", `The server does not answer. What is shown is of ${shownSince()}; it goes on by itself when it is back.`);
}

let looking = false;

async function look() {
  if (!health || looking) return;
  looking = true;
  try {
    await lookOnce();
  } catch {
    disconnect();
  } finally {
    looking = false;
  }
}

async function lookOnce() {
  const answer = await fetch("/pulse", { cache: "no-store" });
  if (answer.status === 401) {
    lose("session over", `The session is over. What is shown is of ${shownSince()}; reload the page to see how another is opened.`);
    return;
  }
  if (answer.ok) show((await answer.json()).problems);
  const isFresh = await renewed(false);
  lost.textContent = isFresh ? "" : `The page could not be renewed. What is shown is of ${shownSince()}; it is tried again.`;
  lost.hidden = isFresh;
}

setInterval(() => { if (!document.hidden) look(); }, EVERY_MS);
