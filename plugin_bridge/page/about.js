// What is known of the chosen sound: a line of facts, badges, its renditions, and all fields.

import { make } from "./elements.js";
import { bitRate, bytes, channelWord, clock, kilohertz, qualityWord } from "./wording.js";

const FIELD_WORDS = { fx_name: "name", cat_id: "CatID" };

const rendition = (sound, profile) =>
  (sound.renditions ?? []).find((item) => item.profile === (profile ?? sound.profiles[0]));

/** One line under the name. */
export function facts(sound) {
  return [
    [sound.category, sound.subcategory].filter(Boolean).join(" / ") || sound.cat_id,
    clock(sound.duration_s),
    channelWord(sound.channels),
    kilohertz(sound.sample_rate),
    sound.description,
  ]
    .filter(Boolean)
    .join("  ·  ");
}

/** Profile, true bit rate and measured quality of what is heard. */
export function badges(sound, profile) {
  if (!sound) return [];
  if (!sound.profiles.length) return [make("span", { className: "badge" }, "not encoded")];
  const heard = rendition(sound, profile);
  const name = make("span", { className: "badge", title: "Profile of the rendition" }, profile ?? sound.profiles[0]);
  if (!heard) return [name];
  const quality = qualityWord(heard.quality);
  const measured =
    quality.grade === "unknown"
      ? "The quality of this rendition was not measured; spresso reencode --target-quality does."
      : `Measured against the original: ${heard.quality.value.toFixed(2)} of 1; bands differ by that much on average`;
  return [
    name,
    make("span", { className: "badge rate", title: `${bytes(heard.bytes)} stored` }, bitRate(heard.kbps)),
    make("span", { className: `badge ${quality.grade}`, title: measured }, quality.text),
  ];
}

/** What A is, in one sentence. */
export function honest(sound, profile) {
  if (!sound?.profiles.length) return "";
  const heard = rendition(sound, profile);
  return `A is a re-synthesis${heard ? ` from ${bitRate(heard.kbps)}` : ""}: the same event, made up anew. It is not the recording.`;
}

/** A table of renditions; `hear(profile)` puts one on the deck. */
export function renditionsPane(pane, sound, profile, hear) {
  const rows = (sound.renditions ?? []).map((item) => {
    const quality = qualityWord(item.quality);
    const heard = item.profile === (profile ?? sound.profiles[0]);
    const row = make(
      "tr",
      { className: heard ? "now" : "" },
      make("td", {}, item.profile),
      make("td", { className: "number" }, bitRate(item.kbps)),
      make("td", { className: "number" }, bytes(item.bytes)),
      make("td", {}, make("span", { className: `badge ${quality.grade}` }, quality.text)),
      make(
        "td",
        {},
        item.generation > 1 ? `made from a rendition, generation ${item.generation}` : "from the original",
      ),
      make(
        "td",
        { className: "number" },
        make(
          "button",
          { type: "button", "aria-label": `Hear ${item.profile}`, onclick: () => hear(item.profile) },
          "Hear",
        ),
      ),
    );
    row.dataset.profile = item.profile;
    return row;
  });
  const heads = ["Profile", "Bit rate", "Stored", "Measured quality", "Made", ""];
  pane.replaceChildren(
    make(
      "p",
      { className: "honest" },
      "What you hear as A is a re-synthesis: the same event with the same envelope and spectral balance, made up anew " +
        "in its fine structure from a few bytes. It is not the recording. For the final mix, fetch the originals with " +
        "spresso conform.",
    ),
    rows.length
      ? make(
          "table",
          {},
          make(
            "thead",
            {},
            make(
              "tr",
              {},
              ...heads.map((text, i) => make("th", { className: i === 1 || i === 2 ? "number" : "" }, text)),
            ),
          ),
          make("tbody", {}, ...rows),
        )
      : make("p", { className: "honest" }, "Nothing is encoded yet."),
  );
}

/** Every field, with what it was read from; `narrow(field, value)` searches for a category or a tag. */
export function aboutPane(pane, sound, narrow) {
  const rows = [];
  const put = (name, ...content) => rows.push(make("dt", {}, name), make("dd", {}, ...content));
  put("id", sound.id);
  for (const [name, { value, source }] of Object.entries(sound.fields ?? {})) {
    const shown =
      name === "category"
        ? make(
            "button",
            {
              type: "button",
              "aria-label": `Only the category ${value}`,
              onclick: () => narrow("category", String(value)),
            },
            String(value),
          )
        : String(value);
    put(
      FIELD_WORDS[name] ?? name.replaceAll("_", " "),
      shown,
      make("span", { className: "quiet" }, source ? `  ${source}` : ""),
    );
  }
  if (sound.tags?.length) {
    put(
      "tags",
      ...sound.tags.map((tag) =>
        make("button", { type: "button", "aria-label": `Only the tag ${tag}`, onclick: () => narrow("tag", tag) }, tag),
      ),
    );
  }
  if (sound.loudness_db != null) put("level", `${sound.loudness_db.toFixed(1)} dB`);
  if (sound.flags?.length) put("noticed", sound.flags.join(", "));
  for (const file of sound.files ?? [])
    put(
      "file",
      `${file.root}/${file.path}`,
      make("span", { className: "quiet" }, `  ${file.state}, ${bytes(file.bytes)}`),
    );
  pane.replaceChildren(make("dl", { className: "about-list" }, ...rows));
}
