// The sample-exact half of the deck. Sources share one position, so that another seed, the better quality or the
// original takes over in the middle of a sound without a gap; every change is a short crossfade.

const FADE = 384; // frames of a crossfade
const ATTACK = 48; // frames of a beginning: short enough to leave a click of a door its edge
const REPORT = 1024;

class Deck extends AudioWorkletProcessor {
  constructor() {
    super();
    this.sources = new Map();
    this.voice = null; // { id, at }: what is heard
    this.leaving = null; // { id, at, left }: what fades out
    this.entered = FADE;
    this.id = "";
    this.at = 0;
    this.playing = false;
    this.loop = false;
    this.from = 0;
    this.to = Infinity;
    this.sinceReport = 0;
    this.peak = 0;
    this.port.onmessage = ({ data }) => this[`on_${data.do}`](data);
  }

  on_open({ id, channels, frames }) {
    const room = Array.from({ length: channels }, () => new Float32Array(frames));
    this.sources.set(id, { channels: room, frames, ready: 0, gain: 1 });
  }

  on_fill({ id, parts }) {
    const source = this.sources.get(id);
    if (!source) return;
    parts.forEach((part, channel) => source.channels[channel].set(part, source.ready));
    source.ready += parts[0].length;
  }

  on_gain({ id, gain }) {
    const source = this.sources.get(id);
    if (source) source.gain = gain;
  }

  on_use({ id }) {
    if (id === this.id) return;
    this.id = id;
    if (this.playing) this.jump(id, this.voice?.at ?? this.at);
  }

  on_keep({ ids }) {
    for (const id of this.sources.keys()) {
      if (!ids.includes(id) && id !== this.leaving?.id) this.sources.delete(id);
    }
  }

  on_play({ at }) {
    this.playing = true;
    this.at = at;
    this.jump(this.id, at);
  }

  on_seek({ at }) {
    this.at = at;
    if (this.playing) this.jump(this.id, at);
    else this.report();
  }

  on_stop() {
    this.playing = false;
    this.jump(null, this.voice?.at ?? this.at);
  }

  on_loop({ loop }) {
    this.loop = loop;
  }

  on_region({ from, to }) {
    this.from = from;
    this.to = to;
  }

  jump(id, at) {
    if (this.voice) this.leaving = { ...this.voice, left: FADE };
    this.voice = id === null ? null : { id, at };
    this.entered = 0;
    this.at = at;
  }

  /** Where the voice ends, and how many frames of it have come. */
  get end() {
    const source = this.sources.get(this.voice.id);
    return source ? Math.min(this.to, source.frames) : Infinity;
  }

  get waits() {
    const source = this.voice && this.sources.get(this.voice.id);
    return Boolean(this.voice && (!source || this.voice.at >= source.ready));
  }

  // Stretches in which nothing changes but a gain: nothing is allocated here, or the collector would be heard.
  process(_, [[left, right]]) {
    for (let i = 0; i < left.length;) {
      if (this.voice && this.voice.at >= this.end) this.wrap();
      let run = left.length - i;
      const fade = this.leaving ? FADE : ATTACK;
      const sounds = this.voice && !this.waits;
      if (sounds) {
        run = Math.min(run, this.end - this.voice.at, this.sources.get(this.voice.id).ready - this.voice.at);
        if (this.entered < fade) run = Math.min(run, fade - this.entered);
      }
      if (this.leaving) {
        run = Math.min(run, this.leaving.left);
        this.mix(this.leaving, left, right, i, run, this.leaving.left / FADE, -1 / FADE);
        this.leaving.left -= run;
        if (this.leaving.left <= 0) this.leaving = null;
      }
      if (sounds) {
        const enters = this.entered < fade;
        this.mix(this.voice, left, right, i, run, enters ? this.entered / fade : 1, enters ? 1 / fade : 0);
        this.entered += run;
      }
      i += run;
    }
    for (let i = 0; i < left.length; i++) this.peak = Math.max(this.peak, Math.abs(left[i]), Math.abs(right[i]));
    this.sinceReport += left.length;
    if (this.sinceReport >= REPORT && (this.voice || this.peak)) this.report();
    return true;
  }

  /** At its end a voice begins again, or falls silent. */
  wrap() {
    if (this.loop) {
      this.jump(this.voice.id, this.from < this.end ? this.from : 0);
      return;
    }
    this.playing = false;
    this.voice = null;
    this.report(true);
  }

  /** Add a stretch of a voice, whose gain moves by `step` with each frame. */
  mix(voice, left, right, i, run, gain, step) {
    const source = this.sources.get(voice.id);
    const count = source ? Math.min(run, source.ready - voice.at) : 0;
    if (count <= 0) return;
    const [first] = source.channels;
    const second = source.channels[1] ?? first;
    for (let n = 0; n < count; n++) {
      const scale = (gain + n * step) * source.gain;
      left[i + n] += first[voice.at + n] * scale;
      right[i + n] += second[voice.at + n] * scale;
    }
    voice.at += count;
  }

  report(ended = false) {
    this.port.postMessage({
      at: this.voice?.at ?? this.at,
      playing: this.playing,
      waits: this.waits,
      peak: this.peak,
      ended,
    });
    this.peak = 0;
    this.sinceReport = 0;
  }
}

registerProcessor("deck", Deck);
