"""Batches that fit into memory, and what happens when they do not after all."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from spresso_assets.errors import FaultKind
from spresso_assets.jobs.faults import as_spresso_error
from spresso_assets.jobs.memory import fill


@given(st.lists(st.floats(0.01, 100.0), max_size=40), st.floats(1.0, 200.0))
def test_padded_groups_fit_the_budget_and_hold_everything_once(sizes: list[float], budget: float) -> None:
    groups = fill(sizes, budget)
    assert sorted(at for group in groups for at in group) == list(range(len(sizes)))
    for group in groups:
        assert len(group) == 1 or len(group) * max(sizes[at] for at in group) <= budget


def test_similar_lengths_go_together() -> None:
    assert fill([1.0, 9.0, 1.1, 8.0], budget=20.0) == [[0, 2], [3, 1]]


class OutOfMemoryError(RuntimeError):
    """As torch calls its own."""


def test_memory_faults_are_tried_again_and_say_whose_memory() -> None:
    for error, code in ((MemoryError(), "out_of_memory"), (OutOfMemoryError("CUDA"), "device_out_of_memory")):
        fault = as_spresso_error(error)
        assert (fault.code, fault.kind) == (code, FaultKind.RETRYABLE)
