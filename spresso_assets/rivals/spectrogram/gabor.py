"""Discrete Gabor transform of real signals: an STFT with a Gaussian window, and its exact inverse.

A Gaussian is the one window for which the derivatives of phase and of log-magnitude determine each other, which is
what `phase` needs. Frames are centred (frame n looks at samples around n * hop) and their phase is counted from their
centre, so that a click at the centre of a frame has phase zero at every frequency.

Axes: N samples, T frames, F frequencies (bins), W samples of a window.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

Real = npt.NDArray[np.float64]
Complex = npt.NDArray[np.complex128]


@dataclass(frozen=True)
class Gabor:
    """A transform: window length (even) and hop in samples.

    The window exp(-pi t^2 / gamma) has gamma = hop * window, which makes it as wide in frames as it is in bins; with
    hop = window / 8 it has fallen to 0.2 % where it is cut off.
    """

    window: int = 1024
    hop: int = 128

    def __post_init__(self) -> None:
        if self.window % 2 or not 0 < self.hop <= self.window // 4:
            raise ValueError("a window has an even number of samples, and at least four hops")

    @property
    def bins(self) -> int:
        return self.window // 2 + 1

    @property
    def gamma(self) -> float:
        """Width of the Gaussian, in samples squared."""
        return float(self.hop * self.window)

    @cached_property
    def taper_W(self) -> Real:
        time_W = np.arange(self.window) - self.window // 2
        return np.exp(-np.pi * time_W**2 / self.gamma)

    def frames(self, samples: int) -> int:
        """T of a signal: its first and its last sample each lie within half a hop of a frame's centre."""
        return samples // self.hop + 1

    def analyse(self, signal_N: npt.NDArray[np.floating]) -> Complex:
        """Signal [N] -> coefficients [T, F]."""
        half, frames = self.window // 2, self.frames(len(signal_N))
        padded_N = np.zeros((frames - 1) * self.hop + self.window)
        padded_N[half : half + len(signal_N)] = signal_N[: len(padded_N) - half]
        frames_TW = np.lib.stride_tricks.sliding_window_view(padded_N, self.window)[:: self.hop] * self.taper_W
        return np.fft.rfft(np.fft.ifftshift(frames_TW, axes=1), axis=1)

    def synthesise(self, coefficients_TF: Complex, samples: int) -> Real:
        """Coefficients [T, F] -> the signal [N] whose own coefficients come nearest to them (Griffin and Lim 1984)."""
        half, frames = self.window // 2, len(coefficients_TF)
        frames_TW = np.fft.fftshift(np.fft.irfft(coefficients_TF, self.window, axis=1), axes=1) * self.taper_W
        total = self._overlap(frames_TW)
        weight = self._overlap(np.broadcast_to(self.taper_W**2, frames_TW.shape))
        signal = (total / np.maximum(weight, 1e-12))[half : half + samples]
        return np.pad(signal, (0, max(0, samples - len(signal)))) if frames else np.zeros(samples)

    def _overlap(self, frames_TW: Real) -> Real:
        """Sum of frames, each at its place."""
        frames, pieces = len(frames_TW), -(-self.window // self.hop)
        padded_TW = np.pad(frames_TW, ((0, 0), (0, pieces * self.hop - self.window)))
        out = np.zeros((frames + pieces - 1, self.hop))
        for k in range(pieces):
            out[k : k + frames] += padded_TW[:, k * self.hop : (k + 1) * self.hop]
        return out.reshape(-1)
