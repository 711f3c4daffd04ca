// The 128 places that instruments, patches and scripts play by number.

import { make } from "./elements.js";
import { plural } from "./wording.js";

export class SlotTable {
  #next = 0;

  constructor(pane, { bridge, chosen, said, failed }) {
    Object.assign(this, { pane, bridge, chosen, said, failed });
    this.names = new Map();
    this.number = make("input", { type: "number", min: 0, max: 127, value: 0, "aria-label": "Slot number" });
    this.variations = make("input", {
      type: "number",
      min: 1,
      max: 32,
      value: 4,
      "aria-label": "Variations on the slot",
    });
    this.table = make("tbody");
    pane.append(
      make(
        "div",
        { className: "bar" },
        make("label", {}, "Slot", this.number),
        make("label", {}, "with", this.variations, "variations"),
        make("button", { type: "button", onclick: () => this.#put() }, "Assign this sound"),
      ),
      make(
        "p",
        { className: "honest" },
        "Instruments, patches and scripts play slots 0 to 127 by number: the LV2 player, Pure Data, Godot.",
      ),
      make("table", {}, this.table),
    );
  }

  /** Ask for the table anew. */
  async show() {
    try {
      const { slots = [] } = await this.bridge.json("/v1/slots");
      await Promise.all(slots.flatMap(({ ids }) => ids.slice(0, 1)).map((id) => this.#name(id)));
      this.table.replaceChildren(...slots.map((slot) => this.#row(slot)));
    } catch (error) {
      this.failed(error);
    }
  }

  async #name(id) {
    if (!this.names.has(id)) {
      const sound = await this.bridge.json(`/v1/sounds/${id}`).catch(() => null);
      this.names.set(id, sound?.name ?? `${id.slice(0, 8)} (not in this catalog)`);
    }
  }

  #row({ slot, ids, variations }) {
    const more = ids.length > 1 ? ` and ${plural(ids.length - 1, "other")}` : "";
    const clear = async () => {
      try {
        await this.bridge.ask(`/v1/slots/${slot}`, { method: "DELETE" });
        this.said(`Slot ${slot} is empty`);
      } catch (error) {
        this.failed(error);
      }
      this.show();
    };
    return make(
      "tr",
      {},
      make("td", {}, `Slot ${slot}`),
      make("td", {}, `${this.names.get(ids[0]) ?? ids[0]}${more}`),
      make("td", {}, plural(variations, "variation")),
      make(
        "td",
        { className: "number" },
        make("button", { type: "button", onclick: clear, "aria-label": `Empty slot ${slot}` }, "Empty"),
      ),
    );
  }

  async #put() {
    const { sound, profile } = this.chosen();
    const slot = Number(this.number.value);
    try {
      const body = { ids: [sound.id], variations: Number(this.variations.value) };
      if (profile) body.profile = profile;
      await this.bridge.ask(`/v1/slots/${slot}`, { method: "PUT", body });
      this.said(`${sound.name} lies on slot ${slot}`);
      this.#next = Math.min(127, slot + 1);
      this.number.value = this.#next;
    } catch (error) {
      this.failed(error);
    }
    this.show();
  }
}
