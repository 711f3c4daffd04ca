"""The moving stretch of a signal: any cut gives the same samples."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spresso_assets.codec.rolling import Rolling


@given(cuts=st.lists(st.integers(0, 40), max_size=6), steps=st.lists(st.tuples(st.integers(0, 9), st.integers(0, 25))))
def test_it_gives_the_signal_and_then_zeros(cuts: list[int], steps: list[tuple[int, int]]) -> None:
    signal_BNC = np.arange(1, 161, dtype=np.float32).reshape(2, 40, 2)
    endless_BNC = np.pad(signal_BNC, ((0, 0), (0, 400), (0, 0)))
    rolling = Rolling(np.split(signal_BNC, sorted(cuts), 1))
    start = 0
    for ahead, length in steps:
        start += ahead
        np.testing.assert_array_equal(rolling.take(start, start + length), endless_BNC[:, start : start + length])


def test_what_was_left_behind_is_gone() -> None:
    rolling = Rolling([np.ones((1, 10), np.float32)])
    rolling.take(4, 8)
    with pytest.raises(ValueError, match="forgotten"):
        rolling.take(3, 8)
