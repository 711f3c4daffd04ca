"""Records of an extension: read back, stepped over, or done without."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spresso_assets.codec.extension import seed_record, stored_seed


@given(seed=st.integers(0, 2**42 - 1))
def test_a_seed_comes_back(seed: int) -> None:
    assert stored_seed(seed_record(seed)) == seed


def test_a_small_seed_costs_two_bytes() -> None:
    assert seed_record(7) == bytes([2, 7])


@pytest.mark.parametrize("before", [bytes([4, 200, 1]), bytes([5, 3, 2, 9, 2]), bytes([5, 0, 4, 1])])
def test_unknown_records_are_stepped_over(before: bytes) -> None:
    assert stored_seed(before + seed_record(300)) == 300


@given(extension=st.binary(max_size=20))
def test_any_bytes_are_read_without_complaint(extension: bytes) -> None:
    seed = stored_seed(extension)
    assert seed is None or 0 <= seed < 2**42
