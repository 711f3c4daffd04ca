"""When a file counts as finished: quiet time, writers, shares, clocks that disagree."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spresso_assets.ingest.settle import Settled, Signature, Writer, is_growing, judge, observe, writer_of

NOW = 1_800_000_000.0


def touched(seconds_ago: float, *, mtime_ago: float | None = None) -> Signature:
    """A file whose status changed `seconds_ago`; its modification time may claim to be older."""
    mtime = NOW - (seconds_ago if mtime_ago is None else mtime_ago)
    return Signature(1000, int(mtime * 1e9), int((NOW - seconds_ago) * 1e9), 7, 1)


def ask(
    signature: Signature, *, since: float | None = None, writer: Writer = Writer.NONE, **options: object
) -> Settled:
    return judge(NOW, signature, unchanged_since_s=since, writer=writer, **options)  # type: ignore[arg-type]


def test_an_old_archive_is_ready_at_once() -> None:
    assert ask(touched(86_400)).ready


def test_a_file_that_just_changed_waits_for_the_rest_of_the_two_seconds() -> None:
    settled = ask(touched(0.5))
    assert not settled.ready
    assert settled.wait_s == pytest.approx(1.5, abs=1e-3)


def test_an_old_date_on_a_fresh_copy_does_not_fool_us() -> None:
    assert not ask(touched(0.5, mtime_ago=1e6)).ready


def test_an_open_writer_always_waits() -> None:
    assert not ask(touched(86_400), writer=Writer.SOME).ready
    assert not ask(touched(86_400), writer=Writer.SOME, settle_s=0).ready


def test_without_a_lease_five_seconds() -> None:
    assert not ask(touched(3), writer=Writer.UNKNOWN).ready
    assert ask(touched(5.5), writer=Writer.UNKNOWN).ready


def test_on_a_share_fifteen_seconds() -> None:
    assert not ask(touched(10), writer=Writer.UNKNOWN, sends_events=False).ready
    assert ask(touched(15.5), writer=Writer.UNKNOWN, sends_events=False).ready


def test_a_file_from_the_future_is_judged_by_our_own_watching() -> None:
    future = touched(-3600)
    assert not ask(future).ready
    assert not ask(future, since=NOW - 5).ready
    assert ask(future, since=NOW - 16).ready


@given(st.lists(st.tuples(st.floats(0.1, 10), st.integers(0, 3)), min_size=1, max_size=30))
def test_the_clock_of_a_file_starts_again_with_every_change(steps: list[tuple[float, int]]) -> None:
    seen, now, since, last = None, 0.0, 0.0, None
    for pause, size in steps:
        now += pause
        if size != last:
            since, last = now, size
        seen = observe(seen, Signature(size, 0, 0, 1, 1), now)
        assert seen.since_s == since
        assert seen.unfinished_since_s == pytest.approx(steps[0][0]), "unfinished since the first look"


@pytest.mark.parametrize("change", [{"ctime_ns": 1}, {"ino": 2}, {"mtime_ns": 1}, {"size": 3}])
def test_any_sign_of_a_writer_starts_the_clock_again(change: dict[str, int]) -> None:
    first = Signature(10, 0, 0, 1, 1)
    seen = observe(observe(None, first, 1.0), replace(first, **change), 5.0)
    assert seen.since_s == 5.0
    assert observe(seen, replace(first, **change, dev=9), 7.0).since_s == 5.0, "a share mounted anew is no writer"


def test_after_ten_minutes_a_file_is_growing() -> None:
    seen = observe(None, Signature(10, 0, 0, 1, 1), 100.0)
    later = observe(seen, Signature(11, 0, 0, 1, 1), 650.0)
    assert not is_growing(later, 699.0)
    assert is_growing(later, 701.0)


@pytest.mark.skipif(sys.platform != "linux", reason="read leases are a Linux feature")
def test_kernel_knows_the_writer(tmp_path: Path) -> None:
    file = tmp_path / "a.wav"
    file.write_bytes(b"x")
    if writer_of(file) is Writer.UNKNOWN:
        pytest.skip("this file system has no leases")
    with file.open("ab"):
        assert writer_of(file) is Writer.SOME
    assert writer_of(file) is Writer.NONE
    with file.open("rb"):
        assert writer_of(file) is Writer.NONE
