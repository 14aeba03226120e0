// What every page does: show controls that need JavaScript, say times in the reader's zone, choose several groups at
// once, keep what changes by itself up to date, and say when the agent or the connection is gone.
import { seen } from "./rows.js";

document.documentElement.classList.add("has-js");
if (document.querySelector(".event")) import("./events.js");

const health = document.getElementById("health");
const lost = document.getElementById("lost");
const EVERY_MS = 5000;
const GONE = "SL903"; // the agent is silent, or has ended

// ---------------------------------------------------------------- times

function two(number) {
  return String(number).padStart(2, "0");
}

export function localize(within) {
  for (const time of within.querySelectorAll("time.when")) {
    const when = new Date(time.dateTime);
    if (Number.isNaN(when.getTime())) continue;
    const minute = `${when.getFullYear()}-${two(when.getMonth() + 1)}-${two(when.getDate())} ${two(when.getHours())}:${two(when.getMinutes())}`;
    time.textContent = time.classList.contains("brief") ? minute : `${minute}:${two(when.getSeconds())}`;
    time.title = time.dateTime;
  }
}
localize(document);

// ---------------------------------------------------------------- several groups

const all = document.getElementById("choose-all");
const chosen = document.getElementById("chosen");
const boxes = [...document.querySelectorAll("td.choose input")];

function count() {
  const number = boxes.filter((box) => box.checked).length;
  all.checked = number === boxes.length;
  all.indeterminate = number > 0 && number < boxes.length;
  chosen.textContent = number === 0 ? "Choose groups to change them:" : number === 1 ? "1 group:" : `${number} groups:`;
  for (const button of all.form.querySelectorAll("button")) button.disabled = number === 0;
}

if (all) {
  all.addEventListener("change", () => { for (const box of boxes) box.checked = all.checked; count(); });
  for (const box of boxes) box.addEventListener("change", count);
  count();
}

// ---------------------------------------------------------------- what changes by itself

const fresh = document.getElementById("fresh");

async function renew() {
  const answer = await fetch(location.href, { headers: { Accept: "text/html" } });
  if (!answer.ok) return;
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  const found = page.getElementById("fresh");
  if (!found || fresh.contains(document.activeElement) || fresh.matches(":hover")) return; // nobody reads it away
  localize(found);
  fresh.replaceChildren(...found.childNodes);
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
    row.append(code, ` ${seen(one.message)}`);
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

async function look() {
  if (!health) return;
  let answer, found;
  try {
    answer = await fetch("/pulse", { cache: "no-store" });
    found = answer.ok ? (await answer.json()).problems : [];
  } catch {
    lose("no connection", "The server does not answer. What is shown was there before; it goes on by itself when it is back.");
    return;
  }
  if (answer.status === 401) {
    lose("session over", "The session is over. What is shown was there before; reload the page to see how another is opened.");
    return;
  }
  const gone = found.find((one) => one.code === GONE);
  if (answer.ok) show(found);
  if (gone) lost.textContent = `No agent: ${gone.message}. What is shown is what was stored before.`;
  lost.hidden = !gone;
  if (fresh) await renew();
}

setInterval(() => { if (!document.hidden) look(); }, EVERY_MS);
