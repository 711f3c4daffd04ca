"""The number that is kept with a rendition: 1 for the sound itself, less the further a decode stands from it."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from spresso_assets.evaluation.judging import LONGEST_S, judge, judge_stream

RATE = 48_000


def noise(seconds: float, seed: int = 0) -> np.ndarray:
    return (0.1 * np.random.default_rng(seed).standard_normal((2, int(seconds * RATE)))).astype(np.float32)


def test_a_sound_is_as_good_as_itself_and_one_decibel_costs_a_tenth() -> None:
    sound = noise(1.0)
    assert judge(sound, sound, RATE) == pytest.approx(1.0)
    assert judge(sound * np.float32(10 ** (1 / 20)), sound, RATE) == pytest.approx(0.9, abs=0.002)
    assert judge(np.zeros_like(sound), sound, RATE) == 0.0


def test_two_takes_of_one_noise_stand_where_the_page_says() -> None:
    assert judge(noise(1.0, 1), noise(1.0, 2), RATE) == pytest.approx(0.76, abs=0.02)


def test_of_a_long_sound_no_more_than_the_first_minute_is_read() -> None:
    read = 0

    def blocks() -> Iterator[np.ndarray]:
        nonlocal read
        for _ in range(1000):
            read += 1
            yield np.full((1, 8000), 0.1, np.float32)

    assert judge_stream(blocks, blocks, 8000) == pytest.approx(1.0)
    assert read == 2 * LONGEST_S
