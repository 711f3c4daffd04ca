"""Two channels folded into one signal and a description, and unfolded again. Streams in, streams out, at 48 kHz.

Both halves work in the same twelve bands. Chunks of 5 s lie at fixed places and see their neighbourhood, so that how
a sound arrives leaves no trace, and memory does not grow with its length.

Axes: T frames of 100 Hz, B bands, F bins, N samples; 2 is (left, right), 3 is the powers of left and right and their
correlation.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from spresso_assets.codec.bitstream_header import STEREO_BANDS
from spresso_assets.codec.config import HOP
from spresso_assets.codec.stereo import STRETCH, Codes, Powers, describe, positions
from spresso_assets.codec.stft import STFT

Audio = NDArray[np.float32]

WINDOW = 1920  # 40 ms: 25 Hz per bin
# One band up to 200 Hz, where level differences are hardly heard, then 3.4 ERB each (Glasberg and Moore 1990), in bins.
EDGES = (0, 8, 16, 27, 42, 65, 98, 146, 214, 313, 456, 662, WINDOW // 2 + 1)

CHUNK_FRAMES = 10 * STRETCH
MARGIN_FRAMES = 14  # neighbours that a frame depends on: decorrelator, window and smoothing

OPPOSED = (-0.8, -0.5)  # coherences between which folding turns from L - R to L + R
# The decorrelator: delays in samples and gain of its all-pass sections. Half of its power arrives within 10 ms.
ALL_PASS_DELAYS = (47, 139, 311)
ALL_PASS_GAIN = 0.6
RESPONSE = 4096  # samples of it that are used: all but 3e-6 of its power
MAX_WIDE_GAIN = 4.0
TINY = float(np.finfo(np.float64).tiny)


class Folding:
    """Blocks [2, n] in, blocks [1, m] out with the mean power of both channels in every band, whatever their phases.

    Where the channels are opposed the right one is turned over first: a plain mean would cancel.
    """

    def __init__(self) -> None:
        self._chunks = _Chunks(2, 1, self._fold)
        self._powers: list[Powers] = []

    def feed(self, audio_2N: Audio) -> Audio:
        """What has become ready with these samples."""
        return self._chunks.feed(audio_2N)

    def finish(self) -> Audio:
        """The rest, filled up with zeros to a whole frame."""
        return self._chunks.finish()

    def description(self, stereo_frames: int, bands: int) -> Codes:
        """Stereo positions of what was folded, after `finish`; see `stereo.describe`."""
        if not self._powers:
            return np.zeros((stereo_frames, bands), np.uint8)
        return describe(np.concatenate(self._powers, 1), stereo_frames, bands)

    def _fold(self, audio_2N: Audio, low: int, start: int, stop: int) -> Audio:
        spectra_2TF = _stft()(torch.from_numpy(audio_2N))
        powers_3TB = _powers(*spectra_2TF)
        own_3TB = powers_3TB[:, start - low : stop - low]
        self._powers.append(np.add.reduceat(own_3TB, np.arange(0, stop - start, STRETCH), 1))
        folded_TF = (spectra_2TF * _to_bins(_folding_weights(powers_3TB))).sum(0, keepdim=True)
        return _stft().inverse(folded_TF).numpy()


class Unfolding:
    """Blocks [1, n] in, blocks [2, m] out: left and right with twice the power of the signal, in every band.

    A function of the signal and the codes alone: the decorrelator is fixed.
    """

    def __init__(self, codes_PB: Codes) -> None:
        self._codes_PB = codes_PB
        self._chunks = _Chunks(1, 2, self._unfold)

    def feed(self, audio_1N: Audio) -> Audio:
        """What has become ready with these samples."""
        return self._chunks.feed(audio_1N)

    def finish(self) -> Audio:
        """The rest, filled up with zeros to a whole frame."""
        return self._chunks.finish()

    def _unfold(self, audio_1N: Audio, low: int, start: int, stop: int) -> Audio:
        mono_N = torch.from_numpy(audio_1N[0])
        direct_TF, wide_TF = _stft()(torch.stack([mono_N, decorrelate(mono_N)]))
        angles_TB, pans_TB = positions(self._codes_PB, low, low + len(direct_TF))
        direct_2TF, wide_2TF = _to_bins(_unfolding_weights(direct_TF, wide_TF, angles_TB, pans_TB))
        return _stft().inverse(direct_2TF * direct_TF + wide_2TF * wide_TF).numpy()


def decorrelate(mono_N: Tensor) -> Tensor:
    """The signal through three all-pass sections (Schroeder 1962): other phases, the same spectrum."""
    size = 1 << (len(mono_N) + RESPONSE).bit_length()
    return torch.fft.irfft(torch.fft.rfft(mono_N, size) * torch.fft.rfft(_response(), size), size)[: len(mono_N)]


def _folding_weights(powers_3TB: Powers) -> NDArray[np.float32]:
    """Weights of left and right [2, T, B]."""
    left_TB, right_TB, cross_TB = (_smooth(p_TB, 4) for p_TB in powers_3TB)
    coherence_TB = _ratio(cross_TB, np.sqrt(left_TB * right_TB), otherwise=1.0)
    sign_TB = np.interp(coherence_TB, OPPOSED, (-1.0, 1.0))
    mixed_TB = left_TB + sign_TB**2 * right_TB + 2 * sign_TB * cross_TB
    gain_TB = np.sqrt(_ratio((left_TB + right_TB) / 2, mixed_TB, otherwise=0.25))
    return np.array([gain_TB, gain_TB * sign_TB], np.float32)


def _unfolding_weights(
    direct_TF: Tensor, wide_TF: Tensor, angles_TB: NDArray[np.float64], pans_TB: NDArray[np.float64]
) -> NDArray[np.float32]:
    """Weights [direct or wide, left or right, T, B] that turn a signal and its decorrelated copy into left and right.

    What the copy still shares with the signal is taken out of it, and its power follows that of the signal within
    50 ms: the coherence comes out as asked for, and nothing rings on after a knock.
    """
    power_TB, wide_power_TB, shared_TB = (_smooth(p_TB, 2) for p_TB in _powers(direct_TF, wide_TF))
    share_TB = _ratio(shared_TB, power_TB)
    own_TB = np.maximum(wide_power_TB - share_TB * shared_TB, 0)
    gain_TB = np.minimum(np.sqrt(_ratio(power_TB, own_TB)), MAX_WIDE_GAIN)

    # sqrt(1 + sin p) and sqrt(1 - sin p), in a form that is exactly zero for hard left and hard right
    left_TB, right_TB = (2**0.5 * np.sin(np.pi / 4 + sign * pans_TB / 2) for sign in (1, -1))
    alike_TB, apart_TB = np.cos(angles_TB / 2), np.sin(angles_TB / 2) * gain_TB
    direct = (left_TB * (alike_TB - apart_TB * share_TB), right_TB * (alike_TB + apart_TB * share_TB))
    wide = (left_TB * apart_TB, -right_TB * apart_TB)
    return np.array([direct, wide], np.float32)


class _Chunks:
    """Cuts a stream into chunks at fixed places and hands each on with its margins.

    ``make(audio [channels, N], low, start, stop)`` gets the frames from ``low`` on and returns as many samples in
    ``made_channels``; frames ``start`` .. ``stop`` of them are kept.
    """

    def __init__(self, channels: int, made_channels: int, make: Callable[[Audio, int, int, int], Audio]) -> None:
        self._make = make
        self._nothing = np.zeros((made_channels, 0), np.float32)
        self._held = [np.zeros((channels, 0), np.float32)]
        self._low = self._start = self._samples = 0  # first frame that is held, first one to make, samples so far

    def feed(self, audio_CN: Audio) -> Audio:
        self._held.append(audio_CN)
        self._samples += audio_CN.shape[1]
        made = [self._nothing]
        while self._samples >= (self._start + CHUNK_FRAMES + MARGIN_FRAMES) * HOP:
            made.append(self._next(self._start + CHUNK_FRAMES))
        return np.concatenate(made, 1)

    def finish(self) -> Audio:
        frames = -(-self._samples // HOP)
        self._held.append(np.zeros((len(self._held[0]), frames * HOP - self._samples), np.float32))
        made = [self._nothing]
        while self._start < frames:
            made.append(self._next(min(frames, self._start + CHUNK_FRAMES)))
        return np.concatenate(made, 1)

    def _next(self, stop: int) -> Audio:
        held_CN = np.concatenate(self._held, 1)
        seen_CN = np.ascontiguousarray(held_CN[:, : (stop + MARGIN_FRAMES - self._low) * HOP])
        made_CN = self._make(seen_CN, self._low, self._start, stop)
        kept_CN = made_CN[:, (self._start - self._low) * HOP : (stop - self._low) * HOP]
        low = max(0, stop - MARGIN_FRAMES)
        self._held = [held_CN[:, (low - self._low) * HOP :]]
        self._low, self._start = low, stop
        return kept_CN


@cache
def _stft() -> STFT:
    return STFT(WINDOW, HOP)


@cache
def _response() -> Tensor:
    size = 4 * RESPONSE  # the recursion never ends; what it would still say wraps around far below float32
    delay_F = np.exp(-2j * np.pi * np.arange(size // 2 + 1) / size)
    spectrum_F = np.ones(len(delay_F), np.complex128)
    for section, delay in enumerate(ALL_PASS_DELAYS):
        gain = ALL_PASS_GAIN * (-1) ** section
        spectrum_F *= (delay_F**delay - gain) / (1 - gain * delay_F**delay)
    return torch.from_numpy(np.fft.irfft(spectrum_F)[:RESPONSE].astype(np.float32))


def _powers(a_TF: Tensor, b_TF: Tensor) -> Powers:
    """Powers of two spectra and their correlation, per band: [3, T, B]."""
    pairs = ((a_TF, a_TF), (b_TF, b_TF), (a_TF, b_TF))
    products = [(x_TF.real * y_TF.real + x_TF.imag * y_TF.imag).numpy().astype(np.float64) for x_TF, y_TF in pairs]
    return np.add.reduceat(np.stack(products), EDGES[:STEREO_BANDS], -1)


def _to_bins(weights_XTB: NDArray[np.float32]) -> Tensor:
    return torch.from_numpy(np.repeat(weights_XTB, np.diff(EDGES), -1))


def _ratio(above_TB: Powers, below_TB: Powers, otherwise: float = 0.0) -> Powers:
    return np.divide(above_TB, below_TB, out=np.full_like(above_TB, otherwise), where=below_TB > TINY)


def _smooth(values_TB: Powers, reach: int) -> Powers:
    """Weighted mean over time with a triangle of ``reach`` frames to either side."""
    frames = len(values_TB)
    padded_TB = np.pad(values_TB, ((reach, reach), (0, 0)))
    weights = [1 - abs(k) / (reach + 1) for k in range(-reach, reach + 1)]
    return np.sum([w * padded_TB[k : k + frames] for k, w in enumerate(weights)], 0)
