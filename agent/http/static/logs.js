// The page of logs. It is drawn by the server: what is asked for here is the same page, of which parts are taken over.
import { Chart } from "./chart.js";
import { Completion } from "./complete.js";
import { copy, plant } from "./events.js";
import { RowList } from "./list.js";
import { LiveTail } from "./live.js";
import { isOfNow } from "./renew.js";
import { setRelative, writeTimes } from "./times.js";

const TYPING_MS = 300;
const AGAIN_MS = 2000; // after so long a search is sent again that found no server
const WAIT_MS = 150; // a shorter wait is not worth a picture
const AGO_MS = 10_000;
const RECOUNT_MS = 5000; // while the tail runs
const UNFINISHED = /(?:[=<>~!])$/; // the value is still to come
const box = document.getElementById("q");
const form = box.form;
const main = document.getElementById("main");
const tailButton = document.getElementById("tail");
const pauseButton = document.getElementById("pause");
const wait = document.getElementById("wait");
let typing;
let asking;
let again;
let list;
let searched = box.value; // what the rows are an answer to

function part(name) {
  return document.getElementById(name);
}

// ---------------------------------------------------------------- searching

function address() {
  const made = new URL("/logs", location.href);
  for (const [name, value] of new FormData(form)) if (value) made.searchParams.set(name, value);
  if (made.searchParams.get("order") === "newest") made.searchParams.delete("order");
  return made;
}

// Ask for the page at an address, and take over what it shows. `keep` how the address gets into the history.
async function show(where, keep = "push") {
  const there = new URL(where, location.href);
  clearTimeout(typing);
  clearTimeout(again);
  asking?.abort();
  const mine = asking = new AbortController();
  const picture = setTimeout(() => { wait.hidden = false; part("found").setAttribute("aria-busy", "true"); }, WAIT_MS);
  let text;
  try {
    const answer = await fetch(there, { signal: mine.signal, headers: { Accept: "text/html" } });
    text = await answer.text();
  } catch {
    if (mine.signal.aborted) return;
    fault("The server does not answer. What is shown was there before; the search goes on when it is back.");
    again = setTimeout(() => show(there, keep), AGAIN_MS);
    return;
  } finally {
    clearTimeout(picture);
    if (asking === mine) { wait.hidden = true; part("found").removeAttribute("aria-busy"); }
  }
  if (mine.signal.aborted) return;
  const page = new DOMParser().parseFromString(text, "text/html");
  take(page, there);
  if (keep === "push" && there.href !== location.href) history.pushState(null, "", there);
  else if (keep === "replace") history.replaceState(history.state, "", there);
  document.title = page.title;
}

function take(page, there) {
  const found = page.getElementById("found");
  if (!found) { // no session any more, or too many requests
    fault(page.getElementById("main")?.innerText.trim() || "The server has not answered.");
    return;
  }
  part("fault").replaceWith(page.getElementById("fault"));
  if (found.childElementCount) { // else something is wrong with the search: what was found before stays
    const open = part("fields")?.open;
    const focused = part("found").contains(document.activeElement) ? nameOf(document.activeElement) : "";
    part("found").replaceWith(found);
    part("choices").replaceWith(page.getElementById("choices"));
    searched = there.searchParams.get("q") ?? "";
    isOfNow();
    begin();
    if (open !== undefined && part("fields")) part("fields").open = open;
    if (focused) [...part("found").querySelectorAll("a, button, [tabindex]")].find((one) => nameOf(one) === focused)?.focus({ preventScroll: true });
    if (tail.running && searched !== tail.q) follow();
  } else part("found").classList.add("stale");
}

// By which what has the focus is found again on the next page: a chart, a link, a value of a field.
function nameOf(one) {
  const field = one.closest("details")?.querySelector("summary")?.textContent ?? "";
  return one.id || `${one.className} ${field} ${one.closest("li")?.querySelector("span")?.textContent ?? one.textContent}`;
}

function fault(words) {
  const said = document.createElement("p");
  said.className = "fault";
  said.setAttribute("role", "alert");
  said.textContent = words;
  part("fault").replaceChildren(said);
  part("found").classList.add("stale");
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  completion.close();
  last = box.value.trim();
  show(address());
});
let last = box.value.trim();
function typed() {
  clearTimeout(typing);
  typing = setTimeout(() => {
    if (completion.isAwaited) return typed();
    const now = box.value.trim();
    if (now === last || completion.isOpen || UNFINISHED.test(now)) return;
    last = now;
    show(address(), "replace");
  }, TYPING_MS);
}
box.addEventListener("input", typed);
form.addEventListener("change", ({ target }) => {
  if (!target.matches("select")) return;
  if (target.name === "since") form.querySelector("[name=until]")?.remove();
  show(address());
});
addEventListener("popstate", () => go(location.href, ""));

// Follow a link to another state of this page.
function go(where, keep = "push") {
  last = box.value = new URL(where, location.href).searchParams.get("q") ?? "";
  return show(where, keep);
}

