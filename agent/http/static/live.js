// The live tail: server-sent events, given on once a frame, and kept while it is paused.
const MOST_KEPT = 2000; // events that wait for the page; of more the oldest go, and are counted
const AGAIN_MS = 2000;

export class LiveTail {
  // `take` gets events, the oldest first, and how many were left out before them; `told` hears how it is; `missed` is called
  // when it begins, also after a connection was lost: what has come before is not given.
  constructor(take, told, missed) {
    this.take = take;
    this.told = told;
    this.missed = missed;
    this.kept = [];
    this.left = 0;
    this.paused = false;
  }

  get running() {
    return this.source !== undefined;
  }

  begin(q) {
    this.source?.close();
    const where = new URL("/api/v1/tail", location.href);
    if (q) where.searchParams.set("q", q);
    const source = this.source = new EventSource(where);
    source.addEventListener("message", (event) => { if (event.data) this.#keep(JSON.parse(event.data)); });
    source.addEventListener("skipped", (event) => { this.left += Number(event.data); this.#give(); });
    source.addEventListener("error", () => {
      this.waiting = true;
      this.#tell();
      if (source.readyState === EventSource.CLOSED && source === this.source) setTimeout(() => this.#again(source, q), AGAIN_MS);
    });
    source.addEventListener("open", () => {
      this.missed();
      this.waiting = false;
      this.#tell();
    });
    this.waiting = true;
    this.#tell();
  }

  // A source that was refused does not come again by itself.
  #again(source, q) {
    if (source === this.source) this.begin(q);
  }

  #keep(event) {
    this.kept.push(event);
    if (this.kept.length > MOST_KEPT) { this.kept.shift(); this.left += 1; }
    this.#give();
  }

  #give() {
    if (this.paused) { this.#tell(); return; }
    if (this.frame !== undefined) return;
    this.frame = setTimeout(() => {
      this.frame = undefined;
      if (this.paused) return;
      const [events, left] = [this.kept, this.left];
      [this.kept, this.left] = [[], 0];
      if (events.length || left) this.take(events, left);
    }, 50); // several a frame cost one drawing; requestAnimationFrame would wait for a hidden page
  }

  pause(wanted) {
    this.paused = wanted;
    this.#tell();
    this.#give();
  }

  end() {
    this.source?.close();
    this.source = undefined;
    this.paused = false;
    this.kept = [];
    this.left = 0;
    this.#tell();
  }

  #tell() {
    this.told({ running: this.running, waiting: this.waiting, paused: this.paused, kept: this.kept.length + this.left });
  }
}
