"""The distance between a decode and its source."""

import numpy as np
import pytest

from spresso_assets.codec.closeness import MelDistance


def _distance(a_BN: np.ndarray, b_BN: np.ndarray, cuts: list[int] | None = None) -> float:
    distance = MelDistance()
    for a, b in zip(np.split(a_BN, cuts or [], 1), np.split(b_BN, cuts or [], 1), strict=True):
        distance.add(a, b)
    return distance.value


def test_ten_decibels_are_one() -> None:
    noise_BN = np.random.default_rng(0).standard_normal((1, 48_000)).astype(np.float32)
    assert _distance(noise_BN, noise_BN) == 0
    assert _distance(noise_BN, noise_BN * np.float32(10**-0.5)) == pytest.approx(1, abs=1e-3)


def test_a_bent_spectrum_is_further_than_another_take_of_the_same_noise() -> None:
    rng = np.random.default_rng(0)
    a_BN, b_BN = (rng.standard_normal((1, 48_000)).astype(np.float32) for _ in range(2))
    bent_BN = (b_BN + np.roll(b_BN, 1, 1)) / np.float32(2**0.5)
    assert _distance(a_BN, b_BN) < 0.7 * _distance(a_BN, bent_BN)


def test_blocks_hardly_matter() -> None:
    rng = np.random.default_rng(0)
    a_BN, b_BN = (rng.standard_normal((2, 96_000)).astype(np.float32) for _ in range(2))
    assert _distance(a_BN, b_BN, [480 * 70, 480 * 150]) == pytest.approx(_distance(a_BN, b_BN), rel=0.02)
