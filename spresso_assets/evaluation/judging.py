"""One number for how well a rendition stands for its sound, small enough to be kept with every rendition.

The quality is 1 less the mel distance (`metrics.mel_distance`), and 0 where that exceeds 1: 1 is the sound itself; 0.9
means that its bands differ by one decibel on average, 0.8 by two. Two takes of one noise, which nobody tells apart,
stand at about 0.76: for noise, rain and the like that is as good as a resynthesis gets.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spresso_assets.catalog.measured import METRIC

SOLVER = "default"
LONGEST_S = 60.0  # of a longer sound its beginning is judged

Audio = NDArray[np.float32]


def judge(decoded_CN: Audio, source_CN: Audio, sample_rate: int) -> float:
    """Quality of a decode, 0 to 1; both as [C, N] at one rate. What is compared is the mean of the channels."""
    from spresso_assets.audio.resample import resample
    from spresso_assets.codec.config import SAMPLE_RATE
    from spresso_assets.evaluation.metrics import aligned, mel_distance

    mono = [
        resample(audio_CN.mean(0, keepdims=True), sample_rate, SAMPLE_RATE)[0] for audio_CN in (decoded_CN, source_CN)
    ]
    return max(0.0, 1.0 - mel_distance(*aligned(mono[0], mono[1])))


def judge_stream(
    decode: Callable[[], Iterable[Audio]], source: Callable[[], Iterable[Audio]], sample_rate: int
) -> float:
    """`judge` of the first minute; both are read block by block, and no further than that."""
    samples = round(LONGEST_S * sample_rate)
    return judge(_first(decode(), samples), _first(source(), samples), sample_rate)


def _first(blocks: Iterable[Audio], samples: int) -> Audio:
    taken: list[Audio] = []
    left = samples
    for block in blocks:
        taken.append(block[:, :left])
        left -= taken[-1].shape[1]
        if left <= 0:
            break
    return np.concatenate(taken, 1)


def quality_record(value: float, seed: int, now_us: int, **more: Any) -> dict[str, Any]:
    """What is kept in `Rendition.quality`."""
    return {
        "metric": METRIC,
        "value": round(value, 4),
        "seed": seed,
        "solver": SOLVER,
        "measured_at": now_us,
        "against": "source",
        **more,
    }
