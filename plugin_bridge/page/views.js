// The big pictures of what is heard: waveform and spectrogram with one playhead and one selection over both.

import { colour, fit } from "./elements.js";
import { drawPeaks, magnification, outline } from "./peaks.js";
import { clock } from "./wording.js";

const LOW_HZ = 40;
const HIGH_HZ = 20000;
const TICKS_HZ = [100, 200, 500, 1000, 2000, 5000, 10000];
const DRAG_PX = 4;
const CLOSEST = 256; // frames across, when zoomed in

/** `seek` with a frame and `region` with { from, to } or null, both in `detail`. Shows frames `first` to `last`. */
export class Views extends EventTarget {
  #take = null;
  #peaks = null;
  #image = null;
  #waits = null;
  #held = null;
  #frame = 0;
  #later = 0;
  #growing = 0;
  first = 0;
  last = 0;
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
    over.addEventListener("wheel", (event) => this.#wheel(event), { passive: false });
  }

  /** A sound of which nothing has come yet. */
  expect(frames) {
    this.#take = null;
    this.#peaks = null;
    this.gain = 1;
    this.frames = this.last = frames;
    this.first = 0;
    this.#image = null;
    this.region = null;
    this.playhead = 0;
    this.drawWave();
    this.#drawSpectrum();
    this.drawOver();
  }

  /** The stored outline of that sound. */
  know(peaks) {
    this.#peaks = peaks;
    this.gain = magnification(peaks);
    this.drawWave();
  }

  /** Samples of a take, whole or growing. `side` is "made" or "original". */
  show(take, side) {
    this.#take = take;
    this.side = side;
    if (this.last === this.frames || this.last > take.frames) this.last = take.frames;
    this.frames = take.frames;
    if (take.whole) {
      this.drawWave();
      this.#picture();
    } else if (!this.#growing) {
      // Samples come faster than pictures can.
      this.#growing = requestAnimationFrame(() => {
        this.#growing = 0;
        this.drawWave();
      });
    }
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

  get span() {
    return this.last - this.first;
  }

  /** Zoom by a factor around a share of the width; the playhead's place by default. */
  zoom(factor, share = Math.max(0, Math.min(1, ((this.playhead ?? 0) - this.first) / this.span))) {
    if (!this.frames) return;
    const span = Math.max(Math.min(CLOSEST, this.frames), Math.min(this.frames, this.span / factor));
    this.#look(this.first + share * (this.span - span), span);
  }

  #look(first, span) {
    this.first = Math.round(Math.max(0, Math.min(this.frames - span, first)));
    this.last = Math.round(this.first + span);
    this.#image = null;
    this.drawWave();
    this.drawOver();
    this.#drawSpectrum();
    clearTimeout(this.#later);
    this.#later = setTimeout(() => this.#take?.whole && this.#picture(), 60);
  }

  #wheel(event) {
    if (!this.frames) return;
    event.preventDefault();
    const across = event.shiftKey ? event.deltaY : event.deltaX;
    if (Math.abs(across) > Math.abs(event.shiftKey ? 0 : event.deltaY)) {
      this.#look(this.first + (across / this.over.clientWidth) * this.span, this.span);
      return;
    }
    const box = this.over.getBoundingClientRect();
    this.zoom(1.0025 ** -event.deltaY, (event.clientX - box.left) / box.width);
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
    const columns = Math.max(1, Math.round(width));
    // Frames that have come, as a place in the picture.
    const have = this.#take ? Math.min(1, Math.max(0, (this.#take.ready - this.first) / this.span)) * width : 0;
    for (let lane = 0; lane < lanes; lane++) {
      const top = (lane * height) / lanes;
      const room = height / lanes;
      pen.fillStyle = colour("line");
      pen.fillRect(0, top + room / 2, width, 1);
      if (lane) pen.fillRect(0, top, width, 1);
      if (have < width) {
        const share = (frame) => 2 * Math.round(((this.#peaks?.length ?? 0) / 2) * (frame / this.frames));
        const shown = this.#peaks?.subarray(share(this.first), share(this.last));
        drawPeaks(pen, shown, { top, width, height: room, gain: this.gain, fill: colour("thumb") });
      }
      if (!have) continue;
      pen.clearRect(0, top + 1, have, room - 1);
      const drawn = (channels.length > 2 ? channels : [channels[lane]]).map((all) =>
        all.subarray(this.first, this.last),
      );
      const shape = outline(drawn, Math.max(0, this.#take.ready - this.first), columns);
      const box = { top, width: Math.ceil(have), of: width, height: room };
      drawPeaks(pen, shape, { ...box, gain: this.gain, fill: colour(this.side) });
    }
    if (this.gain > 1) {
      pen.font = `11px ${getComputedStyle(document.body).fontFamily}`;
      pen.textBaseline = "top";
      pen.textAlign = "right";
      pen.fillStyle = colour("quiet");
      pen.fillText(`drawn ×${this.gain}`, width - 6, 4);
    }
  }

  #picture() {
    const { width, height, ratio } = fit(this.spectrum);
    const columns = Math.max(1, Math.round(width * Math.min(ratio, 1.5)));
    const rows = Math.max(1, Math.round(height * Math.min(ratio, 1.5)));
    const key = `${this.#take.key} ${columns}x${rows} ${this.first}-${this.last}`;
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
      channels: channels.slice(0, 2).map((all) => all.slice(this.first, this.last)),
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
    const x = (frame) => ((frame - this.first) / this.span) * width;
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
    if (this.span < this.frames) {
      pen.fillStyle = colour("focus");
      pen.fillRect((this.first / this.frames) * width, height - 3, Math.max(4, (this.span / this.frames) * width), 3);
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
    return Math.round(this.first + share * this.span);
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
