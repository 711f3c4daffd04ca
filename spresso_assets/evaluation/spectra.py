"""Spectrograms and filter banks for measuring, in numpy.

They are kept apart from the codec's own analysis on purpose: a yardstick that shared its filters with what it measures
would share its blind spots, and could not notice when those filters break.

Axes: N samples at 48 kHz, T frames, F bins, M bands.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spresso_assets.codec.config import SAMPLE_RATE

KEPT, KEPT_SAMPLES = 40, 5 * SAMPLE_RATE  # spectrograms that are kept: those of two sounds, 2 MB each

Signal = NDArray[np.floating[Any]]
Grid = NDArray[np.floating[Any]]


def power_spectrogram(x_N: Signal, window: int, hop: int) -> Grid:
    """|STFT|^2 with a periodic Hann window: [T, window/2 + 1], T = ceil(N / hop) + 1.

    Frame j is centred on sample j * hop; the signal counts as zero beyond its ends. Divided by the squared sum of the
    window, so that a full-scale sine reads 0.25 (-6 dB) at its bin, for every window. Not to be written to: a source is
    held against many decodes by many metrics, so those of short sounds are kept for a while.
    """
    x_N = np.asarray(x_N, np.float32)
    return _kept(x_N.tobytes(), window, hop) if len(x_N) <= KEPT_SAMPLES else _power(x_N, window, hop)


@lru_cache(maxsize=KEPT)
def _kept(data: bytes, window: int, hop: int) -> Grid:
    power_TF = _power(np.frombuffer(data, np.float32), window, hop)
    power_TF.flags.writeable = False
    return power_TF


def _power(x_N: Signal, window: int, hop: int) -> Grid:
    frames = -(-len(x_N) // hop) + 1
    padded_N = np.zeros((frames - 1) * hop + window, np.float32)
    padded_N[window // 2 : window // 2 + len(x_N)] = x_N
    frames_TW = np.lib.stride_tricks.sliding_window_view(padded_N, window)[::hop]
    spectrum_TF = np.fft.rfft(frames_TW * _hann(window))
    return spectrum_TF.real**2 + spectrum_TF.imag**2


@lru_cache(maxsize=16)
def _hann(window: int) -> Grid:
    w_W = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(window) / window)
    return (w_W / w_W.sum()).astype(np.float32)


def bin_hz(window: int) -> Grid:
    """Frequency of each bin in hertz, [window/2 + 1]."""
    return np.fft.rfftfreq(window, 1 / SAMPLE_RATE)


@lru_cache(maxsize=16)
def mel_bank(window: int, bands: int, f_min: float = 20.0) -> Grid:
    """Triangles of height 1 from ``f_min`` to 24 kHz, evenly spaced on 2595 log10(1 + f/700): [F, M]."""
    edges = np.linspace(_mel(f_min), _mel(SAMPLE_RATE / 2), bands + 2)
    return _triangles(window, 700 * (10 ** (edges / 2595) - 1)).astype(np.float32)


@lru_cache(maxsize=16)
def slaney_bank(window: int, bands: int) -> Grid:
    """Triangles of area 1 from 0 to 24 kHz on Slaney's scale, linear below 1 kHz and logarithmic above: [F, M]."""
    top = 15 + 27 * np.log(SAMPLE_RATE / 2 / 1000) / np.log(6.4)
    mel = np.linspace(0, top, bands + 2)
    edges = np.where(mel < 15, mel * 200 / 3, 1000 * 6.4 ** ((mel - 15) / 27))
    return (_triangles(window, edges) * (2 / (edges[2:] - edges[:-2]))).astype(np.float32)


@lru_cache(maxsize=4)
def erb_bands(window: int, bands: int, f_min: float, f_max: float) -> Grid:
    """Rectangular bands of equal width on the ERB-rate scale 21.4 log10(1 + 0.00437 f): [F, M] of ones and zeros.

    Source: Glasberg & Moore 1990.
    """
    low, high = (21.4 * np.log10(1 + 0.00437 * f) for f in (f_min, f_max))
    edges = (10 ** (np.linspace(low, high, bands + 1) / 21.4) - 1) / 0.00437
    edges[0], edges[-1] = f_min, f_max  # what rounding has moved
    f_F1 = bin_hz(window)[:, None]
    return ((f_F1 >= edges[:-1]) & (f_F1 < edges[1:])).astype(np.float32)


def _mel(hz: float) -> float:
    return float(2595 * np.log10(1 + hz / 700))


def _triangles(window: int, edges: Grid) -> Grid:
    f_F1 = bin_hz(window)[:, None]
    rise = (f_F1 - edges[:-2]) / (edges[1:-1] - edges[:-2])
    fall = (edges[2:] - f_F1) / (edges[2:] - edges[1:-1])
    return np.clip(np.minimum(rise, fall), 0, None)
