"""The shared corpus of 2,452 real sound effects: everything accounted for, and nothing done twice."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from tests.e2e.conftest import Program


@pytest.mark.corpus
def test_part_of_the_corpus(program: Program, corpus: Path) -> None:
    program.run("init")
    part = corpus / "lugaru"
    names = sorted(path.relative_to(part).as_posix() for path in part.rglob("*") if path.is_file())
    first = program.data("ingest", part, "--no-encode", "--limit", "30")
    assert first["roots"][0]["new"] == len(names)
    assert sum(first["run"]["jobs"]["probe"].values()) == min(30, len(names))
    assert program.data("stats")["failed_jobs"] == {}


@pytest.mark.corpus
@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_whole_corpus_is_accounted_for(program: Program, corpus: Path) -> None:
    with (corpus / "manifest.csv").open(newline="", encoding="utf-8") as sheet:
        listed = {row["path"] for row in csv.DictReader(sheet)}
    program.run("init")
    first = program.data("ingest", corpus, codes=(0, 3))
    files = program.data("stats")
    assert files["files"] + files["unreadable_files"] == first["roots"][0]["new"] >= len(listed)
    second = program.data("ingest", corpus)
    assert second["roots"][0]["unchanged"] == files["files"]
    assert second["run"]["jobs"] == {}
