// What is heard. The samples live in the audio thread (deck_worklet.js); this side says which, and hears back where.

export const RATE = 48000;

/** `moved` events tell position, whether it plays or waits for samples, and the peak since the last one. */
export class Deck extends EventTarget {
  #node = null;
  #before = [];
  #volume;
  #held = new Set();
  id = "";
  at = 0;
  cue = 0;
  playing = false;
  waits = false;
  peak = 0;
  loop = false;
  frames = 0;
  region = null;

  constructor() {
    super();
    this.context = new AudioContext({ sampleRate: RATE, latencyHint: "interactive" });
    this.#volume = new GainNode(this.context);
    this.#volume.connect(this.context.destination);
    this.ready = this.#begin();
  }

  async #begin() {
    await this.context.audioWorklet.addModule(new URL("deck_worklet.js", import.meta.url));
    this.#node = new AudioWorkletNode(this.context, "deck", { numberOfInputs: 0, outputChannelCount: [2] });
    this.#node.connect(this.#volume);
    this.#node.port.onmessage = ({ data }) => {
      Object.assign(this, data);
      if (data.ended) this.seek(this.cue);
      else this.dispatchEvent(new Event("moved"));
    };
    for (const [message, moved] of this.#before.splice(0)) this.#node.port.postMessage(message, moved);
  }

  #tell(message, moved = []) {
    if (this.#node) this.#node.port.postMessage(message, moved);
    else this.#before.push([message, moved]);
  }

  /** Make room for a take under its key, with the samples that it has. */
  open(take) {
    if (this.#held.has(take.key)) return;
    if (take.whole) this.#held.add(take.key);
    this.#tell({ do: "open", id: take.key, channels: take.channels.length, frames: take.frames });
    if (take.ready)
      this.fill(
        take.key,
        take.channels.map((samples) => samples.subarray(0, take.ready)),
      );
  }

  /** More samples of a take; they are copied. */
  fill(id, parts) {
    const copies = parts.map((part) => part.slice());
    this.#tell(
      { do: "fill", id, parts: copies },
      copies.map((copy) => copy.buffer),
    );
  }

  /** Hear this take from now on, at the same position. */
  use(take) {
    this.id = take.key;
    this.frames = take.frames;
    this.#tell({ do: "use", id: take.key });
  }

  gain(id, gain) {
    this.#tell({ do: "gain", id, gain });
  }

  /** Forget all other takes. */
  keep(ids) {
    for (const id of this.#held) if (!ids.includes(id)) this.#held.delete(id);
    this.#tell({ do: "keep", ids });
  }

  /** Play from the cue, or from a frame. */
  play(at = this.cue) {
    this.context.resume();
    this.playing = true;
    this.#tell({ do: "play", at: Math.floor(at) });
    this.dispatchEvent(new Event("moved"));
  }

  /** Stop, and go back to the cue. */
  stop() {
    this.playing = false;
    this.waits = false;
    this.#tell({ do: "stop" });
    this.seek(this.cue);
  }

  /** Move the cue, and what plays with it. */
  seek(at) {
    this.at = this.cue = Math.max(0, Math.min(Math.floor(at), Math.max(0, this.frames - 1)));
    this.#tell({ do: "seek", at: this.at });
    this.dispatchEvent(new Event("moved"));
  }

  set looping(loop) {
    this.loop = loop;
    this.#tell({ do: "loop", loop });
  }

  /** Play only these frames; null plays all. */
  between(region) {
    this.region = region;
    this.#tell({ do: "region", from: region?.from ?? 0, to: region?.to ?? Infinity });
  }

  set volume(volume) {
    this.#volume.gain.setTargetAtTime(volume ** 2, this.context.currentTime, 0.01);
  }
}
