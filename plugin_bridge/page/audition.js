// Which sound is on the deck, in which rendition, with which seed, and on which side of A/B.

import { wasAborted } from "./bridge.js";
import { RATE } from "./deck.js";
import { settings } from "./settings.js";
import { audioUrl } from "./takes.js";
import { decibels } from "./wording.js";

// Names this page among the clients: what it asks for next replaces what it asked for before.
const GROUP = `page-${crypto.randomUUID().slice(0, 8)}`;
const AHEAD_SECONDS = 12;

/** Events: `changed` (anything to show), `drawn` (another variation's samples came), `failed`. */
export class Audition extends EventTarget {
  sound = null;
  seed = null;
  profile = null;
  side = "made";
  made = null;
  original = null;
  stage = "";
  note = "";
  #way = new AbortController();
  #ahead = new AbortController();
  #compare = new AbortController();
  #wanted = "";

  constructor({ bridge, deck, takes, views }) {
    super();
    Object.assign(this, { bridge, deck, takes, views });
  }

  /** Put a found sound on the deck. A seed of null is the rendition's own. */
  choose(item, play) {
    this.#compare.abort();
    this.deck.cue = 0;
    this.deck.id = "";
    this.deck.stop();
    this.deck.between(null);
    Object.assign(this, { sound: item, made: null, original: null, side: "made", note: "" });
    this.deck.frames = Math.round(item.duration_s * RATE);
    if (item.profiles.length) this.hear({ seed: null, profile: null, play });
    else {
      this.#begin();
      this.stage = "";
      this.note =
        "Not encoded yet, so there is nothing to decode. Encode it with: spresso encode id:" + item.id.slice(0, 8);
      if (play) this.turn("original", true);
      this.#tell("changed");
    }
  }

