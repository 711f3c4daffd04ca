// Waveforms at a glance, from the outlines that the catalog stores: nothing is decoded for them.

const KEPT = 3000;
const COLUMNS = 256;
const AT_ONCE = 3;

/** Of small pictures, see `drawPeaks`. */
export const SMALL = 0.6;

/** `arrived` with the id of a sound as `detail`. */
export class Peaks extends EventTarget {
  #known = new Map();
  #waiting = new Set();
  #running = 0;

  constructor(bridge) {
    super();
    this.bridge = bridge;
  }

  /** The outline of a sound, [min0, max0, …] of −127…127, once known; null if it cannot be had. */
  get(id) {
    return this.#known.get(id);
  }

  /** Ask for these outlines, and no longer for those that were asked for before and have not been begun. */
  want(ids) {
    this.#waiting = new Set(ids.filter((id) => !this.#known.has(id)));
    this.#go();
  }

  #go() {
    while (this.#running < AT_ONCE && this.#waiting.size) {
      const [id] = this.#waiting;
      this.#waiting.delete(id);
      this.#running++;
      this.bridge
        .json(`/v1/sounds/${encodeURIComponent(id)}/peaks?n=${COLUMNS}`)
        .then(({ peaks }) => this.#keep(id, Int8Array.from(peaks)))
        .catch((error) => error.status === 404 && this.#keep(id, null))
        .finally(() => {
          this.#running--;
          this.dispatchEvent(new CustomEvent("arrived", { detail: id }));
          this.#go();
        });
    }
  }

  #keep(id, peaks) {
    this.#known.set(id, peaks);
    if (this.#known.size > KEPT) this.#known.delete(this.#known.keys().next().value);
  }
}

/**
 * Draw an outline as one shape around the middle line of a box; of its left `width` out of `of` pixels only.
 * `gain` makes it taller; a `curve` below 1 lifts what is quiet, for pictures too small to see it otherwise.
 */
export function drawPeaks(pen, peaks, { top = 0, width, of = width, height, fill, gain = 1, curve = 1 }) {
  const columns = peaks ? peaks.length / 2 : 0;
  const middle = top + height / 2;
  const tall = (value) => (height / 2) * Math.min(1, ((gain * Math.abs(value)) / 127) ** curve);
  pen.fillStyle = fill;
  pen.beginPath();
  for (let x = 0; x < width; x++) {
    let low = 0;
    let high = 0;
    const from = Math.floor((x * columns) / of);
    const to = Math.max(from + 1, Math.floor(((x + 1) * columns) / of));
    for (let column = from; column < Math.min(to, columns); column++) {
      low = Math.min(low, peaks[2 * column]);
      high = Math.max(high, peaks[2 * column + 1]);
    }
    const [up, down] = [Math.max(tall(high), 0.5), Math.max(tall(low), 0.5)];
    pen.rect(x, middle - up, 1, up + down);
  }
  pen.fill();
}

/** How much taller a quiet sound is drawn: a power of two, so that sounds stay comparable at a glance. */
export function magnification(peaks) {
  let most = 1;
  for (const value of peaks ?? []) most = Math.max(most, Math.abs(value));
  return Math.max(1, Math.min(32, 2 ** Math.floor(Math.log2(120 / most))));
}

/** The outline of samples [C][n], of which `ready` frames are there. */
export function outline(channels, ready, columns) {
  const peaks = new Float32Array(2 * columns);
  const frames = channels[0]?.length ?? 0;
  for (let column = 0; column < columns; column++) {
    const from = Math.floor((column * frames) / columns);
    const to = Math.min(ready, Math.max(from + 1, Math.floor(((column + 1) * frames) / columns)));
    let low = 0;
    let high = 0;
    for (const samples of channels) {
      for (let i = from; i < to; i++) {
        if (samples[i] < low) low = samples[i];
        else if (samples[i] > high) high = samples[i];
      }
    }
    peaks[2 * column] = low * 127;
    peaks[2 * column + 1] = high * 127;
  }
  return peaks;
}
