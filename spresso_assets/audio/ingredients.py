"""What synthetic sounds are cooked from: shaped noise, ringing modes, envelopes, grains and rooms.

Everything here is a pure function of its arguments and of the random generator handed in. Signals are float64
arrays of shape [N] at 48 kHz; times are seconds, frequencies hertz. The recipes stand in `procedural.py`.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import signal

SAMPLE_RATE = 48_000

Signal = NDArray[np.float64]
Rng = np.random.Generator


def seconds_to_samples(seconds: float) -> int:
    """Whole samples in a duration, at least one."""
    return max(1, round(seconds * SAMPLE_RATE))


def timeline(n: int) -> Signal:
    """Sample times in seconds, shape [n]."""
    return np.arange(n) / SAMPLE_RATE


def log_uniform(rng: Rng, low: float, high: float) -> float:
    """A draw that is uniform in pitch or decibels rather than in hertz or volts."""
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def noise(rng: Rng, n: int, slope_db: float = 0.0) -> Signal:
    """Gaussian noise of unit RMS whose spectrum falls by `slope_db` per octave: 0 white, -3 pink, -6 brown."""
    white = rng.standard_normal(n)
    if slope_db == 0.0 or n < 16:
        return white
    spectrum = np.fft.rfft(white)
    frequency = np.fft.rfftfreq(n, 1 / SAMPLE_RATE)
    # Below 20 Hz the slope stops: it would only be an inaudible drift that eats the headroom.
    spectrum *= (np.maximum(frequency, 20.0) / 1000.0) ** (slope_db / 6.0206)
    spectrum[frequency < 5.0] = 0.0
    return unit_rms(np.fft.irfft(spectrum, n))


def unit_rms(x: Signal) -> Signal:
    """Scale to an RMS of one; silence stays silence."""
    return x / max(float(np.sqrt(np.mean(x * x))), 1e-9)


def unit_peak(x: Signal) -> Signal:
    """Scale to a peak of one; silence stays silence."""
    return x / max(float(np.max(np.abs(x), initial=0.0)), 1e-9)


def bandpass(x: Signal, low: float, high: float, order: int = 2) -> Signal:
    """Butterworth band-pass; edges beyond the audible band turn it into a low-pass, a high-pass or a wire."""
    has_low, has_high = low > 10.0, high < 0.47 * SAMPLE_RATE
    if has_low and has_high:
        sos = signal.butter(order, (low, max(high, low * 1.02)), "bandpass", fs=SAMPLE_RATE, output="sos")
    elif has_low:
        sos = signal.butter(order, low, "highpass", fs=SAMPLE_RATE, output="sos")
    elif has_high:
        sos = signal.butter(order, high, "lowpass", fs=SAMPLE_RATE, output="sos")
    else:
        return x
    return np.asarray(signal.sosfilt(sos, x))


def sculpt(x: Signal, gain: Callable[[Signal, Signal], Signal]) -> Signal:
    """Filter with a response that changes over time.

    Args:
        x: signal [N].
        gain: called with frequencies [F, 1] in hertz and times [1, T] in seconds; returns linear gains [F, T].
    """
    window, hop = 1024, 256
    padded = np.pad(x, (window, window))
    frequency, time, z_FT = signal.stft(padded, SAMPLE_RATE, nperseg=window, noverlap=window - hop)
    z_FT *= gain(frequency[:, None], time[None, :] - window / SAMPLE_RATE)
    _, y = signal.istft(z_FT, SAMPLE_RATE, nperseg=window, noverlap=window - hop)
    return np.asarray(y)[window : window + len(x)]


def resonance(frequency: Signal, centre: ArrayLike, octaves: float) -> Signal:
    """A bell on the octave scale around `centre`, for use inside `sculpt`."""
    return np.exp(-0.5 * (np.log2(np.maximum(frequency, 10.0) / np.asarray(centre)) / octaves) ** 2)


def decay(n: int, attack: float, release: float, start: float = 0.0) -> Signal:
    """An envelope [n] that begins at `start`, rises in `attack` and falls by 60 dB within `release` seconds."""
    t = timeline(n) - start
    rise = np.clip(t / max(attack, 1e-4), 0.0, 1.0)
    return np.where(t < 0, 0.0, rise * np.exp(-6.9 * np.maximum(t - attack, 0.0) / max(release, 1e-3)))


def swell(n: int, peak_at: float, sharpness: float) -> Signal:
    """An envelope [n] that grows to one at the fraction `peak_at` of the length and falls to zero again."""
    u = np.linspace(0.0, 1.0, n)
    position = np.where(u < peak_at, u / peak_at, (1.0 - u) / (1.0 - peak_at))
    return np.sin(0.5 * np.pi * np.clip(position, 0.0, 1.0)) ** sharpness


def wander(rng: Rng, n: int, per_second: float) -> Signal:
    """A smooth random curve [n] within about -1..1 that changes its mind `per_second` times a second."""
    points = max(4, int(n / SAMPLE_RATE * per_second) + 4)
    knots = rng.uniform(-1.0, 1.0, points)
    position = np.linspace(0.0, points - 3.001, n) + 1.0
    index = position.astype(np.intp)
    u = position - index
    # A cubic B-spline: never overshoots its knots, so gains and pitches that follow it stay in range.
    weights = (
        ((1 - u) ** 3 / 6, -1),
        ((3 * u**3 - 6 * u**2 + 4) / 6, 0),
        ((-3 * u**3 + 3 * u**2 + 3 * u + 1) / 6, 1),
        (u**3 / 6, 2),
    )
    return 1.5 * sum((w * knots[np.minimum(index + k, points - 1)] for w, k in weights), np.zeros(n))


def tone(pitch: Signal, rng: Rng | None = None) -> Signal:
    """A sine that follows `pitch` [N] in hertz, with a random starting phase when a generator is given."""
    phase = np.cumsum(pitch) / SAMPLE_RATE
    return np.sin(2 * np.pi * (phase + (rng.random() if rng is not None else 0.0)))


def harmonics(pitch: Signal, amplitudes: ArrayLike) -> Signal:
    """A harmonic tone: partial k has amplitude `amplitudes[k-1]`; partials beyond 22 kHz are left out."""
    phase = 2 * np.pi * np.cumsum(pitch) / SAMPLE_RATE
    y = np.zeros(len(pitch))
    for k, amplitude in enumerate(np.asarray(amplitudes, float), start=1):
        if k * float(pitch.max()) > 22_000:
            break
        y += amplitude * np.sin(k * phase)
    return y


def ring(n: int, frequencies: ArrayLike, times: ArrayLike, amplitudes: ArrayLike, start: float = 0.0) -> Signal:
    """Modal synthesis: a struck body as decaying sines.

    Args:
        frequencies: hertz, [M]; modes above 22 kHz are left out.
        times: seconds until each mode has fallen by 60 dB, [M].
        amplitudes: linear, [M].
        start: second at which the body is struck.
    """
    y = np.zeros(n)
    first = min(n, int(start * SAMPLE_RATE))
    for f, t60, a in zip(np.asarray(frequencies), np.asarray(times), np.asarray(amplitudes), strict=True):
        length = min(n - first, seconds_to_samples(float(t60) * 1.2))
        if length > 0 and f < 22_000:
            t = timeline(length)
            # A millisecond of rise: no body starts with a step.
            y[first : first + length] += a * np.sin(2 * np.pi * f * t) * np.exp(-6.9 * t / t60) * np.minimum(t * 1e3, 1)
    return y


def place(y: Signal, grain: Signal, start: float, gain: float = 1.0) -> None:
    """Add `grain` to `y` in place from second `start`; what does not fit is cut."""
    first = int(start * SAMPLE_RATE)
    if 0 <= first < len(y):
        piece = grain[: len(y) - first]
        y[first : first + len(piece)] += gain * piece


def scatter(rng: Rng, n: int, per_second: float, spread: float = 1.0) -> Signal:
    """Random impulses [n]: a Poisson process of `per_second` clicks with log-normal loudness."""
    count = rng.poisson(per_second * n / SAMPLE_RATE)
    y = np.zeros(n)
    loudness = rng.lognormal(0.0, spread, count) * rng.choice((-1.0, 1.0), count)
    np.add.at(y, rng.integers(0, n, count), loudness)
    return y


def fade(x: Signal, seconds: float = 0.005) -> Signal:
    """Raised-cosine edges, so that nothing clicks where a sound begins or ends."""
    m = min(len(x) // 2, seconds_to_samples(seconds))
    if m < 2:
        return x
    edge = 0.5 - 0.5 * np.cos(np.linspace(0.0, np.pi, m))
    y = x.copy()
    y[:m] *= edge
    y[-m:] *= edge[::-1]
    return y


def room(rng: Rng, x: Signal, seconds: float, wet: float, bright: float = 6000.0) -> Signal:
    """Put a dry sound [N] into a diffuse room and return two decorrelated channels [2, N].

    The room is exponentially decaying noise that darkens as it dies, after a short pre-delay.
    """
    n = seconds_to_samples(seconds)
    sides = []
    for _ in range(2):
        tail = bandpass(noise(rng, n), 120.0, bright, 1) + 0.4 * bandpass(noise(rng, n), 80.0, bright / 4, 1)
        tail *= decay(n, 0.002, seconds, start=rng.uniform(0.004, 0.02))
        tail /= max(float(np.sqrt(np.sum(tail * tail))), 1e-9)
        sides.append(x + wet * np.asarray(signal.fftconvolve(x, tail))[: len(x)])
    return np.stack(sides)
