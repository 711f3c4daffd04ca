"""Sample rates change the same way in one block and in many."""

import numpy as np
import pytest
import soxr

from spresso_assets.codec.resampling import Resampler


@pytest.mark.parametrize(("source", "target"), [(44_100, 48_000), (48_000, 11_025), (17_990, 48_000), (48_000, 48_000)])
@pytest.mark.parametrize("channels", [1, 2])
def test_cutting_leaves_no_trace(source: int, target: int, channels: int) -> None:
    rng = np.random.default_rng(0)
    audio_CN = rng.standard_normal((channels, source // 2 + 13)).astype(np.float32)
    resampler = Resampler(channels, source, target)
    cuts = np.sort(rng.integers(0, audio_CN.shape[1], 9))
    parts = [resampler.feed(part) for part in np.split(audio_CN, cuts, 1)] + [resampler.finish()]
    whole_CN = np.stack([soxr.resample(x_N, source, target, quality="HQ") for x_N in audio_CN])
    np.testing.assert_array_equal(np.concatenate(parts, 1), whole_CN)
