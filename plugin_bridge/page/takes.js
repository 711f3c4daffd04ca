// Decoded sound in the page: fetched as it is decoded, kept while there is room.

import { Problem, wasAborted } from "./bridge.js";
import { WaveReader } from "./wave_file.js";

const ROOM_BYTES = 192e6;
const PATIENCE = 20;

/** One sound's samples at the deck's rate; `ready` of `frames` have arrived. */
class Take {
  channels = [];
  frames = 0;
  ready = 0;
  whole = false;
  level = null;

  constructor(key) {
    this.key = key;
  }

  get bytes() {
    return 4 * this.frames * this.channels.length;
  }

  open(channels, frames) {
    this.frames = frames;
    this.channels = Array.from({ length: channels }, () => new Float32Array(frames));
  }

  append(parts) {
    parts.forEach((part, channel) => this.channels[channel].set(part, this.ready));
    this.ready += parts[0].length;
  }
}

/** Where the samples of a sound under these parameters are had. */
export function audioUrl(id, { q, rate, profile, seed, group }) {
  const query = new URLSearchParams({ q, bits: "32f", rate });
  if (profile) query.set("profile", profile);
  if (seed != null) query.set("seed", seed);
  if (group) query.set("group", group);
  return `/v1/sounds/${encodeURIComponent(id)}/audio.wav?${query}`;
}

export class Takes {
  #shelf = new Map();
  #bytes = 0;

  constructor(bridge) {
    this.bridge = bridge;
  }

  /** A whole take that is at hand, or undefined. */
  at(key) {
    const take = this.#shelf.get(key);
    if (take) {
      this.#shelf.delete(key);
      this.#shelf.set(key, take);
    }
    return take;
  }

  /** A take from the bridge; `grown(take, parts)` is told whenever samples came. A full queue is waited for. */
  async fetch(key, url, signal, grown = () => {}) {
    const known = this.at(key);
    if (known) return known;
    const take = new Take(key);
    const response = await this.#patiently(url, signal);
    const wave = new WaveReader();
    const reader = response.body.getReader();
    try {
      for (;;) {
        const { value, done } = await reader.read();
        if (done) break;
        const parts = wave.add(value);
        if (wave.head && !take.frames) take.open(wave.head.channels, wave.head.frames);
        if (parts) {
          take.append(parts);
          grown(take, parts);
        }
      }
    } catch (error) {
      if (wasAborted(error)) throw error;
      throw new Problem({
        detail: "The decoding broke off.",
        hint: "Play it again; if that fails too, see what spresso serve printed.",
        code: "decode_broke_off",
      });
    } finally {
      reader.cancel().catch(() => {});
    }
    if (!take.frames || take.ready < take.frames) {
      throw new Problem({ detail: "The sound arrived incomplete.", hint: "Play it again.", code: "short_body" });
    }
    take.whole = true;
    this.#keep(take);
    return take;
  }

  /** The original, by the browser's own decoder, since it comes at its own rate. */
  async original(key, url, context, signal) {
    const known = this.at(key);
    if (known) return known;
    const body = await (await this.bridge.ask(url, { signal })).arrayBuffer();
    const decoded = await context.decodeAudioData(body);
    const take = new Take(key);
    take.open(decoded.numberOfChannels, decoded.length);
    take.append(take.channels.map((_, channel) => decoded.getChannelData(channel)));
    take.whole = true;
    this.#keep(take);
    return take;
  }

  async #patiently(url, signal) {
    for (let tries = 1; ; tries++) {
      try {
        return await this.bridge.ask(url, { signal });
      } catch (error) {
        if (error.status !== 429 || tries >= PATIENCE) throw error;
        await new Promise((wake) => setTimeout(wake, 1000 * Math.min(error.retryAfterS || 1, 5)));
        signal?.throwIfAborted();
      }
    }
  }

  #keep(take) {
    this.#shelf.set(take.key, take);
    this.#bytes += take.bytes;
    for (const [key, old] of this.#shelf) {
      if (this.#bytes <= ROOM_BYTES || old === take) break;
      this.#shelf.delete(key);
      this.#bytes -= old.bytes;
    }
  }
}
