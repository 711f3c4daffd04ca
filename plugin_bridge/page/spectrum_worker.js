// Spectrograms and loudness, away from the thread that answers to keys.

const SIZE = 2048;
const FLOOR_DB = -100;
const LOOKS = 4;

onmessage = ({ data }) => {
  const answer = data.want === "loudness" ? { level: loudness(data) } : spectrogram(data);
  postMessage({ key: data.key, want: data.want, ...answer }, answer.image ? [answer.image.buffer] : []);
};

/** RGBA of `columns` × `rows`: time across, the logarithm of frequency from `low` to `high` hertz upwards. */
function spectrogram({ channels, rate, columns, rows, low, high }) {
  const frames = channels[0].length;
  const image = new Uint8ClampedArray(4 * columns * rows);
  const bins = Array.from({ length: rows + 1 }, (_, row) => (low * (high / low) ** (row / rows) * SIZE) / rate);
  const hop = frames / columns;
  const looks = Math.max(1, Math.min(LOOKS, Math.ceil(hop / SIZE)));
  const power = new Float32Array(SIZE / 2 + 1);
  const real = new Float32Array(SIZE);
  const imaginary = new Float32Array(SIZE);
  const second = channels[1];
  for (let column = 0; column < columns; column++) {
    power.fill(0);
    for (let look = 0; look < looks; look++) {
      const start = Math.round((column + (look + 0.5) / looks) * hop - SIZE / 2);
      for (let i = 0; i < SIZE; i++) {
        const at = start + i;
        const inside = at >= 0 && at < frames;
        real[i] = inside ? channels[0][at] * WINDOW[i] : 0;
        imaginary[i] = inside && second ? second[at] * WINDOW[i] : 0;
      }
      transform(real, imaginary);
      // Two real signals in one transform: |L|² + |R|² = (|Z[k]|² + |Z[N−k]|²) / 2.
      for (let k = 0; k <= SIZE / 2; k++) {
        const m = (SIZE - k) % SIZE;
        const here = (real[k] ** 2 + imaginary[k] ** 2 + real[m] ** 2 + imaginary[m] ** 2) / 2;
        if (here > power[k]) power[k] = here;
      }
    }
    for (let row = 0; row < rows; row++) {
      const level = 10 * Math.log10(between(power, bins[row], bins[row + 1]) * SCALE + 1e-12);
      const [r, g, b] = shade((level - FLOOR_DB) / -FLOOR_DB);
      const at = 4 * ((rows - 1 - row) * columns + column);
      image[at] = r;
      image[at + 1] = g;
      image[at + 2] = b;
      image[at + 3] = 255;
    }
  }
  return { image, columns, rows };
}

/** The strongest bin of a band, or the straight line between two where the band is narrower than a bin. */
function between(power, from, to) {
  const first = Math.ceil(from);
  let strongest = 0;
  for (let k = first; k < to && k < power.length; k++) strongest = Math.max(strongest, power[k]);
  if (first < to) return strongest;
  const k = Math.min(Math.floor(from), power.length - 2);
  return power[k] + (power[k + 1] - power[k]) * (from - k);
}

const WINDOW = Float32Array.from({ length: SIZE }, (_, i) => 0.5 - 0.5 * Math.cos((2 * Math.PI * i) / SIZE));
const SCALE = (4 / SIZE) ** 2; // so that a full-scale sine is 0 dB under a Hann window

// Dark to light, and warm towards the loud end: black, indigo, wine, amber, cream.
const STOPS = [
  [8, 9, 14],
  [38, 28, 84],
  [128, 36, 104],
  [222, 96, 60],
  [248, 188, 92],
  [255, 250, 222],
];

function shade(level) {
  const x = Math.max(0, Math.min(0.9999, level)) * (STOPS.length - 1);
  const [a, b] = [STOPS[Math.floor(x)], STOPS[Math.floor(x) + 1]];
  const t = x - Math.floor(x);
  return [0, 1, 2].map((i) => a[i] + (b[i] - a[i]) * t);
}

const TURN = Float32Array.from({ length: SIZE }, (_, i) =>
  i < SIZE / 2 ? Math.cos((2 * Math.PI * i) / SIZE) : -Math.sin((2 * Math.PI * (i - SIZE / 2)) / SIZE),
);

/** The discrete Fourier transform, in place, by halves (Cooley and Tukey, 1965). */
function transform(real, imaginary) {
  const n = real.length;
  for (let i = 1, j = 0; i < n; i++) {
    let bit = n >> 1;
    for (; j & bit; bit >>= 1) j ^= bit;
    j ^= bit;
    if (i < j) {
      [real[i], real[j]] = [real[j], real[i]];
      [imaginary[i], imaginary[j]] = [imaginary[j], imaginary[i]];
    }
  }
  for (let size = 2; size <= n; size *= 2) {
    const half = size / 2;
    const step = n / size;
    for (let start = 0; start < n; start += size) {
      for (let k = 0; k < half; k++) {
        const c = TURN[k * step];
        const s = TURN[n / 2 + k * step];
        const [a, b] = [start + k, start + k + half];
        const r = real[b] * c - imaginary[b] * s;
        const i = real[b] * s + imaginary[b] * c;
        real[b] = real[a] - r;
        imaginary[b] = imaginary[a] - i;
        real[a] += r;
        imaginary[a] += i;
      }
    }
  }
}

// ITU-R BS.1770-5, table 1 and 2: the shelf and the high pass of K weighting at 48 kHz.
const K_WEIGHTING = [
  { b: [1.53512485958697, -2.69169618940638, 1.19839281085285], a: [-1.69065929318241, 0.73248077421585] },
  { b: [1, -2, 1], a: [-1.99004745483398, 0.99007225036621] },
];

/** Loudness in LUFS of everything, without gates: sounds here are short, and both sides are measured alike. */
function loudness({ channels }) {
  let power = 0;
  for (const samples of channels) {
    let signal = samples;
    for (const { b, a } of K_WEIGHTING) {
      const out = new Float32Array(signal.length);
      let [x1, x2, y1, y2] = [0, 0, 0, 0];
      for (let i = 0; i < signal.length; i++) {
        const x = signal[i];
        const y = b[0] * x + b[1] * x1 + b[2] * x2 - a[0] * y1 - a[1] * y2;
        [x2, x1, y2, y1] = [x1, x, y1, y];
        out[i] = y;
      }
      signal = out;
    }
    let sum = 0;
    for (let i = 0; i < signal.length; i++) sum += signal[i] ** 2;
    power += sum / Math.max(1, signal.length);
  }
  return -0.691 + 10 * Math.log10(power + 1e-12);
}
