// The chart of events over time: a stretch is chosen with the pointer or the keyboard, and zoomed into.
import { localTime } from "./times.js";

export class Chart {
  // `zoom` gets the beginning and the end of a stretch, `wider` is called to see more.
  constructor(holder, said, zoom, wider) {
    this.bars = [...holder.querySelectorAll(".bar")];
    for (const bar of this.bars) { // the server wrote them in its own zone
      const title = bar.querySelector("title");
      title.textContent = localTime(bar.dataset.since, 0) + title.textContent.slice(title.textContent.indexOf(": "));
    }
    this.said = said;
    this.zoom = zoom;
    this.from = this.to = -1;
    const svg = holder.querySelector("svg");
    const index = ({ clientX }) => {
      const { left, width } = svg.getBoundingClientRect();
      return Math.min(this.bars.length - 1, Math.max(0, Math.floor(((clientX - left) / width) * this.bars.length)));
    };
    svg.addEventListener("pointerdown", (event) => {
      if (event.button !== 0) return;
      svg.setPointerCapture(event.pointerId);
      this.brushing = true;
      this.from = index(event);
      this.#mark(this.from);
      event.preventDefault();
      holder.focus({ preventScroll: true });
    });
    svg.addEventListener("pointermove", (event) => { if (this.brushing) this.#mark(index(event)); });
    svg.addEventListener("pointerup", (event) => {
      if (!this.brushing) return;
      this.brushing = false;
      this.#mark(index(event));
      this.#go();
    });
    svg.addEventListener("pointercancel", () => this.#clear());
    holder.addEventListener("keydown", (event) => {
      const last = this.bars.length - 1;
      const steps = { ArrowRight: 1, ArrowLeft: -1, PageDown: 10, PageUp: -10, Home: -last, End: last };
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      if (event.key in steps) {
        const step = steps[event.key];
        const to = this.to < 0 ? (event.key === "Home" || event.key === "ArrowRight" || event.key === "PageDown" ? 0 : last) : Math.min(last, Math.max(0, this.to + step));
        if (!event.shiftKey || this.from < 0) this.from = to;
        this.#mark(to);
      } else if (event.key === "Enter" && this.to >= 0) this.#go();
      else if (event.key === "-") wider();
      else if (event.key === "Escape") this.#clear();
      else return;
      event.preventDefault();
    });
  }

  // Whether somebody is about to zoom.
  get isInUse() {
    return Boolean(this.brushing) || this.to >= 0;
  }

  #stretch() {
    return [Math.min(this.from, this.to), Math.max(this.from, this.to)];
  }

  #mark(to) {
    this.to = to;
    const [low, high] = this.#stretch();
    for (const [index, bar] of this.bars.entries()) bar.classList.toggle("chosen", index >= low && index <= high);
    const first = this.bars[low].querySelector("title").textContent;
    this.said.textContent = low === high ? first : `${first.split(": ")[0]} to ${localTime(this.bars[high].dataset.until, 0)}: ${high - low + 1} steps`;
  }

  #clear() {
    this.brushing = false;
    this.from = this.to = -1;
    for (const bar of this.bars) bar.classList.remove("chosen");
    this.said.textContent = "";
  }

  #go() {
    const [low, high] = this.#stretch();
    this.zoom(this.bars[low].dataset.since, this.bars[high].dataset.until);
  }
}
