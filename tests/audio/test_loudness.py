from __future__ import annotations

import numpy as np
import pyloudnorm
import pytest

from spresso_assets.audio.loudness import LoudnessMeter, integrated_loudness, k_weighting


def sine(hertz: float, seconds: float, rate: int = 48_000, level_db: float = 0.0) -> np.ndarray:
    t = np.arange(round(seconds * rate)) / rate
    return (10 ** (level_db / 20) * np.sin(2 * np.pi * hertz * t)).astype(np.float32)[None]


def test_the_reference_tone() -> None:
    # BS.1770: a 0 dBFS tone of 997 Hz in one channel reads -3.01 LUFS, in two channels 0.0.
    assert integrated_loudness(sine(997, 5), 48_000) == pytest.approx(-3.01, abs=0.05)
    assert integrated_loudness(np.repeat(sine(997, 5), 2, axis=0), 48_000) == pytest.approx(0.0, abs=0.05)


@pytest.mark.parametrize("rate", [8_000, 22_050, 44_100, 48_000, 96_000, 192_000])
def test_against_the_filter_in_time(rate: int) -> None:
    rng = np.random.default_rng(rate)
    x = rng.standard_normal((2, 6 * rate)) * np.repeat(rng.uniform(0.001, 0.3, 12), rate // 2)
    drift = np.cumsum(rng.standard_normal((2, 6 * rate)), axis=1) / rate**0.5 * 0.1  # far below hearing
    for sound in (x, x + drift, x + 0.1):
        expected = pyloudnorm.Meter(rate).integrated_loudness(sound.T)
        assert integrated_loudness(sound.astype(np.float32), rate) == pytest.approx(expected, abs=0.1)


def test_quiet_passages_are_gated() -> None:
    loud, quiet = sine(1_000, 3, level_db=-20), sine(1_000, 30, level_db=-60)
    assert integrated_loudness(np.concatenate((loud, quiet), axis=1), 48_000) == pytest.approx(-23.0, abs=0.3)


def test_a_click_has_a_loudness_and_silence_has_none() -> None:
    assert integrated_loudness(sine(997, 0.03), 48_000) == pytest.approx(-3.0, abs=0.5)
    assert integrated_loudness(np.full((1, 1), 0.5, np.float32), 48_000) is not None
    assert integrated_loudness(np.zeros((2, 96_000), np.float32), 48_000) is None
    assert integrated_loudness(np.zeros((1, 0), np.float32), 48_000) is None


def test_block_borders_do_not_matter() -> None:
    x = np.random.default_rng(0).standard_normal((2, 100_000)).astype(np.float32) * 0.1
    meter = LoudnessMeter(44_100, 2)
    for start in range(0, 100_000, 1_777):
        meter.add(x[:, start : start + 1_777])
    assert meter.integrated() == pytest.approx(integrated_loudness(x, 44_100), abs=1e-3)


def test_k_weighting_is_that_of_the_standard() -> None:
    gain_db = 10 * np.log10(k_weighting(np.array([38.0, 1_000.0, 10_000.0]), 48_000))
    assert gain_db == pytest.approx([-6.0, 0.7, 4.0], abs=0.2)
