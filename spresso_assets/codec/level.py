"""One gain per file: sounds reach the network at a common level and get their own level back (numpy only)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

TARGET_RMS_DB = -16.0
PEAK_CEILING_DB = -0.1
GATE_DB = 40.0  # blocks further below the loudest one are pauses, not programme
BLOCK = 480
SILENCE_PEAK = 2.0**-20  # below one 16-bit step even after dither: nothing to code
GAIN_STEP_DB = 0.5


class LevelMeter:
    """Streaming active-RMS and peak meter over [C, N] blocks; channels share one gain."""

    def __init__(self) -> None:
        self._powers: list[NDArray[np.float64]] = []
        self._rest = np.zeros(0)
        self.peak = 0.0

    def add(self, audio_CN: NDArray[np.float32]) -> None:
        if audio_CN.size == 0:
            return
        self.peak = max(self.peak, float(np.abs(audio_CN).max()))
        power_N = np.concatenate([self._rest, np.square(audio_CN, dtype=np.float64).mean(0)])
        whole = len(power_N) // BLOCK * BLOCK
        self._powers.append(power_N[:whole].reshape(-1, BLOCK).mean(1))
        self._rest = power_N[whole:]

    @property
    def silent(self) -> bool:
        """Nothing so far would survive a 16-bit file."""
        return self.peak < SILENCE_PEAK

    def gain_steps(self) -> int:
        """Gain towards the common level in steps of 0.5 dB, -127..127; 0 for silence."""
        if self.silent:
            return 0
        parts = [*self._powers, np.array([self._rest.sum() / BLOCK])] if len(self._rest) else self._powers
        power_K = np.concatenate(parts)
        active_K = power_K[power_K >= power_K.max() * 10 ** (-GATE_DB / 10)]
        rms_db = 10 * np.log10(active_K.mean())
        gain_db = min(TARGET_RMS_DB - rms_db, PEAK_CEILING_DB - 20 * np.log10(self.peak))
        return int(np.clip(np.floor(gain_db / GAIN_STEP_DB), -127, 127))


def gain_steps(audio_CN: NDArray[np.float32]) -> int:
    """Gain of a whole sound [C, N], see `LevelMeter.gain_steps`."""
    meter = LevelMeter()
    meter.add(audio_CN)
    return meter.gain_steps()


def linear_gain(steps: int) -> float:
    return float(10 ** (steps * GAIN_STEP_DB / 20))
