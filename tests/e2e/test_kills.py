"""SIGKILL at random moments of an ingest, then start again: nothing lost, nothing twice, database intact."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import sqlite3
import time
from pathlib import Path

import pytest

from tests.cli.conftest import make_sounds
from tests.e2e.conftest import Program

NEW_PER_ROUND = 6


def ask(catalog: Path, sql: str) -> list[tuple[object, ...]]:
    with contextlib.closing(sqlite3.connect(catalog, timeout=30)) as database:
        return database.execute(sql).fetchall()


def kill_rounds(program: Program, tmp_path: Path, rounds: int, seed: int) -> int:
    """Kill `rounds` ingests and finish the work; returns how many kills left work behind."""
    rng = random.Random(seed)
    sounds, catalog = tmp_path / "sfx", tmp_path / "catalog.db"
    sounds.mkdir()
    assert program.run("init").returncode == 0
    make_sounds(sounds, ["warm up.wav"])
    started = time.monotonic()
    assert program.run("ingest", sounds).returncode == 0
    whole_run_s = time.monotonic() - started

    left_behind = 0
    for number in range(rounds):
        make_sounds(sounds, [f"round {number}/{n}.wav" for n in range(NEW_PER_ROUND)])
        shutil.copy(sounds / f"round {number}/0.wav", sounds / f"round {number}/copy of 0.wav")
        process = program.start("ingest", sounds)
        time.sleep(rng.uniform(0.2, 1.3) * whole_run_s)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        left_behind += bool(ask(catalog, "SELECT 1 FROM job WHERE status IN ('queued', 'running')"))

    done = program.run("ingest", sounds)
    assert done.returncode == 0, done.stderr
    files = sorted(path.relative_to(sounds).as_posix() for path in sounds.rglob("*.wav"))
    assert ask(catalog, "PRAGMA integrity_check") == [("ok",)]
    assert ask(catalog, "PRAGMA foreign_key_check") == []
    rows = ask(catalog, "SELECT rel_path, state, asset_id IS NOT NULL FROM source_file ORDER BY rel_path")
    assert rows == [(path, "present", 1) for path in files], "a file was lost or is there twice"
    assert ask(catalog, "SELECT status, count(*) FROM job WHERE status <> 'succeeded' GROUP BY status") == []
    assets = len(files) - rounds  # the copies are the same sound
    assert ask(catalog, "SELECT count(*) FROM asset") == [(assets,)]
    assert ask(catalog, "SELECT count(*), count(DISTINCT asset_id) FROM rendition") == [(assets, assets)]
    done_twice = "SELECT dedupe_key FROM job WHERE status = 'succeeded' GROUP BY dedupe_key HAVING count(*) > 1"
    assert ask(catalog, done_twice) == []
    return left_behind


def test_a_few_kills(program: Program, tmp_path: Path) -> None:
    kill_rounds(program, tmp_path, rounds=3, seed=1)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_fifty_kills(program: Program, tmp_path: Path) -> None:
    left_behind = kill_rounds(program, tmp_path, rounds=50, seed=2)
    assert left_behind >= 10, "the kills came too late to prove anything"
