// The list of what was found: a listbox that only has elements for the rows in sight.

import { colour, fit, make } from "./elements.js";
import { SMALL, drawPeaks } from "./peaks.js";
import { channelWord, clock } from "./wording.js";

const ROW = 38;
const AHEAD = 6;
const SETTLED_MS = 70;

/** `chosen` with the item as `detail.item`; `near-end` when more rows may be needed. */
export class SoundList extends EventTarget {
  #items = [];
  #rows = new Map();
  #at = -1;
  #settling = 0;
  #drawn = 0;

  constructor(box, head, peaks) {
    super();
    Object.assign(this, { box, head, peaks });
    this.tall = make("div", { className: "tall", role: "presentation" });
    box.append(this.tall);
    peaks.addEventListener("arrived", ({ detail }) => {
      for (const row of this.#rows.values()) if (row.sound === detail) this.#paint(row);
    });
    box.addEventListener("scroll", () => this.#later(), { passive: true });
    box.addEventListener("click", (event) => {
      const row = event.target.closest(".row");
      if (row) this.choose(row.index);
    });
    new ResizeObserver(() => this.#resized()).observe(box);
  }

  get at() {
    return this.#at;
  }

  /** Whether it stands at its beginning. */
  get top() {
    return this.box.scrollTop < ROW;
  }

  get item() {
    return this.#items[this.#at];
  }

  /** Show these; the chosen sound stays chosen where it is among them. */
  show(items, anew) {
    const id = this.item?.id;
    this.#items = items;
    this.tall.style.height = `${items.length * ROW}px`;
    if (anew) {
      this.#at = id === undefined ? -1 : items.findIndex((item) => item.id === id);
      for (const row of this.#rows.values()) row.remove();
      this.#rows.clear();
      if (this.#at < 0) this.box.scrollTop = 0;
      else this.#reveal();
    }
    this.#draw();
  }

  /** Choose a row, bring it into sight, and tell. */
  choose(index) {
    if (!this.#items.length) return;
    this.#at = Math.max(0, Math.min(index, this.#items.length - 1));
    this.#reveal();
    this.#draw();
    this.dispatchEvent(new CustomEvent("chosen", { detail: { item: this.item } }));
  }

  #reveal() {
    const top = this.#at * ROW;
    const { scrollTop, clientHeight } = this.box;
    if (top < scrollTop) this.box.scrollTop = top;
    else if (top + ROW > scrollTop + clientHeight) this.box.scrollTop = top + ROW - clientHeight;
  }

  /** Show what was learned of a sound since its row was made: whether its original is really there. */
  renew(item) {
    for (const row of this.#rows.values())
      if (row.sound === item.id) markOriginal(row.querySelector(".original"), item);
  }

  /** Rows that a page key moves by. */
  get page() {
    return Math.max(1, Math.floor(this.box.clientHeight / ROW) - 1);
  }

  /** Draw all thumbnails anew, after a change of colours or sizes. */
  repaint() {
    for (const row of this.#rows.values()) this.#paint(row);
  }

  #resized() {
    // The heads stand over their columns, however wide the scroll bar is.
    this.head.style.marginRight = `${this.box.offsetWidth - this.box.clientWidth}px`;
    this.repaint();
    this.#draw();
  }

  #later() {
    if (this.#drawn) return;
    this.#drawn = requestAnimationFrame(() => {
      this.#drawn = 0;
      this.#draw();
    });
  }

  #draw() {
    const first = Math.max(0, Math.floor(this.box.scrollTop / ROW) - AHEAD);
    const last = Math.min(this.#items.length, Math.ceil((this.box.scrollTop + this.box.clientHeight) / ROW) + AHEAD);
    for (const [index, row] of this.#rows) {
      if (index >= first && index < last) continue;
      row.remove();
      this.#rows.delete(index);
    }
    for (let index = first; index < last; index++) {
      if (!this.#rows.has(index)) {
        const row = this.#row(index);
        this.#rows.set(index, row);
        this.tall.append(row);
        this.#paint(row);
      }
      const row = this.#rows.get(index);
      const chosen = index === this.#at;
      if (row.getAttribute("aria-selected") !== String(chosen)) {
        row.setAttribute("aria-selected", chosen);
        this.#paint(row);
      }
    }
    const chosen = this.#rows.get(this.#at);
    if (chosen) this.box.setAttribute("aria-activedescendant", chosen.id);
    else this.box.removeAttribute("aria-activedescendant");
    clearTimeout(this.#settling);
    this.#settling = setTimeout(() => this.#settled(), SETTLED_MS);
    if (last >= this.#items.length - 2 * this.page) this.dispatchEvent(new Event("near-end"));
  }

  /** Outlines are asked for once scrolling has come to rest. */
  #settled() {
    const inSight = [...this.#rows.keys()].sort((a, b) => a - b).map((index) => this.#items[index].id);
    this.peaks.want(inSight);
  }

  #row(index) {
    const item = this.#items[index];
    const what = [item.category, item.subcategory].filter(Boolean).join(" / ") || item.cat_id || "";
    const encoded = item.profiles?.length > 0;
    const row = make(
      "div",
      {
        className: "row",
        id: `row-${index}`,
        role: "option",
        "aria-selected": "false",
        "aria-posinset": String(index + 1),
        "aria-setsize": "-1",
        "aria-label": [
          item.name || item.filename,
          what,
          clock(item.duration_s),
          channelWord(item.channels),
          encoded ? item.profiles.join(", ") : "not encoded",
        ]
          .filter(Boolean)
          .join(", "),
      },
      make("canvas", { className: "thumb", "aria-hidden": "true" }),
      make(
        "span",
        { className: "what" },
        make("span", { className: "name" }, item.name || item.filename || item.id),
        make("span", { className: "about" }, item.description || item.path || ""),
      ),
      make("span", { className: "category" }, what),
      make("span", { className: "length" }, clock(item.duration_s)),
      make("span", { className: "channels" }, channelWord(item.channels)),
      make("span", { className: encoded ? "profile" : "profile none" }, encoded ? item.profiles[0] : "not encoded"),
      markOriginal(make("span"), item),
    );
    row.title = item.filename || "";
    row.index = index;
    row.sound = item.id;
    row.style.transform = `translateY(${index * ROW}px)`;
    return row;
  }

  #paint(row) {
    const { pen, width, height } = fit(row.querySelector(".thumb"));
    const chosen = row.getAttribute("aria-selected") === "true";
    const peaks = this.peaks.get(row.sound);
    drawPeaks(pen, peaks, { width, height, curve: SMALL, fill: colour(peaks ? (chosen ? "made" : "thumb") : "line") });
  }
}

function markOriginal(mark, { file_state: state, original_url: url }) {
  // The catalog knows where a file was seen last; only the details of a sound tell whether it is there now.
  const online = url === undefined ? state === "present" : url !== null;
  mark.className = online ? "original" : "original gone";
  mark.title = online ? "The original is online" : "The original is not at hand";
  return mark;
}
