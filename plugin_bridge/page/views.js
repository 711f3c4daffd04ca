// The big pictures of what is heard: waveform and spectrogram with one playhead and one selection over both.

import { colour, fit } from "./elements.js";
import { drawPeaks, outline } from "./peaks.js";
import { clock } from "./wording.js";

const LOW_HZ = 40;
const HIGH_HZ = 20000;
const TICKS_HZ = [100, 200, 500, 1000, 2000, 5000, 10000];
const DRAG_PX = 4;

/** `seek` with a frame and `region` with { from, to } or null, both in `detail`. */
export class Views extends EventTarget {
  #take = null;
  #peaks = null;
  #image = null;
  #waits = null;
  #held = null;
  #frame = 0;
  region = null;
  side = "made";

  constructor({ wave, spectrum, over, rate }) {
    super();
    Object.assign(this, { wave, spectrum, over, rate });
    this.worker = new Worker(new URL("spectrum_worker.js", import.meta.url));
    this.pictures = new Map();
    this.worker.onmessage = ({ data }) => this.#answered(data);
    this.listeners = new Map();
    new ResizeObserver(() => this.#resized()).observe(over);
    over.addEventListener("pointerdown", (event) => this.#press(event));
    over.addEventListener("pointermove", (event) => this.#move(event));
    over.addEventListener("pointerup", (event) => this.#release(event));
    over.addEventListener("dblclick", () => this.select(null));
  }

  /** A sound whose samples have not come: its stored outline, and nothing below. */
  expect(peaks, frames) {
    this.#take = null;
    this.#peaks = peaks;
    this.frames = frames;
    this.#image = null;
    this.region = null;
    this.playhead = 0;
    this.drawWave();
    this.#drawSpectrum();
    this.drawOver();
  }

  /** Samples of a take, whole or growing. `side` is "made" or "original". */
  show(take, side) {
    this.#take = take;
    this.side = side;
    this.frames = take.frames;
    this.drawWave();
    if (take.whole) this.#picture();
    this.drawOver();
  }

  /** The loudness of a take in LUFS, from the worker. */
  loudness(take) {
    if (take.level !== null) return Promise.resolve(take.level);
    return new Promise((tell) => {
      this.listeners.set(take.key, (level) => tell((take.level = level)));
      this.worker.postMessage({ key: take.key, want: "loudness", channels: take.channels, rate: this.rate });
    });
  }

  move(frame) {
    if (frame === this.playhead) return;
    this.playhead = frame;
    if (!this.#frame) {
      this.#frame = requestAnimationFrame(() => {
        this.#frame = 0;
        this.drawOver();
      });
    }
  }

  select(region) {
    this.region = region;
    this.drawOver();
    this.dispatchEvent(new CustomEvent("region", { detail: region }));
  }

  /** Everything anew, after a change of colours. */
  repaint() {
    this.drawWave();
    this.#drawSpectrum();
    this.drawOver();
  }

  drawWave() {
    const { pen, width, height } = fit(this.wave);
    const channels = this.#take?.channels ?? [];
    const lanes = Math.max(1, Math.min(2, channels.length));
    for (let lane = 0; lane < lanes; lane++) {
      const top = (lane * height) / lanes;
      const room = height / lanes;
      pen.fillStyle = colour("line");
      pen.fillRect(0, top + room / 2, width, 1);
      if (lane) pen.fillRect(0, top, width, 1);
      if (!this.#take || this.#take.ready < this.frames) {
        drawPeaks(pen, this.#peaks, { top, width, height: room, fill: colour("thumb") });
      }
      if (!this.#take) continue;
      const have = Math.ceil((width * this.#take.ready) / Math.max(1, this.frames));
      pen.clearRect(0, top + 1, have, room - 1);
      const drawn = channels.length > 2 ? channels : [channels[lane]];
      const shape = outline(drawn, this.#take.ready, Math.max(1, Math.round(width)));
      drawPeaks(pen, shape, { top, width, height: room, fill: colour(this.side) });
      if (this.#take.ready < this.frames) pen.clearRect(have, top, 0, room);
    }
  }

  #picture() {
    const { width, height, ratio } = fit(this.spectrum);
    const columns = Math.max(1, Math.round(width * Math.min(ratio, 1.5)));
    const rows = Math.max(1, Math.round(height * Math.min(ratio, 1.5)));
    const key = `${this.#take.key} ${columns}x${rows}`;
    this.#waits = key;
    const known = this.pictures.get(key);
    if (known) {
      this.#image = known;
      this.#drawSpectrum();
      return;
    }
    this.#drawSpectrum();
    const { channels } = this.#take;
    this.worker.postMessage({
      ...{ key, want: "spectrogram", rate: this.rate, columns, rows, low: LOW_HZ, high: HIGH_HZ },
      channels: channels.slice(0, 2),
    });
  }

  async #answered({ key, want, image, columns, rows, level }) {
    if (want === "loudness") {
      this.listeners.get(key)?.(level);
      this.listeners.delete(key);
      return;
    }
    const picture = await createImageBitmap(new ImageData(image, columns, rows));
    this.pictures.set(key, picture);
    if (this.pictures.size > 40) this.pictures.delete(this.pictures.keys().next().value);
    if (key !== this.#waits) return;
    this.#image = picture;
    this.#drawSpectrum();
  }

  #drawSpectrum() {
    const { pen, width, height } = fit(this.spectrum);
    this.spectrum.dataset.drawn = this.#image ? "yes" : "no";
    if (!this.#image) return;
    pen.drawImage(this.#image, 0, 0, width, height);
    pen.font = `10px ${getComputedStyle(document.body).fontFamily}`;
    pen.textBaseline = "middle";
    for (const hertz of TICKS_HZ) {
      const y = height * (1 - Math.log(hertz / LOW_HZ) / Math.log(HIGH_HZ / LOW_HZ));
      const text = hertz < 1000 ? `${hertz}` : `${hertz / 1000}k`;
      pen.fillStyle = "rgb(255 255 255 / 22%)";
      pen.fillRect(0, Math.round(y), 5, 1);
      pen.fillStyle = "rgb(0 0 0 / 55%)";
      pen.fillRect(6, y - 6, pen.measureText(text).width + 4, 12);
      pen.fillStyle = "rgb(255 255 255 / 85%)";
      pen.fillText(text, 8, y + 0.5);
    }
  }

  drawOver() {
    const { pen, width, height } = fit(this.over);
    if (!this.frames) return;
    const x = (frame) => (frame / this.frames) * width;
    if (this.region) {
      const [from, to] = [x(this.region.from), x(this.region.to)];
      pen.fillStyle = colour("shade");
      pen.fillRect(0, 0, from, height);
      pen.fillRect(to, 0, width - to, height);
      pen.fillStyle = colour("focus");
      pen.fillRect(from, 0, 1, height);
      pen.fillRect(to - 1, 0, 1, height);
      const text = clock((this.region.to - this.region.from) / this.rate, 3);
      pen.font = `11px ${getComputedStyle(document.body).fontFamily}`;
      const wide = pen.measureText(text).width + 8;
      const left = Math.max(0, Math.min(width - wide, (from + to - wide) / 2));
      pen.fillRect(left, 0, wide, 16);
      pen.fillStyle = colour("ground");
      pen.textBaseline = "middle";
      pen.fillText(text, left + 4, 8.5);
    }
    const head = Math.min(width - 2, x(this.playhead));
    pen.fillStyle = colour("shadow");
    pen.fillRect(head - 1, 0, 4, height);
    pen.fillStyle = colour("head");
    pen.fillRect(head, 0, 2, height);
  }

  #resized() {
    this.drawWave();
    if (this.#take?.whole) this.#picture();
    else this.#drawSpectrum();
    this.drawOver();
  }

  #frameAt(event) {
    const box = this.over.getBoundingClientRect();
    const share = Math.max(0, Math.min(1, (event.clientX - box.left) / box.width));
    return Math.round(share * (this.frames ?? 0));
  }

  #press(event) {
    if (event.button !== 0 || !this.frames) return;
    this.over.setPointerCapture(event.pointerId);
    this.#held = { x: event.clientX, frame: this.#frameAt(event), drags: false };
  }

  #move(event) {
    if (!this.#held) return;
    if (Math.abs(event.clientX - this.#held.x) > DRAG_PX) this.#held.drags = true;
    if (!this.#held.drags) return;
    const frame = this.#frameAt(event);
    this.region = { from: Math.min(frame, this.#held.frame), to: Math.max(frame, this.#held.frame) };
    this.drawOver();
  }

  #release(event) {
    if (!this.#held) return;
    const { drags } = this.#held;
    this.#held = null;
    if (!drags) this.dispatchEvent(new CustomEvent("seek", { detail: this.#frameAt(event) }));
    else this.select(this.region && this.region.to > this.region.from ? this.region : null);
  }
}