  /** Hear a rendition and a seed of the chosen sound; from its start, unless `stay` keeps the position. */
  async hear({ seed = this.seed, profile = this.profile, play = false, stay = false }) {
    const signal = this.#begin();
    Object.assign(this, { seed, profile, side: "made", stage: "decoding", note: "" });
    this.#tell("changed");
    const start = stay ? this.deck.at : this.deck.cue;
    if (play) {
      // What is on the deck falls silent at once; the new take begins with its first samples.
      this.deck.id = "";
      this.deck.stop();
    }
    try {
      const full = this.takes.at(this.#key(settings.quality));
      if (full) this.#load(full, play, start);
      else {
        let heard = false;
        if (settings.previewFirst) {
          await this.#fetch("preview", signal, play, start);
          heard = true;
          this.stage = "preview";
          this.#tell("changed");
        }
        await this.#fetch(settings.quality, signal, play && !heard, start, heard);
      }
      this.stage = "";
      this.#tell("changed");
    } catch (error) {
      if (wasAborted(error)) return;
      this.stage = "";
      this.#tell("changed");
      this.#fail(error);
    }
  }

  /** Play or stop whatever is chosen. */
  toggle() {
    if (this.deck.playing) this.deck.stop();
    else if (this.side === "made" && this.made === null && this.sound?.profiles.length) this.hear({ play: true });
    else if (this.deck.id) this.deck.play();
  }

  /** Hear the re-synthesis or the original, at the same position. */
  async turn(side = this.side === "made" ? "original" : "made", play = false) {
    if (side === "made") {
      if (!this.made) return;
      this.side = "made";
      this.deck.use(this.made);
      this.views.show(this.made, "made");
      this.#tell("changed");
      return;
    }
    if (!this.sound || this.whyOffline) return;
    this.#compare = new AbortController();
    const { signal } = this.#compare;
    const { sound } = this;
    try {
      if (!this.original) {
        this.note = "Loading the original…";
        this.#tell("changed");
        const url = sound.original_url ?? `/v1/sounds/${sound.id}/original.wav`;
        const take = await this.takes.original(`${sound.id} original`, url, this.deck.context, signal);
        signal.throwIfAborted();
        this.original = take;
        this.deck.open(take);
      }
      this.side = "original";
      await this.match(signal);
      this.deck.use(this.original);
      this.views.show(this.original, "original");
      if (play) this.deck.play(0);
      this.#tell("changed");
    } catch (error) {
      if (wasAborted(error)) return;
      this.note = "";
      this.#tell("changed");
      this.#fail(error);
    }
  }

  /** Why there is no original to compare with, "" where there is one; known once the details have come. */
  get whyOffline() {
    if (!this.sound || this.sound.original_url) return "";
    if (this.sound.original_url === undefined)
      return this.sound.file_state === "present" ? "" : "looking for the original";
    const states = new Set((this.sound.files ?? []).map((file) => file.state));
    if (states.has("offline")) return "the folder or drive of the original is not mounted";
    if (states.has("missing")) return "the original was moved or deleted since it was read";
    if (states.has("unreadable")) return "the original cannot be read";
    return states.size
      ? "the original is not where it was read, or its drive is not mounted"
      : "no file of it is known";
  }

  /** Turn the louder side down to the other, or both back up. */
  async match(signal) {
    if (!this.original || !this.made?.whole) {
      this.note = "";
      return;
    }
    const [made, original] = await Promise.all([this.views.loudness(this.made), this.views.loudness(this.original)]);
    signal?.throwIfAborted();
    const over = settings.matchLoudness ? made - original : 0;
    this.deck.gain(this.made.key, 10 ** (-Math.max(0, over) / 20));
    this.deck.gain(this.original.key, 10 ** (Math.min(0, over) / 20));
    const louder = over > 0 ? "A" : "B";
    this.note = !settings.matchLoudness
      ? `Loudness is not matched: A is ${decibels(made - original)} against B.`
      : Math.abs(over) < 0.05
        ? "A and B are equally loud."
        : `Loudness matched: ${louder} turned down by ${Math.abs(over).toFixed(1)} dB.`;
  }

  /** Decode previews of these seeds, one after the other, while nothing else is wanted. */
  async ahead(seeds) {
    const wanted = `${this.sound?.id} ${this.profile} ${seeds} ${settings.ahead}`;
    if (wanted === this.#wanted && !this.#ahead.signal.aborted) return;
    this.#ahead.abort();
    this.#ahead = new AbortController();
    this.#wanted = wanted;
    const { signal } = this.#ahead;
    if (!settings.ahead || !this.sound?.profiles.length || this.sound.duration_s > AHEAD_SECONDS) return;
    for (const seed of seeds) {
      if (signal.aborted || this.stage) return;
      if (this.known(seed)) continue;
      const spec = { q: "preview", rate: RATE, profile: this.profile, seed };
      try {
        await this.takes.fetch(this.#key("preview", seed), audioUrl(this.sound.id, spec), signal);
        this.#tell("drawn");
      } catch {
        return; // what failed ahead of time fails again, and is told, when it is asked for
      }
    }
  }

  /** The best take of a seed that is at hand. */
  known(seed) {
    return this.takes.at(this.#key(settings.quality, seed)) ?? this.takes.at(this.#key("preview", seed));
  }

  #begin() {
    this.#way.abort();
    this.#ahead.abort();
    this.#way = new AbortController();
    return this.#way.signal;
  }

  #key(q, seed = this.seed) {
    return `${this.sound.id} ${this.profile ?? "best"} ${seed ?? "own"} ${q}`;
  }

  async #fetch(q, signal, play, start, quietly = false) {
    const key = this.#key(q);
    const known = this.takes.at(key);
    if (known) {
      this.#load(known, play, start);
      return;
    }
    let opened = false;
    const spec = { q, rate: RATE, profile: this.profile, seed: this.seed, group: GROUP };
    const take = await this.takes.fetch(key, audioUrl(this.sound.id, spec), signal, (growing, parts) => {
      if (quietly || signal.aborted) return;
      if (opened) this.deck.fill(key, parts);
      else {
        opened = true;
        this.#load(growing, play, start);
      }
      this.views.show(growing, "made");
    });
    signal.throwIfAborted();
    if (quietly || !opened) this.#load(take, play, quietly ? undefined : start);
    else this.views.show(take, "made");
  }

  /** Put a take on the deck; `start` undefined takes over at the position of the one before. */
  #load(take, play, start) {
    this.made = take;
    this.deck.open(take);
    if (this.side === "made") {
      this.deck.use(take);
      if (start !== undefined && !play) this.deck.seek(start);
      if (play) this.deck.play(start);
      this.views.show(take, "made");
    }
    this.deck.keep([take.key, this.original?.key].filter(Boolean));
    if (this.original && take.whole)
      this.match(this.#way.signal).then(
        () => this.#tell("changed"),
        () => {},
      );
  }

  #tell(kind) {
    this.dispatchEvent(new Event(kind));
  }

  #fail(error) {
    this.dispatchEvent(new CustomEvent("failed", { detail: error }));
  }
}
