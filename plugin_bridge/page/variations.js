// The takes of one sound beside each other: nine seeds, each a small waveform to play, some of them kept.

import { wasAborted } from "./bridge.js";
import { colour, fit, make } from "./elements.js";
import { SMALL, drawPeaks, outline } from "./peaks.js";

const CARDS = 9;
const SEEDS = 2 ** 31;

/** The first card is the take that everybody hears first; the others are re-rolled. Calls `play(card)`. */
export class Variations {
  cards = [];
  at = 0;
  #asked = new AbortController();
  #shapes = new WeakMap();

  constructor(pane, { bridge, audition, kept, play, failed }) {
    Object.assign(this, { pane, bridge, audition, kept, play, failed });
    this.box = make("div", { className: "cards", role: "group", "aria-label": "Variations" });
    pane.append(this.box);
    new ResizeObserver(() => this.paint()).observe(pane);
  }

  get card() {
    return this.cards[this.at];
  }

  /** Nine seeds of a sound. */
  async show(sound, profile) {
    this.at = 0;
    this.cards = [];
    this.#build();
    if (!sound.profiles.length) return;
    await this.#ask(sound, profile, null, CARDS, (items) => {
      this.cards = items.map(({ seed }, index) => ({ seed, own: index === 0 }));
    });
  }

  /** Other seeds for every card but the first and the kept ones. */
  async reroll(sound, profile) {
    const free = this.cards.filter((card) => !card.own && !this.kept.has(sound, card.seed, profile));
    if (!free.length) return;
    const from = Math.floor(Math.random() * (SEEDS - CARDS));
    await this.#ask(sound, profile, from, free.length, (items) => {
      free.forEach((card, index) => {
        if (items[index]) card.seed = items[index].seed;
      });
    });
  }

  /** Seeds as requests name them, the first one null. */
  get wanted() {
    return this.cards.map((card) => (card.own ? null : card.seed));
  }

  /** Make this seed the chosen card: one that has it, or the last one that may be re-rolled. */
  adopt(seed) {
    const has = this.cards.findIndex((card) => card.seed === seed);
    this.at = has >= 0 ? has : this.cards.length - 1;
    if (has < 0 && this.card && !this.card.own) this.card.seed = seed;
    this.#build();
  }

  /** Show which card plays, which are kept, and the waveforms that are known. */
  paint() {
    const { sound, profile } = this.audition;
    this.cards.forEach((card, index) => {
      const element = this.box.children[index];
      if (!element) return;
      element.classList.toggle("now", index === this.at);
      const [hear, keep] = element.querySelectorAll("button");
      hear.setAttribute("aria-current", index === this.at);
      keep.setAttribute("aria-pressed", this.kept.has(sound, card.seed, profile));
      keep.textContent = this.kept.has(sound, card.seed, profile) ? "★" : "☆";
      const { pen, width, height } = fit(element.querySelector("canvas"));
      const take = this.audition.known(card.own ? null : card.seed);
      const peaks = take ? this.#shape(take, Math.max(1, Math.round(width))) : null;
      const fill = colour(take ? (index === this.at ? "made" : "thumb") : "line");
      drawPeaks(pen, peaks, { width, height, fill, curve: SMALL });
      element.dataset.drawn = take ? "yes" : "no";
    });
  }

  #shape(take, columns) {
    let shape = this.#shapes.get(take);
    if (shape?.length !== 2 * columns) this.#shapes.set(take, (shape = outline(take.channels, take.ready, columns)));
    return shape;
  }

  async #ask(sound, profile, seed, n, use) {
    this.#asked.abort();
    this.#asked = new AbortController();
    const query = new URLSearchParams({ n });
    if (seed !== null) query.set("seed", seed);
    if (profile) query.set("profile", profile);
    try {
      const { signal } = this.#asked;
      const { items } = await this.bridge.json(`/v1/sounds/${sound.id}/variations?${query}`, { signal });
      use(items);
      this.#build();
    } catch (error) {
      if (!wasAborted(error)) this.failed(error);
    }
  }

  #build() {
    this.box.replaceChildren(
      ...this.cards.map((card, index) =>
        make(
          "div",
          { className: "card" },
          make(
            "button",
            {
              className: "hear",
              type: "button",
              "aria-label": `Play variation ${index + 1}, seed ${card.seed}`,
              "aria-keyshortcuts": String(index + 1),
              onclick: () => this.play(index),
            },
            make("b", {}, String(index + 1)),
            make("span", { className: "seed" }, card.own ? `${card.seed} · own` : String(card.seed)),
            make("canvas", { "aria-hidden": "true" }),
          ),
          make("button", {
            className: "keep",
            type: "button",
            title: "Keep this take (K)",
            "aria-label": `Keep variation ${index + 1}`,
            onclick: () => this.keep(index),
          }),
        ),
      ),
    );
    this.paint();
  }

  /** Keep a card's take, or let it go. */
  keep(index = this.at) {
    const card = this.cards[index];
    if (card) this.kept.toggle(this.audition.sound, card.seed, this.audition.profile);
  }
}
