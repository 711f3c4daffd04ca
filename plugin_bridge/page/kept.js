// Takes that were kept, of any sound, until the tab is closed: what is placed or packed together.

import { make } from "./elements.js";
import { plural } from "./wording.js";

const KEY = "spresso.kept";

/** `changed` after every change. */
export class Kept extends EventTarget {
  #takes = new Map();

  constructor(pane, { place, pack, hear }) {
    super();
    Object.assign(this, { pane, place, pack, hear });
    try {
      for (const take of JSON.parse(sessionStorage.getItem(KEY)) ?? []) this.#takes.set(this.#key(take), take);
    } catch {
      // An unreadable memory is an empty one.
    }
    this.#build();
  }

  get takes() {
    return [...this.#takes.values()];
  }

  has(sound, seed, profile) {
    return Boolean(sound) && this.#takes.has(this.#key({ id: sound.id, seed, profile }));
  }

  toggle(sound, seed, profile) {
    const take = { id: sound.id, name: sound.name, seed, profile };
    const key = this.#key(take);
    if (!this.#takes.delete(key)) this.#takes.set(key, take);
    this.#changed();
  }

  #key({ id, seed, profile }) {
    return `${id} ${seed} ${profile ?? ""}`;
  }

  #changed() {
    sessionStorage.setItem(KEY, JSON.stringify(this.takes));
    this.#build();
    this.dispatchEvent(new Event("changed"));
  }

  #build() {
    const { takes } = this;
    if (!takes.length) {
      this.pane.replaceChildren(
        make(
          "p",
          { className: "honest" },
          "Nothing kept. Press K, or the star of a variation, to keep a take of this or any other sound.",
        ),
      );
      return;
    }
    const sounds = new Set(takes.map((take) => take.id)).size;
    this.pane.replaceChildren(
      make(
        "div",
        { className: "bar" },
        make("span", {}, `${plural(takes.length, "take")} of ${plural(sounds, "sound")}`),
        make(
          "button",
          { type: "button", onclick: () => this.place(takes), "aria-keyshortcuts": "Shift+Enter" },
          "Place all",
        ),
        make("button", { type: "button", onclick: () => this.pack(takes) }, "Download zip"),
        make("button", { type: "button", onclick: () => (this.#takes.clear(), this.#changed()) }, "Let all go"),
      ),
      make(
        "table",
        {},
        make("thead", {}, make("tr", {}, ...["Sound", "Seed", "Profile", ""].map((text) => make("th", {}, text)))),
        make(
          "tbody",
          {},
          ...takes.map((take) =>
            make(
              "tr",
              {},
              make("td", {}, take.name),
              make("td", {}, String(take.seed)),
              make("td", {}, take.profile ?? "best"),
              make(
                "td",
                { className: "number" },
                make(
                  "button",
                  { type: "button", "aria-label": `Show ${take.name}`, onclick: () => this.hear(take) },
                  "Show",
                ),
                " ",
                make(
                  "button",
                  {
                    type: "button",
                    "aria-label": `Let go of ${take.name}, seed ${take.seed}`,
                    onclick: () => (this.#takes.delete(this.#key(take)), this.#changed()),
                  },
                  "Let go",
                ),
              ),
            ),
          ),
        ),
      ),
    );
  }
}
