"""The probing children: honest answers, and what a misbehaving decoder costs."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from spresso_assets.audio.probe import probe
from spresso_assets.errors import FaultKind, SpressoError
from spresso_assets.jobs import sandbox
from spresso_assets.jobs.sandbox import ProbePool
from tests.jobs.sounds import write_sound

ROOT = Path(__file__).parents[2]


@pytest.fixture
def pool() -> Iterator[ProbePool]:
    made = ProbePool()
    yield made
    made.close()


@pytest.fixture
def bad_pool(monkeypatch: pytest.MonkeyPatch) -> Iterator[ProbePool]:
    monkeypatch.setattr(sandbox, "CHILD_MODULE", "tests.jobs.bad_child")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    made = ProbePool(base_timeout_s=60)
    yield made
    made.close()


def test_a_child_answers_what_a_probe_in_this_process_would(pool: ProbePool, tmp_path: Path) -> None:
    good = write_sound(tmp_path / "Door slam é.wav", seed=1)
    odd = write_sound(tmp_path / os.fsdecode(b"odd \xff name.wav"), seed=2)
    empty = tmp_path / "empty.wav"
    empty.touch()
    found = pool.probe_many([good, empty, odd, tmp_path / "not there.wav"])
    for path, result in zip((good, odd), (found[0], found[2]), strict=True):
        expected = probe(path).as_record()
        assert isinstance(result, dict)
        assert result | {"timings": {}, "raw_chunks": []} == expected | {"timings": {}, "raw_chunks": []}
        assert [tuple(chunk) for chunk in result["raw_chunks"]] == expected["raw_chunks"]
    errors = [result.code for result in (found[1], found[3]) if isinstance(result, SpressoError)]
    assert errors == ["empty_file", "file_missing"]


def test_a_crash_costs_one_file(bad_pool: ProbePool, tmp_path: Path) -> None:
    paths = [write_sound(tmp_path / name, seed=1) for name in ("a.wav", "crash.wav", "b.wav")]
    first, crashed, last = bad_pool.probe_many(paths)
    assert isinstance(first, dict) and isinstance(last, dict)
    assert isinstance(crashed, SpressoError) and crashed.code == "decoder_crashed"
    assert "SIGSEGV" in crashed.message and crashed.kind is FaultKind.PERMANENT


def test_a_decoder_that_never_ends_is_ended(bad_pool: ProbePool, tmp_path: Path) -> None:
    bad_pool.base_timeout_s = 0.5
    (hung,) = bad_pool.probe_many([write_sound(tmp_path / "hang.wav", seed=1)])
    assert isinstance(hung, SpressoError) and hung.code == "probe_timeout"


def test_memory_is_limited(bad_pool: ProbePool, tmp_path: Path) -> None:
    bad_pool.base_timeout_s = 60
    (hungry,) = bad_pool.probe_many([write_sound(tmp_path / "eat.wav", seed=1)])
    assert isinstance(hungry, SpressoError) and hungry.code == "too_much_memory"


def test_closing_leaves_no_child_behind(tmp_path: Path) -> None:
    pool = ProbePool(workers=2)
    pool.probe_many([write_sound(tmp_path / f"{number}.wav", seed=number) for number in range(6)])
    children = list(pool._children)
    pool.close()
    assert children and not any(child.alive for child in children)