main.addEventListener("click", (event) => {
  const link = event.target.closest("a");
  if (!link || event.ctrlKey || event.metaKey || event.altKey || event.button) return;
  const there = new URL(link.href, location.href);
  if (there.origin !== location.origin || there.pathname !== "/logs" || link.download) return;
  const counter = event.shiftKey && link.matches(".facet") ? link.parentElement.querySelector(".exclude") : null;
  if (event.shiftKey && !counter) return;
  event.preventDefault();
  go((counter ?? link).href);
});

// ---------------------------------------------------------------- what was found

let chart;

function begin() {
  list?.close();
  chart = undefined;
  list = undefined;
  const holder = part("rows");
  if (!holder) return;
  plant(holder);
  writeTimes(part("found"));
  list = new RowList(holder, searched, tell);
  plot();
  part("relative").setAttribute("aria-pressed", String(isRelative));
  fold();
}

function plot() {
  chart = new Chart(part("chart"), part("stretch"), (since, until) => {
    const there = address();
    there.searchParams.set("since", since);
    there.searchParams.set("until", until);
    show(there);
  }, () => go(part("wider").href));
}

// On a narrow screen the fields stand above the rows.
function fold() {
  if (part("fields")) part("fields").open = !narrow.matches;
}
const narrow = matchMedia("(max-width: 720px)");
narrow.addEventListener("change", fold);

function tell(count) {
  const total = Number(part("total").dataset.total);
  part("shown").textContent = count < total ? `, the ${form.order.value} ${count.toLocaleString("en")} shown` : "";
}

let isRelative = localStorage.getItem("times") === "relative";
main.addEventListener("click", ({ target }) => {
  if (target.id === "relative") {
    isRelative = !isRelative;
    localStorage.setItem("times", isRelative ? "relative" : "absolute");
    target.setAttribute("aria-pressed", String(isRelative));
    setRelative(isRelative);
  } else if (target.id === "copy-command") copy(part("command").textContent, part("command"), target);
});
setInterval(() => { if (isRelative && !document.hidden) writeTimes(part("found")); }, AGO_MS);

// ---------------------------------------------------------------- the live tail

let came = false; // since chart and fields were counted

function arrive(events, left) {
  const added = list?.add(events) ?? 0;
  if (!added && !left) return;
  came = true;
  part("rows").parentElement.querySelector(":scope > .empty")?.remove();
  const total = part("total");
  total.dataset.total = Number(total.dataset.total) + added + left;
  total.textContent = `${Number(total.dataset.total).toLocaleString("en")} events`;
  tell(list.count);
}

// Between the page and its live tail, or while that had no connection, something may have come; not where the page shows
// another time.
async function catchUp() {
  const mine = list;
  if (!mine || form.querySelector("[name=until]")) return;
  const events = await mine.missed();
  if (mine === list) arrive(events, 0);
}

// Chart, fields and total are counted anew by the server now and then, not for every line.
async function recount() {
  const mine = list;
  if (!came || !mine || !tail.running || tail.paused || document.hidden || chart.isInUse) return;
  came = false;
  const where = new URL(location.href);
  where.searchParams.set("fresh", "1");
  let page;
  try {
    const answer = await fetch(where, { headers: { Accept: "text/html" } });
    page = new DOMParser().parseFromString(await answer.text(), "text/html");
  } catch { // the connection has gone; the page says so by itself
    came = true;
    return;
  }
  const total = page.getElementById("total");
  if (!total || mine !== list || chart.isInUse) return;
  const isFocused = part("chart").contains(document.activeElement);
  document.querySelector(".over-time").replaceWith(page.querySelector(".over-time"));
  writeTimes(document.querySelector(".over-time"));
  plot();
  if (isFocused) part("chart").focus({ preventScroll: true });
  if (!part("values").matches(":hover, :focus-within")) {
    const opened = new Map([...part("values").querySelectorAll("details")].map((one) => [one.firstElementChild.textContent, one.open]));
    part("values").replaceChildren(...page.getElementById("values").childNodes);
    for (const one of part("values").querySelectorAll("details")) one.open = opened.get(one.firstElementChild.textContent) ?? one.open;
  } else came = true;
  for (const name of ["permalink", "download", "download-csv"]) part(name).href = page.getElementById(name).href;
  part("total").dataset.total = total.dataset.total;
  part("total").textContent = total.textContent;
  tell(list.count);
  isOfNow();
}
setInterval(recount, RECOUNT_MS);

const tail = new LiveTail(arrive, ({ running, waiting, paused, kept }) => {
  tailButton.setAttribute("aria-pressed", String(running));
  tailButton.classList.toggle("waiting", Boolean(running && waiting));
  tailButton.title = running && waiting ? "waiting for the server" : "";
  pauseButton.hidden = !running;
  pauseButton.textContent = !paused ? "Pause" : kept ? `Continue (${kept.toLocaleString("en")} new)` : "Continue";
}, catchUp);

function follow() {
  tail.q = searched;
  tail.begin(searched);
}

tailButton.addEventListener("click", () => {
  if (tail.running) tail.end();
  else follow();
});
pauseButton.addEventListener("click", () => tail.pause(!tail.paused));

// ---------------------------------------------------------------- begin

const completion = new Completion(box, () => part("rows")?.dataset ?? {}, typed);
if (isRelative) setRelative(true);
begin();
