// The line at the bottom: whether the bridge answers, what it decodes, and what the catalog is working on.

import { byId } from "./elements.js";
import { duration, plural } from "./wording.js";

const EVERY_MS = 4000;

export class Work {
  /** `told` gets what the bridge says of itself, whenever it was asked. */
  constructor(bridge, told) {
    Object.assign(this, { bridge, told });
    bridge.addEventListener("state", () => this.link());
    setInterval(() => this.look(), EVERY_MS);
  }

  link() {
    const { state } = this.bridge;
    byId("link").dataset.state = state;
    if (state !== "up") byId("decoding").textContent = "";
    byId("link").querySelector("[role]").textContent =
      state === "up" ? "Connected" : "The bridge does not answer; trying again. Start it with: spresso serve";
  }

  /** What is always shown of the bridge. */
  tell(info) {
    this.told(info);
    byId("model").textContent = `${plural(info.sounds, "sound")} · ${info.model.name ?? "no model"}`;
    byId("model").title = `spresso ${info.version}, weights ${info.model.weights_sha256 ?? "unknown"}`;
    const { queued = 0, running = 0, mode } = info.decode ?? {};
    const where = mode === "workers" ? " on workers" : "";
    const waiting = queued ? `, ${queued} waiting` : "";
    byId("decoding").textContent = running + queued ? `Decoding ${running}${where}${waiting}` : "";
  }

  async look() {
    if (document.hidden || this.bridge.state !== "up") return;
    try {
      const work = await this.bridge.json("/v1/work");
      const left = (work.queued ?? 0) + (work.running ?? 0);
      const parts = [];
      if (left)
        parts.push(`Catalog: ${plural(left, "job")} left${work.eta_s ? `, about ${duration(work.eta_s)}` : ""}`);
      if (work.failed) parts.push(`${work.failed} failed`);
      byId("work").textContent = parts.join(", ");
      byId("work").title = (work.hindrances ?? []).join("\n");
      this.tell(await this.bridge.json("/v1/info"));
    } catch {
      // The link says so already.
    }
  }
}
