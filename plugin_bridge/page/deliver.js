// From the page into files: placed into a folder that was allowed, or packed into a zip.

import { Problem } from "./bridge.js";
import { byId, make } from "./elements.js";
import { bind, settings } from "./settings.js";
import { bytes, kilohertz, plural } from "./wording.js";

const POLL_MS = 1500;

/** Says what it did through `said(text)` and what failed through `failed(error)`. */
export class Deliver {
  #paths = new Map();
  #jobs = new Map();
  #busy = false;
  #offered = "";

  /** `chosen()` tells the takes and the stretch that the buttons are about. */
  constructor({ bridge, chosen, said, failed }) {
    Object.assign(this, { bridge, chosen, said, failed, targets: [] });
    for (const [id, name] of [
      ["sub", "sub"],
      ["format", "format"],
      ["bits", "bits"],
    ])
      bind(byId(id), name);
    byId("dir").addEventListener("change", () => (settings.dir = byId("dir").value));
    byId("rate").addEventListener("change", () => (settings.rate = byId("rate").value));
    byId("format").addEventListener("change", () => this.#fitBits());
    byId("own-job")
      .querySelector("button")
      .addEventListener("click", () => this.cancel());
    this.#fitBits();
  }

  /** Folders and rates that the bridge offers. */
  offer({ place_folders: folders, rates, capabilities }) {
    const offered = JSON.stringify([folders, rates, capabilities]);
    if (offered === this.#offered) return; // a list that is open must not be pulled away
    this.#offered = offered;
    const dir = byId("dir");
    dir.replaceChildren(
      ...(folders.length
        ? folders.map((folder) => make("option", { value: folder, title: folder }, shortPath(folder)))
        : [make("option", { value: "" }, "No folder is allowed yet")]),
    );
    dir.disabled = !folders.length;
    if (folders.includes(settings.dir)) dir.value = settings.dir;
    dir.title = folders.length ? "Folder to place into" : "Allow one with: spresso bridge allow FOLDER";
    byId("rate").replaceChildren(
      make("option", { value: "" }, "own rate"),
      ...rates.filter((rate) => rate >= 22050).map((rate) => make("option", { value: String(rate) }, kilohertz(rate))),
    );
    byId("rate").value = settings.rate;
    this.targets = capabilities?.send ?? [];
    byId("send").replaceChildren(
      ...this.targets.map((target) =>
        make(
          "button",
          { type: "button", title: `Import into the running ${nameOf(target)} (S)`, onclick: () => this.send(target) },
          `To ${nameOf(target)}`,
        ),
      ),
    );
  }

  #fitBits() {
    const flac = byId("format").value === "flac";
    const float = byId("bits").querySelector('[value="32f"]');
    float.disabled = flac;
    if (flac && byId("bits").value === "32f") byId("bits").value = settings.bits = "24";
  }

  /** Requests for takes [{ id, seed, profile }], with a stretch { start, dur } in seconds where one is selected. */
  #items(takes, stretch) {
    const all = { q: settings.quality, bits: byId("bits").value };
    if (byId("rate").value) all.rate = Number(byId("rate").value);
    return takes.map(({ id, seed, profile }) => ({
      ...{ id, ...all, ...stretch },
      ...(seed == null ? {} : { seed }),
      ...(profile ? { profile } : {}),
    }));
  }

