// A WAV file as it arrives: samples as soon as whole frames of them are there.

const FORMATS = { "1/16": 2, "1/24": 3, "3/32": 4 };

/** Feed it bytes; `head` is known once the data chunk has begun. */
export class WaveReader {
  head = null;
  #left = new Uint8Array(0);
  #taken = 0;

  /** Channels [C][n] of the frames that these bytes complete, or null. Throws on what is no WAV of ours. */
  add(bytes) {
    let all = bytes;
    if (this.#left.length) {
      all = new Uint8Array(this.#left.length + bytes.length);
      all.set(this.#left);
      all.set(bytes, this.#left.length);
    }
    if (!this.head) {
      const start = this.#readHead(all);
      if (!start) {
        this.#left = all;
        return null;
      }
      all = all.subarray(start);
    }
    const { channels, bytesPerSample, frames } = this.head;
    const frame = channels * bytesPerSample;
    const count = Math.min(Math.floor(all.length / frame), frames - this.#taken);
    this.#left = all.slice(count * frame);
    this.#taken += count;
    return count > 0 ? deinterleave(all, count, channels, bytesPerSample) : null;
  }

  #readHead(all) {
    const view = new DataView(all.buffer, all.byteOffset, all.byteLength);
    const word = (at) => String.fromCharCode(...all.subarray(at, at + 4));
    if (all.length < 12) return 0;
    if (word(0) !== "RIFF" || word(8) !== "WAVE") throw new Error("not a WAV file");
    let format = null;
    for (let at = 12; at + 8 <= all.length;) {
      const size = view.getUint32(at + 4, true);
      if (word(at) === "data") {
        if (!format) throw new Error("a WAV file without a format");
        const frames = Math.floor(size / (format.channels * format.bytesPerSample));
        this.head = { ...format, frames };
        return at + 8;
      }
      if (word(at) === "fmt ") {
        if (at + 8 + size > all.length) return 0;
        const bits = view.getUint16(at + 22, true);
        const tag = view.getUint16(at + 8, true);
        const kind = tag === 0xfffe ? view.getUint16(at + 32, true) : tag;
        const bytesPerSample = FORMATS[`${kind}/${bits}`];
        if (!bytesPerSample) throw new Error(`samples of format ${kind} with ${bits} bits`);
        format = { channels: view.getUint16(at + 10, true), rate: view.getUint32(at + 12, true), bytesPerSample };
      }
      at += 8 + size + (size & 1);
    }
    return 0;
  }
}

function deinterleave(bytes, count, channels, width) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const read = {
    2: (at) => view.getInt16(at, true) / 0x8000,
    3: (at) => (view.getUint16(at, true) | (view.getInt8(at + 2) << 16)) / 0x800000,
    4: (at) => view.getFloat32(at, true),
  }[width];
  return Array.from({ length: channels }, (_, channel) => {
    const samples = new Float32Array(count);
    for (let i = 0, at = channel * width; i < count; i++, at += channels * width) samples[i] = read(at);
    return samples;
  });
}
