// What unfolds in a row of an event, on every page that has some: its JSON as a tree, the lines around it, copying.
import { element, keyOf, row, tree } from "./rows.js";
import { writeTimes } from "./times.js";

const LINES = 8;
const texts = new WeakMap(); // a tree -> the JSON of which it was made

export async function copy(text, from, button) {
  const words = button.textContent;
  try {
    await navigator.clipboard.writeText(text);
    button.textContent = "copied";
  } catch { // not over plain HTTP: then it is selected
    getSelection().selectAllChildren(from);
    button.textContent = "selected";
  }
  setTimeout(() => { button.textContent = words; }, 2000);
}

// A `toggle` does not bubble, but it can be captured.
document.addEventListener("toggle", ({ target }) => {
  if (target.open && target.matches?.("details.json, details.event")) plant(target);
}, true);

export function plant(root) {
  for (const pre of root.querySelectorAll("details.json[open] > pre")) {
    let value;
    try {
      value = JSON.parse(pre.textContent);
    } catch { // a number too large or the like: the text says it as well
      continue;
    }
    const made = element("div", "tree");
    made.append(tree(value));
    texts.set(made, pre.textContent);
    pre.replaceWith(made);
  }
}

document.addEventListener("click", async (event) => {
  const button = event.target.closest("button.copy");
  if (button) {
    const json = button.closest(".unfolded").querySelector("details.json");
    const shown = json.querySelector(":scope > pre, :scope > .tree");
    await copy(texts.get(shown) ?? shown.textContent, shown, button);
    return;
  }
  const around = event.target.closest("a.context");
  if (around && !event.ctrlKey && !event.metaKey && !event.shiftKey) {
    event.preventDefault();
    await showContext(around);
  }
});

async function showContext(link) {
  const holder = link.closest(".unfolded");
  const known = holder.querySelector(":scope > .around");
  if (known) {
    known.remove();
    return;
  }
  const made = element("section", "around");
  made.setAttribute("aria-label", "Lines around it");
  made.append(element("p", "hint", "…"));
  holder.append(made);
  const id = link.closest(".event").dataset.id;
  try {
    const answer = await fetch(`/api/v1/context?id=${encodeURIComponent(id)}&lines=${LINES}`);
    const found = await answer.json();
    if (!answer.ok) throw new Error(found.message);
    made.replaceChildren(...found.map((one) => {
      const line = row(one);
      line.classList.toggle("marked", keyOf(one) === id);
      return line;
    }));
    writeTimes(made);
  } catch (error) {
    made.replaceChildren(element("p", "fault", error.message));
  }
}

plant(document);
for (const event of document.querySelectorAll(".event")) writeTimes(event);
