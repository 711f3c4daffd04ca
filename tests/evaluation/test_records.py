"""Records outlive the program that made them, and never mix with those of another measurement."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from spresso_assets.errors import SpressoError
from spresso_assets.evaluation.records import Records, finite, packed, unpacked

CONDITIONS = {"weights_sha256": "ab", "seed": 0}


def record(sound: str, **more: Any) -> dict[str, Any]:
    return {"sound": sound, "method": "codec", "profile": "1hz", "quality": "default", **more}


def test_a_line_cut_by_a_kill_is_measured_again_and_spoils_nothing(tmp_path: Path) -> None:
    path = tmp_path / "records.jsonl"
    first = Records(CONDITIONS, path)
    first.add(record("a", bytes=1))
    first.add(record("b", bytes=2))
    path.write_bytes(path.read_bytes()[:-7])
    again = Records(CONDITIONS, path)
    assert [r["sound"] for r in again.all()] == ["a"]
    again.add(record("b", bytes=3))
    third = Records(CONDITIONS, path)
    assert [r["bytes"] for r in third.all()] == [1, 3]


def test_a_kill_within_the_first_line_starts_anew(tmp_path: Path) -> None:
    path = tmp_path / "records.jsonl"
    path.write_bytes(b'{"conditi')
    Records(CONDITIONS, path).add(record("a"))
    assert len(Records(CONDITIONS, path).all()) == 1


def test_the_later_of_two_records_counts(tmp_path: Path) -> None:
    records = Records(CONDITIONS, tmp_path / "records.jsonl")
    records.add(record("a", bytes=1))
    records.add(record("a", bytes=2, diversity=0.1))
    for store in (records, Records(CONDITIONS, tmp_path / "records.jsonl")):
        found = store.get(("a", "codec", "1hz", "default"))
        assert found is not None and found["bytes"] == 2 and len(store.all()) == 1


def test_records_of_other_weights_are_not_taken_over(tmp_path: Path) -> None:
    path = tmp_path / "records.jsonl"
    Records(CONDITIONS, path).add(record("a"))
    before = path.read_bytes()
    with pytest.raises(SpressoError) as caught:
        Records({**CONDITIONS, "weights_sha256": "cd"}, path)
    assert caught.value.code == "other_conditions"
    assert path.read_bytes() == before


def test_a_damaged_file_is_told_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "records.jsonl"
    for text in ('{"conditions": {}}\n{"sound": "a"}\n', "{}\nnonsense\n", "[]\n[1]\n"):
        path.write_text(text)
        with pytest.raises(SpressoError) as caught:
            Records(CONDITIONS, path)
        assert caught.value.code == "bad_records"
        assert path.read_text() == text


def test_what_is_not_a_number_is_null() -> None:
    assert finite({"a": float("nan"), "b": 1.23456789, "c": float("inf")}) == {"a": None, "b": 1.234568, "c": None}


def test_embeddings_survive_as_text() -> None:
    x = np.random.default_rng(0).standard_normal((3, 5)) * 30
    assert unpacked(packed(x), 5) == pytest.approx(x, rel=1e-3)
