// Waveforms at a glance, from the outlines that the catalog stores: nothing is decoded for them.

const KEPT = 3000;
const COLUMNS = 256;
const AT_ONCE = 4;

export class Peaks {
  #known = new Map();
  #waiting = new Map();
  #running = 0;

  constructor(bridge) {
    this.bridge = bridge;
  }

  /** The outline of a sound, [min0, max0, …] of −127…127, once known; null if it cannot be had. */
  get(id) {
    return this.#known.get(id);
  }

  /** Ask for outlines: those named last come first, and those that nobody names any more never. */
  want(ids, arrived) {
    this.#waiting = new Map(ids.filter((id) => !this.#known.has(id)).map((id) => [id, arrived]));
    this.#go();
  }

  #go() {
    while (this.#running < AT_ONCE && this.#waiting.size) {
      const [id, arrived] = this.#waiting.entries().next().value;
      this.#waiting.delete(id);
      this.#running++;
      this.bridge
        .json(`/v1/sounds/${encodeURIComponent(id)}/peaks?n=${COLUMNS}`)
        .then(({ peaks }) => this.#keep(id, Int8Array.from(peaks)))
        .catch((error) => error.status === 404 && this.#keep(id, null))
        .finally(() => {
          this.#running--;
          arrived(id);
          this.#go();
        });
    }
  }

  #keep(id, peaks) {
    this.#known.set(id, peaks);
    if (this.#known.size > KEPT) this.#known.delete(this.#known.keys().next().value);
  }
}

/** Draw an outline as one shape around the middle line of a box. */
export function drawPeaks(pen, peaks, { left = 0, top = 0, width, height, fill }) {
  const columns = peaks ? peaks.length / 2 : 0;
  const middle = top + height / 2;
  const scale = height / 2 / 127;
  pen.fillStyle = fill;
  pen.beginPath();
  for (let x = 0; x < width; x++) {
    let low = 0;
    let high = 0;
    const from = Math.floor((x * columns) / width);
    const to = Math.max(from + 1, Math.floor(((x + 1) * columns) / width));
    for (let column = from; column < Math.min(to, columns); column++) {
      low = Math.min(low, peaks[2 * column]);
      high = Math.max(high, peaks[2 * column + 1]);
    }
    pen.rect(left + x, middle - Math.max(high * scale, 0.5), 1, Math.max((high - low) * scale, 1));
  }
  pen.fill();
}

/** The outline of samples [C][n], for those who have them already. */
export function outline(channels, ready, columns) {
  const peaks = new Int8Array(2 * columns);
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
    peaks[2 * column] = Math.max(-127, Math.floor(low * 127));
    peaks[2 * column + 1] = Math.min(127, Math.ceil(high * 127));
  }
  return peaks;
}
