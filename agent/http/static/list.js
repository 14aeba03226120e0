// The rows of the page of logs: thousands of them, of which only those near the window are part of the page.
import { plant } from "./events.js";
import { element, keyOf, row } from "./rows.js";
import { writeTimes } from "./times.js";

const CHUNK = 100;
const MOST_ROWS = 20_000;
const MOST_MISSED = 1_000;
const NEAR = "2500px 0px"; // so far from the window rows are drawn
const SOON = "1500px 0px"; // so far from the end more are fetched

// The instant after a timestamp of up to nine digits of the second.
export function after(timestamp) {
  const [, whole, fraction = ""] = /^(.*?)(?:\.(\d+))?Z$/.exec(timestamp);
  const nanoseconds = BigInt(Date.parse(`${whole}Z`)) * 1_000_000n + BigInt(fraction.padEnd(9, "0")) + 1n;
  const second = new Date(Number(nanoseconds / 1_000_000_000n) * 1000).toISOString().slice(0, 19);
  return `${second}.${String(nanoseconds % 1_000_000_000n).padStart(9, "0")}Z`;
}

// The events of an answer; its last lines may say what could not be read.
function lines(text) {
  return text.split("\n").filter(Boolean).map((line) => JSON.parse(line)).filter((one) => one.id !== undefined);
}

export class RowList {
  // `holder`: the element with the rows; `q`: what they satisfy; `told`: hears how many there are.
  constructor(holder, q, told) {
    this.holder = holder;
    this.q = q;
    this.told = told;
    this.shape = { columns: JSON.parse(holder.dataset.columns), view: holder.dataset.view };
    this.newest = holder.dataset.order === "newest";
    this.rows = [...holder.querySelectorAll(".event")];
    this.ids = new Set(this.rows.map((one) => one.dataset.id));
    this.last = this.rows.at(-1)?.querySelector("time").dateTime;
    this.count = this.rows.length;
    this.away = new WeakMap(); // a chunk far from the window -> its rows
    this.near = new IntersectionObserver((seen) => seen.forEach((one) => this.#place(one)), { rootMargin: NEAR });
    for (const chunk of holder.children) this.near.observe(chunk);
    this.end = document.getElementById("more");
    this.limit = CHUNK;
    if (this.end) {
      this.soon = new IntersectionObserver((seen) => { if (seen.at(-1).isIntersecting) this.more(); }, { rootMargin: SOON });
      this.soon.observe(this.end);
    }
  }

  close() {
    this.near.disconnect();
    this.soon?.disconnect();
    this.closed = true;
  }

  #place({ target, isIntersecting }) {
    const rows = this.away.get(target);
    if (isIntersecting && rows) {
      this.away.delete(target);
      target.append(rows);
      target.style.height = "";
      writeTimes(target);
    } else if (!isIntersecting && !rows && target.isConnected && !target.contains(document.activeElement)) {
      const height = target.offsetHeight;
      const kept = document.createDocumentFragment();
      kept.append(...target.childNodes);
      this.away.set(target, kept);
      target.style.height = `${height}px`;
    }
  }

  #chunk(events) {
    const made = element("div", "chunk");
    made.append(...events.map((event) => row(event, this.shape)));
    plant(made);
    writeTimes(made);
    this.near.observe(made);
    return made;
  }

  // The next rows, behind the last one.
  async more() {
    if (this.loading || this.closed || !this.end) return;
    this.loading = true;
    const where = new URL("/api/v1/query", location.href);
    const { since, until, order } = this.holder.dataset;
    const asked = { q: this.q, since: this.newest ? since : this.last, until: this.newest ? after(this.last) : until, order, limit: this.limit };
    for (const [name, value] of Object.entries(asked)) if (value) where.searchParams.set(name, value);
    try {
      const answer = await fetch(where);
      if (!answer.ok) throw new Error((await answer.json()).message);
      const found = lines(await answer.text());
      if (this.closed) return;
      const fresh = found.filter((one) => !this.ids.has(keyOf(one)));
      for (const one of fresh) this.ids.add(keyOf(one));
      if (fresh.length) {
        this.holder.append(this.#chunk(fresh));
        this.last = fresh.at(-1).timestamp;
        this.count += fresh.length;
      }
      if (found.length < this.limit || this.count >= MOST_ROWS) this.#finish();
      this.limit = fresh.length ? CHUNK + 1 : this.limit * 2; // all of one instant were known: there may be more of it
      this.told(this.count);
    } catch (error) {
      this.#fail(error.message);
    } finally {
      this.loading = false;
    }
    // Observed anew, it tells whether the end is still near.
    if (this.end && !this.failed) { this.soon.unobserve(this.end); this.soon.observe(this.end); }
  }

  #finish() {
    this.soon.disconnect();
    if (this.count >= MOST_ROWS) this.end.replaceChildren(element("span", "hint", `${MOST_ROWS.toLocaleString("en")} events are shown: narrow the time or the search, or download them.`));
    else this.end.remove();
    this.end = null;
  }

  // The link that goes on without JavaScript now asks again.
  #fail(message) {
    this.failed = true;
    this.soon.disconnect();
    const button = element("button", "", "try again");
    button.type = "button";
    button.addEventListener("click", () => { this.failed = false; this.more(); });
    this.end.replaceChildren(element("span", "fault", message), " ", button);
  }

  // Events that have just come, the oldest first; how many of them are new.
  add(events) {
    const fresh = events.filter((one) => !this.ids.has(keyOf(one)));
    for (const one of fresh) this.ids.add(keyOf(one));
    if (!fresh.length) return 0;
    for (let at = 0; at < fresh.length;) {
      const chunk = this.#liveChunk();
      const some = fresh.slice(at, at + CHUNK - chunk.childElementCount);
      const made = some.map((event) => row(event, this.shape));
      if (this.newest) chunk.prepend(...made.reverse());
      else chunk.append(...made);
      plant(chunk);
      writeTimes(chunk);
      at += some.length;
    }
    this.count += fresh.length;
    while (this.count > MOST_ROWS) this.#drop(this.newest ? this.holder.lastElementChild : this.holder.firstElementChild);
    this.told(this.count);
    return fresh.length;
  }

  #liveChunk() {
    const chunk = this.newest ? this.holder.firstElementChild : this.holder.lastElementChild;
    if (chunk?.classList.contains("live") && chunk.childElementCount < CHUNK && !this.away.has(chunk)) return chunk;
    const made = this.#chunk([]);
    made.classList.add("live");
    if (this.newest) this.holder.prepend(made);
    else this.holder.append(made);
    return made;
  }

  // What has come since the newest event of the list, the oldest first.
  async missed() {
    const times = [...this.holder.querySelectorAll(".event > summary > time")].map((one) => one.dateTime);
    const newest = times.length ? times.reduce((one, other) => (one > other ? one : other)) : this.holder.dataset.until;
    const where = new URL("/api/v1/query", location.href);
    const asked = { q: this.q, since: newest, order: "newest", limit: MOST_MISSED };
    for (const [name, value] of Object.entries(asked)) if (value) where.searchParams.set(name, value);
    try {
      const answer = await fetch(where);
      return answer.ok ? lines(await answer.text()).reverse() : [];
    } catch { // the connection has gone again; the live tail begins anew with it
      return [];
    }
  }

  #drop(chunk) {
    const rows = [...chunk.children, ...(this.away.get(chunk)?.children ?? [])];
    for (const one of rows) this.ids.delete(one.dataset.id);
    this.count -= rows.length;
    chunk.remove();
    if (this.end && this.newest) this.#finish();
  }
}
