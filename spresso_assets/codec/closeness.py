"""How far a decode is from its source, for choosing among decodes: mean |log10 mel power| difference, 0.1 = 1 dB."""

from __future__ import annotations

from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray

from spresso_assets.codec.config import HOP, SAMPLE_RATE
from spresso_assets.codec.stft import LogMel

# (window, hop, transform, bands): attacks, the grid and bands of the log-mel analysis, and partials.
SCALES = ((480, 240, 512, 32), (1440, HOP, 2880, 128), (3840, HOP, 3840, 128))
FLOOR = 1e-9


@cache
def _analyses() -> tuple[LogMel, ...]:
    return tuple(
        LogMel(window, hop, n_fft, bands, SAMPLE_RATE, 20.0, SAMPLE_RATE / 2, FLOOR)
        for window, hop, n_fft, bands in SCALES
    )


class MelDistance:
    """Distance of two signals that come in blocks; every scale counts alike."""

    def __init__(self) -> None:
        self._sums = [0.0] * len(SCALES)
        self._counts = [0] * len(SCALES)

    @torch.inference_mode()
    def add(self, a_BN: NDArray[np.float32], b_BN: NDArray[np.float32]) -> None:
        """Two blocks [B, N] at 48 kHz, N a multiple of 480."""
        pair_XN = torch.from_numpy(np.concatenate([a_BN, b_BN]))
        for i, logmel in enumerate(_analyses()):
            a_BTM, b_BTM = logmel(pair_XN).chunk(2)
            self._sums[i] += float((a_BTM - b_BTM).abs().sum())
            self._counts[i] += a_BTM.numel()

    @property
    def value(self) -> float:
        return float(np.mean([s / max(1, n) for s, n in zip(self._sums, self._counts, strict=True)]))