  /** Write real files; returns their paths. */
  async place(takes, stretch = {}) {
    const root = byId("dir").value;
    if (!root) {
      const hint = "Allow one, then press Enter again: spresso bridge allow FOLDER";
      this.failed(new Problem({ detail: "No folder is allowed to be written to.", hint, code: "no_folder" }));
      return [];
    }
    if (this.#busy) return [];
    this.#busy = true;
    byId("place").disabled = true;
    this.said(`Placing ${plural(takes.length, "file")}…`);
    try {
      const sub = byId("sub")
        .value.trim()
        .replace(/^\/+|\/+$/g, "");
      const { files } = await this.bridge.json("/v1/place", {
        method: "POST",
        body: {
          items: this.#items(takes, stretch),
          dir: sub ? `${root.replace(/\/+$/, "")}/${sub}` : root,
          name_style: settings.nameStyle,
          format: byId("format").value,
        },
      });
      files.forEach((file, index) => {
        const take = takes[index];
        this.#paths.set(this.#key(take), file.path);
      });
      const there = files.filter((file) => file.skipped).length;
      const size = bytes(files.reduce((sum, file) => sum + file.bytes, 0));
      this.said(
        files.length === 1
          ? `${there ? "There already" : "Placed"}: ${fileName(files[0].path)} (${size})`
          : `Placed ${plural(files.length - there, "file")} (${size})${there ? `, ${there} were there` : ""}`,
      );
      return files.map((file) => file.path);
    } catch (error) {
      this.said("");
      this.failed(error);
      return [];
    } finally {
      this.#busy = false;
      byId("place").disabled = false;
    }
  }

  /** Import the chosen take into a program that runs. */
  async send(target = this.targets[0]) {
    const { takes, stretch } = this.chosen();
    if (!target || !takes.length) return;
    this.said(`Sending to ${nameOf(target)}…`);
    try {
      const body = { items: this.#items(takes, stretch) };
      const { placed } = await this.bridge.json(`/v1/send/${target}`, { method: "POST", body });
      this.said(`Sent to ${nameOf(target)}: ${plural(placed.length, "sound")}`);
    } catch (error) {
      this.said("");
      this.failed(error);
    }
  }

  /** Where a take was placed in this tab, or "". */
  pathOf(take) {
    return this.#paths.get(this.#key(take)) ?? "";
  }

  #key({ id, seed, profile }) {
    return `${id} ${seed} ${profile ?? ""}`;
  }

  async copy(text, what) {
    try {
      await navigator.clipboard.writeText(text);
      this.said(`Copied ${what}: ${text}`);
    } catch {
      this.failed(new Problem({ detail: `The browser did not let ${what} be copied: ${text}`, code: "no_clipboard" }));
    }
  }

  /** Pack takes into a zip in the background and download it when it is done. */
  async pack(takes) {
    try {
      const body = {
        items: this.#items(takes),
        format: byId("format").value,
        zip: true,
        name_style: settings.nameStyle,
      };
      const { job } = await this.bridge.json("/v1/jobs", { method: "POST", body });
      this.#jobs.set(job, { done: 0, total: takes.length });
      this.#show();
      this.#poll(job);
    } catch (error) {
      this.failed(error);
    }
  }

  /** What the event stream says of a job. */
  event(kind, data) {
    const job = this.#jobs.get(data.job);
    if (!job) return;
    Object.assign(job, data);
    this.#show();
    if (kind === "done") this.#fetch(data.job);
    if (kind === "error") this.#drop(data.job, data);
  }

  /** The stream may miss an end, so a job is asked for as well. */
  async #poll(id) {
    while (this.#jobs.has(id)) {
      await new Promise((wake) => setTimeout(wake, POLL_MS));
      if (!this.#jobs.has(id)) return;
      try {
        const job = await this.bridge.json(`/v1/jobs/${id}`);
        if (job.state === "done") this.event("done", job);
        else if (["failed", "error", "cancelled"].includes(job.state)) this.event("error", job);
        else this.event("progress", job);
      } catch (error) {
        if (error.status === 404) this.#drop(id, { error: "the bridge was restarted" });
      }
    }
  }

  async cancel() {
    for (const id of this.#jobs.keys()) {
      this.#jobs.delete(id);
      await this.bridge.ask(`/v1/jobs/${id}`, { method: "DELETE" }).catch(() => {});
    }
    this.#show();
    this.said("Cancelled");
  }

  async #fetch(id) {
    if (!this.#jobs.delete(id)) return;
    this.#show();
    try {
      const blob = await (await this.bridge.ask(`/v1/jobs/${id}/result.zip`)).blob();
      const link = make("a", { href: URL.createObjectURL(blob), download: `spresso-${id.slice(0, 8)}.zip` });
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href), 60000);
      this.said(`Downloaded ${link.download} (${bytes(blob.size)})`);
    } catch (error) {
      this.failed(error);
    }
  }

  #drop(id, { error, detail, hint } = {}) {
    this.#jobs.delete(id);
    this.#show();
    const said = typeof error === "string" ? error : (error?.message ?? detail ?? "the job failed");
    this.failed(new Problem({ detail: `The zip was not made: ${said}.`, hint: hint ?? "", code: "job_failed" }));
  }

  #show() {
    const box = byId("own-job");
    box.hidden = this.#jobs.size === 0;
    let [done, total] = [0, 0];
    for (const job of this.#jobs.values()) {
      done += job.done ?? 0;
      total += job.total ?? 0;
    }
    box.querySelector("label").textContent = `Packing ${done} of ${total}`;
    Object.assign(box.querySelector("progress"), { max: Math.max(1, total), value: done });
  }
}

/** The end of a long path says more than its beginning. */
function shortPath(path) {
  const parts = path.split(/[\\/]/);
  return parts.length > 4 ? `…/${parts.slice(-3).join("/")}` : path;
}

const fileName = (path) => path.split(/[\\/]/).pop();

const nameOf = (target) => target.charAt(0).toUpperCase() + target.slice(1);
