// Completion of names of fields, their values and levels in the box of the search.
// https://www.w3.org/WAI/ARIA/apg/patterns/combobox/
import { seen } from "./rows.js";

const LEVELS = ["trace", "debug", "info", "warn", "error", "fatal"];
const NAMED = ["severity", "service", "source", "message", "logger", "path", "trace_id", "span_id", "group", "category", "state"];
const STATES = ["new", "ongoing", "regressed", "resolved", "ignored"];
const OPERATOR = /^(!?\(*!?)((?:"(?:[^"\\]|\\.)*"|[^\s"!<>=~()]+))(!=|>=|<=|=|>|<|~)(.*)$/s;
const FRESH_MS = 30_000;
const AWAITED_MS = 2000; // a search waits no longer for what might be offered
const MOST = 12;

export function quoted(text) {
  return /^[^\s"=()!<>~*][^\s()*]*$/.test(text) ? text : `"${text.replaceAll("\\", "\\\\").replaceAll('"', '\\"')}"`;
}

// Where the term begins in which the caret stands.
export function termStart(text, caret) {
  let inQuotes = false;
  let start = 0;
  for (let index = 0; index < caret; index += 1) {
    const letter = text[index];
    if (inQuotes && letter === "\\") index += 1;
    else if (letter === '"') inQuotes = !inQuotes;
    else if (!inQuotes && /[\s()]/.test(letter)) start = index + 1;
  }
  return start;
}

export class Completion {
  // `box`: the input; `span`: gives the stretch of time whose fields are offered; `closed`: called when what was offered
  // is no longer.
  constructor(box, span, closed) {
    this.box = box;
    this.span = span;
    this.closed = closed;
    this.options = [];
    this.active = -1;
    this.list = document.createElement("ul");
    Object.assign(this.list, { id: "completion", hidden: true });
    this.list.setAttribute("role", "listbox");
    this.list.setAttribute("aria-label", "Completions");
    box.after(this.list);
    for (const [name, value] of Object.entries({ role: "combobox", "aria-autocomplete": "list", "aria-expanded": "false", "aria-controls": "completion" })) box.setAttribute(name, value);
    box.addEventListener("input", () => this.offer());
    box.addEventListener("click", () => this.offer());
    box.addEventListener("keydown", (event) => this.#key(event));
    box.addEventListener("blur", () => this.close());
    this.list.addEventListener("pointerdown", (event) => {
      event.preventDefault(); // the box keeps the focus
      const option = event.target.closest("[role=option]");
      if (option) this.#take(Number(option.dataset.index));
    });
  }

  // The fields, asked for once in a while: keys that are pressed meanwhile wait for the same answer.
  #fields() {
    if (!this.known || Date.now() - this.at > FRESH_MS) {
      this.at = Date.now();
      this.known = this.#ask();
    }
    return this.known;
  }

  async #ask() {
    const where = new URL("/api/v1/fields", location.href);
    where.searchParams.set("values", "30");
    const span = this.span();
    for (const name of ["since", "until"]) if (span[name]) where.searchParams.set(name, span[name]);
    try {
      const answer = await fetch(where);
      return answer.ok ? await answer.json() : [];
    } catch { // names that every event has are offered all the same; the page says by itself that the server is gone
      return [];
    }
  }

  async offer() {
    const asked = this.asked = { at: Date.now() };
    const fields = await this.#fields();
    if (asked !== this.asked || document.activeElement !== this.box) return;
    this.asked = undefined;
    const caret = this.box.selectionStart;
    this.start = termStart(this.box.value, caret);
    const typed = this.box.value.slice(this.start, caret);
    this.options = typed || !this.box.value ? offered(typed, fields) : [];
    this.#draw();
  }

  #draw() {
    this.active = -1;
    this.list.replaceChildren(...this.options.map((one, index) => {
      const option = document.createElement("li");
      option.id = `completion-${index}`;
      option.dataset.index = index;
      option.setAttribute("role", "option");
      option.setAttribute("aria-selected", "false");
      option.append(seen(one.text));
      if (one.note) {
        const note = document.createElement("span");
        note.textContent = one.note;
        option.append(note);
      }
      return option;
    }));
    this.list.hidden = !this.options.length;
    this.box.setAttribute("aria-expanded", String(!this.list.hidden));
    this.box.removeAttribute("aria-activedescendant");
  }

  get isOpen() {
    return !this.list.hidden;
  }

  // Whether something may be offered soon: a slow answer is not waited for for ever.
  get isAwaited() {
    return this.asked !== undefined && Date.now() - this.asked.at < AWAITED_MS;
  }

  close() {
    const wasOpen = this.isOpen;
    this.asked = undefined;
    this.options = [];
    this.#draw();
    if (wasOpen) this.closed();
  }

  #choose(index) {
    this.active = (index + this.options.length) % this.options.length;
    for (const [at, option] of [...this.list.children].entries()) option.setAttribute("aria-selected", String(at === this.active));
    this.list.children[this.active].scrollIntoView({ block: "nearest" });
    this.box.setAttribute("aria-activedescendant", `completion-${this.active}`);
  }

  #take(index) {
    const { text, more } = this.options[index];
    const caret = this.box.selectionStart;
    const before = this.box.value.slice(0, this.start) + text + (more ? "" : " ");
    this.box.value = before + this.box.value.slice(caret).replace(/^[^\s()]*/, "").replace(/^ /, more ? " " : "");
    this.box.setSelectionRange(before.length, before.length);
    this.close();
    this.box.dispatchEvent(new InputEvent("input", { bubbles: true }));
  }

  #key(event) {
    if (event.key === "ArrowDown" && this.list.hidden) { this.offer(); event.preventDefault(); return; }
    if (this.list.hidden) return;
    if (event.key === "ArrowDown") this.#choose(this.active + 1);
    else if (event.key === "ArrowUp") this.#choose(this.active < 0 ? this.options.length - 1 : this.active - 1);
    else if (event.key === "Escape") this.close();
    else if ((event.key === "Enter" || event.key === "Tab") && this.active >= 0) this.#take(this.active);
    else return;
    event.preventDefault();
  }
}

