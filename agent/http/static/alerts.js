// The page of alerts: a threshold that is moved is tested as soon as it rests.
import { localize } from "./times.js";

const RESTING_MS = 250;
const box = document.getElementById("threshold");
const slider = document.getElementById("slider");
let waiting;
let asking;

async function test() {
  asking?.abort();
  asking = new AbortController();
  const where = new URL("/alerts", location.href);
  for (const [name, value] of new FormData(box.form)) if (value) where.searchParams.set(name, value);
  const tested = document.getElementById("tested");
  tested.classList.add("waiting");
  try {
    const answer = await fetch(where, { signal: asking.signal, headers: { Accept: "text/html" } });
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const found = page.getElementById("tested");
    if (!found) return;
    localize(found);
    tested.replaceChildren(...found.childNodes);
    history.replaceState(null, "", where);
  } catch (error) {
    if (error.name === "AbortError") return;
    tested.textContent = "The server does not answer.";
  }
  tested.classList.remove("waiting");
}

function soon() {
  clearTimeout(waiting);
  waiting = setTimeout(test, RESTING_MS);
}

function written(value) { // as the configuration writes a threshold of this form
  const short = (number) => Number(number.toPrecision(3));
  if (box.dataset.form === "count") return Math.max(1, Math.round(value));
  if (box.dataset.form === "ratio") return `${short(Math.min(1, value) * 100)}%`;
  return box.dataset.form === "rate" ? `${short(value)}/s` : `${short(value)}x`;
}

slider?.addEventListener("input", () => {
  if (Number(slider.value) <= 0) return;
  box.value = written(Number(slider.value));
  soon();
});
box?.addEventListener("change", soon);
