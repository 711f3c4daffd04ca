// The words and chips above the list, and the search that they mean.

import { byId, make } from "./elements.js";

const PAUSE_MS = 70; // between two letters of a person who types
const FIELDS = ["query", "category", "length-min", "length-max", "channels", "profile", "sort"];
const KEY = "spresso.search";

export class Filters {
  #tags = [];
  #categories = new Set();
  #timer = 0;

  constructor(search) {
    this.run = search;
    this.#recall();
    for (const id of FIELDS) byId(id).addEventListener(id === "query" ? "input" : "change", () => this.later());
    for (const id of ["category", "length-min", "length-max"])
      byId(id).addEventListener("input", () => this.later(300));
    byId("tag").addEventListener("change", () => {
      this.add("tag", byId("tag").value);
      byId("tag").value = "";
    });
    byId("clear").addEventListener("click", () => this.clear());
  }

  /** Whether anything narrows the search. */
  get any() {
    return this.#tags.length > 0 || FIELDS.some((id) => id !== "sort" && byId(id).value.trim() !== "");
  }

  /** Profiles that the catalog has. */
  offer({ profiles = [] }) {
    const select = byId("profile");
    if (select.options.length === 3 + profiles.length) return;
    const { value } = select;
    select.replaceChildren(
      ...[...select.options].slice(0, 3),
      ...profiles.map((name) => make("option", { value: `=${name}` }, name)),
    );
    select.value = value || this.recalled?.profile || "";
    if (select.selectedIndex < 0) select.value = "";
    this.#mark();
  }

  /** Categories and tags that were seen, as suggestions. */
  know({ categories, tags }) {
    this.#categories = categories;
    for (const [id, names] of [
      ["categories", categories],
      ["tags", tags],
    ]) {
      if (byId(id).childElementCount === names.size) continue;
      byId(id).replaceChildren(...[...names].sort().map((value) => make("option", { value })));
    }
  }

  /** Narrow the search to a category or a tag. */
  add(field, value) {
    const text = value.trim();
    if (!text) return;
    if (field === "tag") {
      if (!this.#tags.includes(text)) this.#tags.push(text);
    } else byId(field).value = text;
    this.#showTags();
    this.search();
  }

  clear() {
    this.#tags = [];
    for (const id of FIELDS) if (id !== "query" && id !== "sort") byId(id).value = "";
    this.#showTags();
    this.search();
  }

  later(pause = PAUSE_MS) {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.search(), pause);
  }

  /** Search now. */
  search() {
    clearTimeout(this.#timer);
    this.#mark();
    sessionStorage.setItem(
      KEY,
      JSON.stringify({ tags: this.#tags, ...Object.fromEntries(FIELDS.map((id) => [id, byId(id).value])) }),
    );
    this.run(this.#parameters());
  }

  #parameters() {
    const parameters = new URLSearchParams();
    const put = (name, value) => value !== "" && parameters.append(name, value);
    const words = [byId("query").value.trim()];
    const category = byId("category").value.trim();
    // A category that is known is meant exactly; what is still being typed is meant as a part of one.
    const exact = [...this.#categories].find((name) => name.toLowerCase() === category.toLowerCase());
    if (exact) put("category", exact);
    else if (category) words.push(`category:"${category.replaceAll('"', "")}"`);
    const profile = byId("profile").value;
    if (profile.startsWith("=")) put("profile", profile.slice(1));
    else if (profile) words.push(profile === "+" ? "-profile:" : "profile:");
    put("q", words.filter(Boolean).join(" "));
    put("dur_min", number("length-min"));
    put("dur_max", number("length-max"));
    put("channels", byId("channels").value);
    for (const tag of this.#tags) put("tag", tag);
    put("sort", byId("sort").value);
    return parameters;
  }

  #mark() {
    for (const id of ["category", "channels", "profile"]) byId(id).classList.toggle("set", byId(id).value !== "");
    byId("length-chip").classList.toggle("set", byId("length-min").value !== "" || byId("length-max").value !== "");
    byId("clear").hidden =
      !this.#tags.length &&
      !["category", "length-min", "length-max", "channels", "profile"].some((id) => byId(id).value);
  }

  #showTags() {
    byId("chosen-tags").replaceChildren(
      ...this.#tags.map((tag) =>
        make(
          "button",
          {
            type: "button",
            "aria-label": `Remove the tag ${tag}`,
            onclick: () => {
              this.#tags = this.#tags.filter((other) => other !== tag);
              this.#showTags();
              this.search();
            },
          },
          `${tag} ✕`,
        ),
      ),
    );
  }

  /** What this tab searched for before it was loaded anew. */
  #recall() {
    try {
      this.recalled = JSON.parse(sessionStorage.getItem(KEY)) ?? {};
    } catch {
      this.recalled = {};
    }
    for (const id of FIELDS) if (this.recalled[id]) byId(id).value = this.recalled[id];
    this.#tags = this.recalled.tags ?? [];
    this.#showTags();
  }
}

function number(id) {
  const { value, valueAsNumber } = byId(id);
  return value === "" || !(valueAsNumber >= 0) ? "" : String(valueAsNumber);
}
