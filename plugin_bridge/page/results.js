// What was searched for and what was found: pages are asked for as the list comes near their end.

import { wasAborted } from "./bridge.js";

const PAGE = 200;

/** `changed` after every answer, `failed` with the problem as `detail`. */
export class Results extends EventTarget {
  items = [];
  total = 0;
  exact = true;
  busy = false;
  categories = new Set();
  tags = new Set();
  #cursor = null;
  #query = "";
  #asked = null;

  constructor(bridge) {
    super();
    this.bridge = bridge;
  }

  get more() {
    return this.#cursor !== null;
  }

  /** Begin anew with these parameters (a URLSearchParams); whatever was under way is dropped. */
  async search(parameters) {
    this.#asked?.abort();
    this.#query = parameters.toString();
    this.#cursor = null;
    await this.#ask(new AbortController(), true);
  }

  /** The next page, unless one is under way. */
  async next() {
    if (this.more && !this.busy) await this.#ask(new AbortController(), false);
  }

  async #ask(asked, anew) {
    this.#asked = asked;
    this.busy = true;
    const query = new URLSearchParams(this.#query);
    query.set("limit", PAGE);
    if (!anew) query.set("cursor", this.#cursor);
    try {
      const found = await this.bridge.json(`/v1/search?${query}`, { signal: asked.signal });
      if (asked.signal.aborted) return;
      this.items = anew ? found.items : this.items.concat(found.items);
      this.#cursor = found.next_cursor || null;
      this.exact = found.total_is_exact || !this.more;
      this.total = this.more ? Math.max(found.total, this.items.length) : this.items.length;
      for (const item of found.items) {
        if (item.category) this.categories.add(item.category);
        for (const tag of item.tags ?? []) this.tags.add(tag);
      }
      this.busy = false;
      this.dispatchEvent(new CustomEvent("changed", { detail: { anew } }));
    } catch (error) {
      if (wasAborted(error)) return;
      this.busy = false;
      this.dispatchEvent(new CustomEvent("failed", { detail: error }));
    }
  }
}
