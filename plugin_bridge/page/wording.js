// How lengths, rates and qualities are written.

/** "0:04.2", "1:12", "1:02:30". */
export function clock(seconds, digits = seconds < 10 ? 2 : seconds < 60 ? 1 : 0) {
  const step = 10 ** -digits;
  const whole = Math.round(seconds / step) * step;
  const minutes = Math.floor(whole / 60);
  const rest = (whole - 60 * minutes).toFixed(digits).padStart(digits ? 3 + digits : 2, "0");
  return minutes < 60
    ? `${minutes}:${rest}`
    : `${Math.floor(minutes / 60)}:${String(minutes % 60).padStart(2, "0")}:${rest}`;
}

const CHANNELS = { 1: "mono", 2: "stereo", 6: "5.1", 8: "7.1" };
export const channelWord = (number) => CHANNELS[number] ?? `${number} ch`;
export const kilohertz = (rate) => `${Number((rate / 1000).toFixed(3))} kHz`;
export const bitRate = (kbps) => (kbps == null ? "" : `${kbps.toFixed(kbps < 1 ? 2 : 1)} kbit/s`);
export const decibels = (gain) => `${gain >= 0 ? "+" : "−"}${Math.abs(gain).toFixed(1)} dB`;
export const plural = (number, one, many = `${one}s`) => `${number.toLocaleString("en")} ${number === 1 ? one : many}`;

export function bytes(number) {
  for (const [unit, size] of [
    ["GB", 1e9],
    ["MB", 1e6],
    ["kB", 1e3],
  ]) {
    if (number >= size) return `${(number / size).toFixed(number < 10 * size ? 1 : 0)} ${unit}`;
  }
  return `${number} B`;
}

export function duration(seconds) {
  if (seconds < 90) return `${Math.max(1, Math.round(seconds))} s`;
  return seconds < 5400 ? `${Math.round(seconds / 60)} min` : `${(seconds / 3600).toFixed(1)} h`;
}

/** The catalog's measure: 1 is the sound itself, and each tenth less is a decibel, averaged over bands. */
export function qualityWord(quality) {
  if (quality?.value == null) return { text: "not measured", grade: "unknown" };
  const off = 10 * (1 - quality.value);
  const grade = quality.value >= 0.85 ? "close" : quality.value >= 0.7 ? "fair" : "loose";
  return { text: `${grade}: bands off by ${off.toFixed(1)} dB`, grade };
}
