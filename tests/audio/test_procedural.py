from __future__ import annotations

import numpy as np
import pytest

from spresso_assets.audio.procedural import CATALOGUE, KINDS, synthesise
from spresso_assets.errors import SpressoError


def bands(x_CN: np.ndarray) -> np.ndarray:
    """Level in dB of 24 bands of the long-term spectrum."""
    power = np.abs(np.fft.rfft(x_CN.mean(axis=0), 1 << 18)) ** 2
    edges = (np.geomspace(40, 20_000, 25) / 48_000 * (1 << 18)).astype(int)
    return 10 * np.log10(np.add.reduceat(power, edges)[:-1] + 1e-9)


@pytest.mark.parametrize("name", sorted(CATALOGUE))
def test_every_sound_is_sane_and_repeats(name: str) -> None:
    x_CN = synthesise(name, 3)
    assert x_CN.dtype == np.float32
    assert x_CN.shape[0] in (1, 2)
    low, high = KINDS[name].seconds
    assert low * 48_000 - 1 <= x_CN.shape[1] <= high * 48_000 + 1
    assert np.isfinite(x_CN).all()
    assert 0.2 < np.abs(x_CN).max() < 0.9
    assert np.array_equal(x_CN, synthesise(name, 3))


@pytest.mark.parametrize("name", sorted(CATALOGUE))
def test_seeds_give_other_members_of_the_family(name: str) -> None:
    sounds = [synthesise(name, seed, 1.0) for seed in range(3)]
    for other in sounds[1:]:
        a, b = sounds[0].mean(axis=0), other.mean(axis=0)
        assert abs(np.dot(a, b)) < 0.5 * np.linalg.norm(a) * np.linalg.norm(b)


@pytest.mark.parametrize("seconds", [1 / 48_000, 0.001, 0.5])
def test_the_length_is_exact(seconds: float) -> None:
    for name in CATALOGUE:
        assert synthesise(name, 1, seconds).shape[1] == round(seconds * 48_000)


def test_kinds_differ_more_than_seeds() -> None:
    def mean_bands(name: str) -> np.ndarray:
        return np.mean([bands(synthesise(name, seed, 1.5)) for seed in range(2)], axis=0)

    rain, thunder, laser = mean_bands("rain"), mean_bands("thunder"), mean_bands("laser")
    centre = np.arange(24)

    def brightness(levels: np.ndarray) -> float:
        weights = 10 ** (levels / 10)
        return float((weights * centre).sum() / weights.sum())

    assert brightness(thunder) < brightness(laser) < brightness(rain)


def test_unknown_names_get_the_list() -> None:
    with pytest.raises(SpressoError, match="footsteps_gravel"):
        synthesise("kazoo", 0)
