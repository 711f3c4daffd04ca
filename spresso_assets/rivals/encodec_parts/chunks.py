"""Long sounds as overlapping chunks, each at a common level (EnCodec, section 3.1: one second, one percent overlap).

Axes: C channels, N samples.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from spresso_assets.codec.level import GAIN_STEP_DB
from spresso_assets.rivals.interface import Audio

SECONDS, OVERLAP = 1.0, 0.01  # of a chunk; share of it that it has in common with the next one
LEVEL_RANGE = 255  # steps of half a decibel below full scale


def spans(samples: int, sample_rate: int) -> list[tuple[int, int]]:
    """Where chunks start and stop. The last is as short as the sound leaves it, but longer than an overlap."""
    length = round(SECONDS * sample_rate)
    overlap = round(OVERLAP * length)
    hop = length - overlap
    count = max(1, -(-(samples - overlap) // hop)) if samples else 0
    return [(k * hop, min(samples, k * hop + length)) for k in range(count)]


def level_steps(chunk_CN: Audio) -> int:
    """Root mean square of a chunk in steps of -0.5 dB, 0 to 255: 255 is as good as silence."""
    power = float(np.square(chunk_CN, dtype=np.float64).mean()) if chunk_CN.size else 0.0
    level_db = 10 * np.log10(power + 1e-30)
    return int(np.clip(np.rint(-level_db / GAIN_STEP_DB), 0, LEVEL_RANGE))


def level_of(steps: int) -> float:
    """The level that `level_steps` stands for, as a factor."""
    return float(10 ** (-steps * GAIN_STEP_DB / 20))


def join(chunks: Iterable[Audio], samples: int, channels: int, sample_rate: int) -> Audio:
    """Chunks cross-faded in straight lines where they overlap: [C, N]."""
    out_CN = np.zeros((channels, samples), np.float32)
    overlap = round(OVERLAP * round(SECONDS * sample_rate))
    rise_N: npt.NDArray[np.float32] = ((np.arange(overlap) + 0.5) / overlap).astype(np.float32)
    places = spans(samples, sample_rate)
    for number, ((start, stop), chunk_CN) in enumerate(zip(places, chunks, strict=True)):
        faded_CN = chunk_CN[:, : stop - start].copy()
        if number:
            faded_CN[:, :overlap] *= rise_N
        if number + 1 < len(places):
            faded_CN[:, -overlap:] *= rise_N[::-1]
        out_CN[:, start:stop] += faded_CN
    return out_CN
