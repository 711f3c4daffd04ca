// The sample-exact half of the deck. Sources share one position, so that another seed, the better quality or the
// original takes over in the middle of a sound without a gap; every change is a short crossfade.

const FADE = 384;
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

  ended() {
    const source = this.sources.get(this.voice.id);
    return source && this.voice.at >= Math.min(this.to, source.frames);
  }

  process(_, [output]) {
    const frames = output[0].length;
    for (let i = 0; i < frames; i++) {
      let left = 0;
      let right = 0;
      if (this.leaving) {
        const [l, r] = this.sample(this.leaving);
        const gain = this.leaving.left / FADE;
        left += l * gain;
        right += r * gain;
        if (--this.leaving.left <= 0) this.leaving = null;
      }
      if (this.voice) {
        if (this.ended()) {
          const again = this.loop ? this.from : null;
          if (again === null) {
            this.playing = false;
            this.at = this.from;
            this.voice = null;
            this.report(true);
          } else this.jump(this.voice.id, again);
        }
        if (this.voice) {
          const [l, r] = this.sample(this.voice);
          const gain = Math.min(1, this.entered++ / (this.leaving ? FADE : 48));
          left += l * gain;
          right += r * gain;
        }
      }
      output[0][i] = left;
      if (output[1]) output[1][i] = right;
      this.peak = Math.max(this.peak, Math.abs(left), Math.abs(right));
    }
    this.sinceReport += frames;
    if (this.sinceReport >= REPORT && (this.voice || this.peak)) this.report();
    return true;
  }

  /** The stereo frame at a voice, which moves on unless it waits for samples to arrive. */
  sample(voice) {
    const source = this.sources.get(voice.id);
    const at = voice.at;
    if (!source || at >= source.ready) return [0, 0];
    voice.at = at + 1;
    const { channels, gain } = source;
    const left = channels[0][at] * gain;
    return [left, channels.length > 1 ? channels[1][at] * gain : left];
  }

  report(ended = false) {
    const source = this.voice && this.sources.get(this.voice.id);
    this.port.postMessage({
      at: this.voice?.at ?? this.at,
      playing: this.playing,
      waits: Boolean(this.voice && (!source || this.voice.at >= source.ready)),
      peak: this.peak,
      ended,
    });
    this.peak = 0;
    this.sinceReport = 0;
  }
}

registerProcessor("deck", Deck);