function offered(typed, fields) {
  const parts = OPERATOR.exec(typed);
  if (!parts) {
    const sign = /^!/.exec(typed)?.[0] ?? "";
    const begun = typed.slice(sign.length).replace(/^"/, "").toLowerCase();
    const names = [...new Set([...NAMED, ...fields.map((one) => one.field)])];
    const counts = new Map(fields.map((one) => [one.field, one.count]));
    const named = names.filter((name) => name.toLowerCase().includes(begun))
      .sort((a, b) => b.toLowerCase().startsWith(begun) - a.toLowerCase().startsWith(begun))
      .map((name) => ({ text: `${sign}${quoted(name)}${name === "severity" ? ">=" : "="}`, note: counts.has(name) ? "field" : "", more: true }));
    const levels = begun ? LEVELS.filter((level) => level.startsWith(begun)).map((level) => ({ text: `${sign}severity>=${level}`, note: "level" })) : [];
    return [...levels, ...named].slice(0, MOST);
  }
  const [, sign, name, operator, value] = parts;
  const field = name.startsWith('"') ? name.slice(1, -1).replace(/\\(["\\])/g, "$1") : name;
  const begun = value.replace(/^"/, "").replace(/\\(["\\])/g, "$1").toLowerCase();
  const known = fields.find((one) => one.field === field)?.values.map((one) => [one.value, one.count]) ?? [];
  const given = field === "severity" ? LEVELS.map((level) => [level]) : field === "state" ? STATES.map((state) => [state]) : known;
  return given.filter(([one]) => one !== null && typeof one !== "object")
    .map(([one, count]) => [typeof one === "string" ? one : JSON.stringify(one), count])
    .filter(([text]) => text.length <= 200 && text.toLowerCase().includes(begun) && text.toLowerCase() !== begun)
    .sort(([one], [other]) => other.toLowerCase().startsWith(begun) - one.toLowerCase().startsWith(begun))
    .slice(0, MOST)
    .map(([text, count]) => ({ text: `${sign}${name}${operator}${quoted(text)}`, note: count === undefined ? "" : count.toLocaleString("en") }));
}
