// Rows of events, built of documents as the API gives them; texts are only ever set as text.
import { localTime } from "./times.js";

const BANDS = { FATAL: "fatal", ERROR: "error", WARN: "warn", INFO: "info", DEBUG: "debug", TRACE: "trace" };
const MOST_CHARACTERS = 2000;
const MOST_OF_VALUE = 4000; // of what unfolds: a stack trace
const MOST_IN_LINE = 300;
// What would move the writing or hide it: control characters, and those that turn its direction.
const UNSAFE = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]|\p{Cs}/gu;

// What no other event has: where those of several agents are together, their ids alone are not enough.
export function keyOf(event) {
  return event.agent ? `${event.id}@${event.agent}` : String(event.id);
}

export function seen(text) {
  return text.replace(UNSAFE, (found) => `\\u${found.charCodeAt(0).toString(16).padStart(4, "0")}`);
}

function text(value) {
  return typeof value === "string" ? value : value === null || value === undefined ? "" : JSON.stringify(value);
}

function cut(words, most) {
  return words.length <= most ? words : `${words.slice(0, most)}…`;
}

export function element(name, kind, content) {
  const made = document.createElement(name);
  if (kind) made.className = kind;
  if (content !== undefined) made.textContent = seen(content);
  return made;
}

function* flattened(value, prefix = "") {
  for (const [name, inner] of Object.entries(value ?? {})) {
    const path = prefix ? `${prefix}.${name}` : name;
    if (inner && typeof inner === "object" && !Array.isArray(inner) && Object.keys(inner).length) yield* flattened(inner, path);
    else yield [path, text(inner)];
  }
}

function cell(event, name) {
  const own = { service: event.resource?.["service.name"], source: event.source, path: event.path, trace_id: event.trace_id, group: event.group };
  if (Object.hasOwn(own, name)) return text(own[name]);
  const path = name.startsWith("attributes.") ? name.slice("attributes.".length) : name;
  for (const [found, value] of flattened(event.attributes)) if (found === path) return cut(value, MOST_IN_LINE);
  return "";
}

// `shape`: the columns and the view of the page.
export function row(event, shape = { columns: [], view: "" }) {
  const level = event.severity_text ?? "";
  const band = BANDS[level.replace(/\d+$/, "")] ?? "none";
  const details = element("details", `event ${band}`);
  details.dataset.id = keyOf(event);
  const summary = element("summary");
  const time = element("time", "", localTime(event.timestamp));
  time.dateTime = event.timestamp;
  time.dataset.digits = 3;
  const message = element("span", "message", cut(text(event.body), MOST_CHARACTERS));
  if (shape.view === "text") {
    for (const [name, value] of flattened(event.attributes)) {
      const pair = element("span", "pair");
      pair.append(element("b", "", name), seen(`=${cut(value, MOST_IN_LINE)}`));
      message.append(" ", pair);
    }
  }
  summary.append(time, element("span", `level ${band}`, level || "–"),
    element("span", "origin", event.resource?.["service.name"] || event.source));
  for (const name of shape.columns) {
    const made = element("span", "cell", cell(event, name));
    made.title = seen(name);
    summary.append(made);
  }
  summary.append(message);
  details.append(summary);
  details.addEventListener("toggle", () => { if (details.open && details.childElementCount === 1) details.append(unfolded(event, shape.view)); });
  if (shape.view === "json") {
    details.append(unfolded(event, shape.view));
    details.open = true;
  }
  return details;
}

function unfolded(event, view) {
  const box = element("div", "unfolded");
  if (view !== "json") {
    const fields = element("dl", "fields");
    for (const [name, value] of [...flattened(event.attributes), ["source", event.source], ["path", event.path]]) {
      const pair = element("div");
      pair.append(element("dt", "", name), element("dd", "", cut(value, MOST_OF_VALUE)));
      fields.append(pair);
    }
    box.append(fields);
  }
  const actions = element("p", "actions");
  const around = link(`/context/${keyOf(event)}`, "context");
  around.className = "context";
  actions.append(around);
  if (event.trace_id) actions.append(link(`/trace/${encodeURIComponent(event.trace_id)}?at=${encodeURIComponent(event.timestamp)}`, "same trace"));
  if (event.group) actions.append(link(`/errors/${event.group}`, `error group ${event.group}`));
  const copy = element("button", "copy", "copy JSON");
  copy.type = "button";
  actions.append(copy);
  const json = element("details", "json");
  json.append(element("summary", "", "JSON"), element("pre", "", JSON.stringify(event, null, 2)));
  json.open = view === "json";
  box.append(actions, json);
  return box;
}

function link(address, words) {
  const made = element("a", "", words);
  made.href = address;
  return made;
}

// The text of JSON as a tree whose branches fold.
export function tree(value, name) {
  const label = name === undefined ? "" : `${JSON.stringify(name)}: `;
  if (value === null || typeof value !== "object" || !Object.keys(value).length) {
    const leaf = element("div", "leaf");
    leaf.append(element("b", "", label), seen(JSON.stringify(value)));
    return leaf;
  }
  const branch = element("details", "branch");
  branch.open = true;
  const [begin, end] = Array.isArray(value) ? "[]" : "{}";
  const summary = element("summary");
  summary.append(element("b", "", label), begin, element("i", "", ` ${Object.keys(value).length} … ${end}`));
  branch.append(summary);
  for (const [key, inner] of Object.entries(value)) branch.append(tree(inner, Array.isArray(value) ? undefined : key));
  branch.append(element("div", "end", end));
  return branch;
}
