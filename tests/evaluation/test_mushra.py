"""Which systems are rated, and what ratings amount to."""

from __future__ import annotations

from pathlib import Path

import pytest

from spresso_assets.errors import SpressoError
from spresso_assets.evaluation.mushra import COLUMNS, chosen, verdict


def test_at_most_eight_points_from_every_system_in_turn() -> None:
    points = [("a", f"a{n}") for n in range(9)] + [("b", "b0"), ("c", "c0"), ("c", "c1")]
    found = chosen(points)
    assert found == [
        ("a", "a0"),
        ("a", "a1"),
        ("a", "a2"),
        ("a", "a3"),
        ("a", "a4"),
        ("b", "b0"),
        ("c", "c0"),
        ("c", "c1"),
    ]
    assert chosen(points[:3]) == points[:3] and chosen([]) == []


def ratings(folder: Path, listener: str, references: list[float], rough: list[float]) -> Path:
    lines = [",".join(COLUMNS)]
    for trial, (reference, score) in enumerate(zip(references, rough, strict=True), 1):
        lines.append(f'"{listener}",{trial},"a, b",reference,,{reference},A,1,9')
        lines.append(f'"{listener}",{trial},"a, b",rough,3 bit,{score},B,1,9')
    file = folder / f"{listener}.csv"
    file.write_text("\r\n".join(lines) + "\r\n")
    return file


def test_scores_are_means_and_who_misses_the_reference_is_left_out(tmp_path: Path) -> None:
    good = ratings(tmp_path, "good", [100] * 7 + [80], [40, 50] * 4)  # misses one of eight: 12.5 %
    deaf = ratings(tmp_path, "deaf", [100, 80, 85, 100], [90] * 4)
    found = verdict([good, deaf])
    assert found.listeners == 2 and found.excluded == ("deaf",)
    assert [(s.system, s.point) for s in found.scores] == [("reference", ""), ("rough", "3 bit")]
    rough = found.scores[1].score
    assert rough.value == 45 and rough.count == 8 and 40 < rough.low < 45 < rough.high < 50


def test_other_files_are_one_clear_error(tmp_path: Path) -> None:
    for text in ("no,ratings\n1,2\n", ",".join(COLUMNS) + "\nx,1,s,reference,,101,A,1,1\n"):
        (tmp_path / "bad.csv").write_text(text)
        with pytest.raises(SpressoError, match="bad_ratings"):
            verdict([tmp_path / "bad.csv"])
    with pytest.raises(SpressoError, match="bad_ratings"):
        verdict([tmp_path / "nowhere.csv"])
