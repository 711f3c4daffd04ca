from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spresso_assets.audio.resample import resample, resample_blocks, resampled_length
from spresso_assets.errors import SpressoError

RATES = st.sampled_from([8_000, 11_025, 16_000, 22_050, 44_100, 48_000, 96_000, 192_000])


@settings(max_examples=60, deadline=None)
@given(
    frames=st.integers(1, 5_000), block=st.integers(1, 3_000), source=RATES, target=RATES, channels=st.integers(1, 3)
)
def test_a_stream_gives_what_the_whole_gives(frames: int, block: int, source: int, target: int, channels: int) -> None:
    x_CN = np.random.default_rng(frames).standard_normal((channels, frames)).astype(np.float32)
    whole = resample(x_CN, source, target)
    pieces = resample_blocks((x_CN[:, at : at + block] for at in range(0, frames, block)), channels, source, target)
    joined = np.concatenate(list(pieces), axis=1)
    assert whole.shape == joined.shape == (channels, resampled_length(frames, source, target))
    assert np.abs(whole - joined).max() < 1e-5


def test_there_and_back_keeps_length_and_sound() -> None:
    t = np.arange(44_100) / 44_100
    x_CN = (0.5 * np.sin(2 * np.pi * 1_000 * t)).astype(np.float32)[None]
    back = resample(resample(x_CN, 44_100, 48_000), 48_000, 44_100)
    assert back.shape == x_CN.shape
    assert np.abs(back - x_CN)[:, 1_000:-1_000].max() < 1e-4


def test_what_cannot_be_kept_is_removed_rather_than_folded_down() -> None:
    t = np.arange(96_000) / 96_000
    x_CN = np.sin(2 * np.pi * 30_000 * t).astype(np.float32)[None]
    assert np.abs(resample(x_CN, 96_000, 48_000))[:, 500:-500].max() < 1e-4


def test_absurd_rates_are_refused() -> None:
    with pytest.raises(SpressoError) as caught:
        resample(np.zeros((1, 10), np.float32), 1, 48_000)
    assert caught.value.code == "bad_sample_rate"
