// The parts of a page that change by themselves are asked for again and put where they were. What somebody has chosen or
// focused in them stays; a part that is being read or written in is left alone.
import { localTime, localize, writeTimes } from "./times.js";

const RESTING_MS = 2000; // after a movement of the pointer: nothing moves away under it
const touched = new WeakMap(); // a part -> when the pointer moved over it
let since = new Date();
let rounds = 0; // only the last one that was asked for is shown …
let isForced = false; // … with no part left alone, where one before it was to be

// The time of which the page is, of day.
export function shownSince() {
  return localTime(since.toISOString(), 0).slice(11);
}

// Say that what is shown is of now.
export function isOfNow() {
  since = new Date();
}

for (const kind of ["pointermove", "pointerdown"]) {
  document.addEventListener(kind, ({ target }) => {
    const part = target.closest?.("[data-fresh]");
    if (part) touched.set(part, Date.now());
  }, { passive: true });
}

function isHeld(part) {
  const selected = getSelection();
  return Date.now() - (touched.get(part) ?? 0) < RESTING_MS
    || part.querySelector("details[open]") !== null
    || (part.contains(document.activeElement) && document.activeElement.matches("select, input:not([type=checkbox])"))
    || (!selected.isCollapsed && selected.containsNode(part, true));
}

// By which a control is found again in the part that comes.
function nameOf(one) {
  return one.id || [one.localName, one.name, one.type === "checkbox" || one.localName === "button" ? one.value : "", one.getAttribute("href")].join(" ");
}

function replace(part, found) {
  const controls = "a, button, input:not([type=hidden]), select";
  const before = new Map([...part.querySelectorAll(controls)].map((one) => [nameOf(one), one]));
  const focused = part.contains(document.activeElement) ? nameOf(document.activeElement) : "";
  const refused = part.querySelector(".refused"); // what a form has been told
  const form = [...part.querySelectorAll("form")].indexOf(refused?.parentElement);
  localize(found);
  for (const event of found.querySelectorAll(".event")) writeTimes(event);
  part.replaceChildren(...found.childNodes);
  if (refused) part.querySelectorAll("form")[form]?.append(refused);
  for (const one of part.querySelectorAll(controls)) {
    const was = before.get(nameOf(one));
    if (was && one.type === "checkbox") one.checked = was.checked;
    else if (was && one.matches("input, select")) one.value = was.value;
    if (nameOf(one) === focused) one.focus({ preventScroll: true });
  }
}

// Whether the page is of now. With `forced` no part is left alone.
export async function renew(forced) {
  const parts = [...document.querySelectorAll("[data-fresh]")];
  if (!parts.length) return true;
  const where = new URL(location.href);
  where.searchParams.set("fresh", "1"); // without what takes long and does not change
  const round = rounds += 1;
  isForced ||= forced;
  const answer = await fetch(where, { headers: { Accept: "text/html" } });
  const text = await answer.text();
  if (round !== rounds) return true;
  if (!answer.ok) return false;
  const page = new DOMParser().parseFromString(text, "text/html");
  let isWhole = true;
  for (const part of parts) {
    const found = page.getElementById(part.id);
    if (found && (isForced || !isHeld(part))) replace(part, found);
    else isWhole = false;
  }
  isForced = false;
  const said = document.querySelector(".done[data-while]"); // no longer than it is true
  if (said && !document.querySelector(`.summary-of .state.${CSS.escape(said.dataset.while)}`)) said.remove();
  if (isWhole) isOfNow();
  return true;
}
