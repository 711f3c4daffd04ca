"""The real program against a broken world: one line with its code, nothing lost, no password anywhere."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.catalog.conftest import postgres_server
from tests.cli.conftest import NAMES, filled_once, make_sounds
from tests.e2e.conftest import Program, program

__all__ = ["filled_once", "postgres_server", "program"]

CANARY = "CANARYpassword"


@pytest.fixture
def archive(program: Program, filled_once: Path, tmp_path: Path) -> Program:
    """Three encoded sounds in a catalog of this test."""
    shutil.copy(filled_once / "catalog.db", tmp_path / "catalog.db")
    return program


def fails(program: Program, code: str, exit_code: int, *args: str | Path) -> str:
    """Run a command that has to end with one clear line; returns that line."""
    done = program.run(*args)
    assert "Traceback" not in done.stderr + done.stdout, done.stderr
    assert done.returncode == exit_code, (done.returncode, done.stderr)
    lines = [line for line in done.stderr.splitlines() if not line.startswith("warning:")]
    assert len(lines) == 1 and f"{code}: " in lines[0], done.stderr
    return lines[0]


def counted(catalog: Path) -> tuple[int, int]:
    with sqlite3.connect(catalog) as connection:
        found = connection.execute("SELECT (SELECT count(*) FROM asset), (SELECT count(*) FROM rendition)").fetchone()
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    connection.close()
    return (int(found[0]), int(found[1]))


def test_unknown_profile_and_missing_weights(archive: Program, tmp_path: Path) -> None:
    fails(archive, "unknown_profile", 2, "encode", "--profile", "9kbps")
    fails(archive, "model_missing", 13, "decode", uid(archive), "-o", tmp_path / "x.wav", "--bundle", tmp_path / "none")
    assert not (tmp_path / "x.wav").exists() and counted(tmp_path / "catalog.db") == (3, 3)


def uid(program: Program) -> str:
    return str(program.data("search", "slams")[0]["uid"])


@pytest.mark.parametrize("verb", [("stats",), ("search", "door"), ("doctor",), ("gc",), ("verify",), ("db", "info")])
def test_what_is_no_catalog_or_of_another_time(archive: Program, tmp_path: Path, verb: tuple[str, ...]) -> None:
    text = tmp_path / "notes.db"
    text.write_text("These are notes, not a database. " * 40)
    newer = Path(shutil.copy(tmp_path / "catalog.db", tmp_path / "newer.db"))
    older = Path(shutil.copy(tmp_path / "catalog.db", tmp_path / "older.db"))
    for file, revision in ((newer, "9999"), (older, "0001")):
        with sqlite3.connect(file) as connection:
            connection.execute("UPDATE alembic_version SET version_num = ?", (revision,))
        connection.close()
    before = newer.read_bytes()
    cases = [(text, "not_a_catalog", 1), (newer, "db_newer", 11), (tmp_path / "none.db", "catalog_missing", 10)]
    if verb != ("db", "info"):
        cases.append((older, "db_needs_upgrade", 11))
    for file, code, exit_code in cases:
        if verb == ("doctor",):
            found = archive.data("doctor", "--catalog", file, codes=(5,))
            assert code in {finding["code"] for finding in found}
        else:
            fails(archive, code, exit_code, *verb, "--catalog", file)
    assert newer.read_bytes() == before and not (tmp_path / "none.db").exists()


def test_a_wrong_broker(archive: Program) -> None:
    for url in (f"redis://:{CANARY}@127.0.0.1:1/0", f"redis://user:{CANARY}@no.such.host.invalid/0"):
        archive.environment["SPRESSO_BROKER_URL"] = url
        line = fails(archive, "broker_unreachable", 12, "encode", "--profile", "0.3kbps", "--enqueue")
        assert CANARY not in line
    counts = archive.data("stats")["waiting_jobs"]
    assert counts == {"encode": 3}, "the work is kept"


def test_a_locked_catalog(archive: Program, tmp_path: Path) -> None:
    code = "from spresso_assets.catalog import faults; faults.BUSY_TIMEOUT_MS = 200; import sys; "
    code += "from spresso_assets.cli.main import main; sys.exit(main(sys.argv[1:]))"
    writer = sqlite3.connect(tmp_path / "catalog.db", isolation_level=None)
    writer.execute("BEGIN IMMEDIATE")
    command = [archive.command()[0], "-c", code, "profile", "default", "0.3kbps"]
    done = subprocess.run(command, env=archive.environment, capture_output=True, text=True)
    assert done.returncode == 11 and "catalog_locked: " in done.stderr and "Traceback" not in done.stderr
    assert archive.run("search", "door").returncode == 0, "readers do not wait"
    writer.execute("ROLLBACK")
    writer.close()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of three megabytes."""
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(folder)], capture_output=True)
    if mounted.returncode != 0:
        pytest.skip("may not mount a file system here")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_full_disk_loses_nothing(archive: Program, small_disk: Path, tmp_path: Path) -> None:
    catalog = Path(shutil.copy(tmp_path / "catalog.db", small_disk / "catalog.db"))
    make_sounds(tmp_path / "more", [f"{n}.wav" for n in range(4)])
    free = os.statvfs(small_disk).f_bavail * os.statvfs(small_disk).f_frsize
    (small_disk / "ballast").write_bytes(b"x" * max(0, free - 40_000))
    options = ("--catalog", catalog, "--settle", "0", "--no-encode")
    done = archive.run("ingest", tmp_path / "more", *options)
    assert done.returncode != 0 and "disk_full" in done.stderr and "Traceback" not in done.stderr
    fails(archive, "disk_full", 1, "db", "backup", small_disk / "copy.db", "--catalog", catalog)
    assert not (small_disk / "copy.db").exists() and not list(small_disk.glob(".spresso*"))
    (small_disk / "ballast").unlink()
    assert counted(catalog)[1] == 3
    assert archive.run("ingest", tmp_path / "more", *options).returncode == 0
    assert counted(catalog) == (7, 3)


def test_a_read_only_catalog(archive: Program, small_disk: Path, tmp_path: Path) -> None:
    catalog = Path(shutil.copy(tmp_path / "catalog.db", small_disk / "catalog.db"))
    if subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], capture_output=True).returncode != 0:
        pytest.skip("may not mount read-only here")
    fails(archive, "catalog_read_only", 11, "profile", "default", "0.3kbps", "--catalog", catalog)
    assert len(NAMES) == 3


def test_postgres_that_is_not_there_or_refuses(archive: Program, postgres_server: str) -> None:
    for url in (
        f"postgresql://me:{CANARY}@127.0.0.1:1/sounds",
        postgres_server.format("nosuchdatabase").replace("postgres@", f"postgres:{CANARY}@"),
    ):
        for verb in (("stats",), ("search", "door"), ("db", "backup", "x.dump"), ("gc",)):
            line = fails(archive, "catalog_unreachable", 10, *verb, "--catalog", url)
            assert CANARY not in line


VERBS: tuple[tuple[str, ...], ...] = (
    *(("init",), ("root", "list"), ("scan",), ("search", "door"), ("show", "abc"), ("stats",), ("encode",)),
    *(("export", "door", "out"), ("conform", "x.csv", "out"), ("verify",), ("gc",), ("doctor",), ("jobs", "list")),
    *(("workers", "list"), ("db", "info"), ("db", "upgrade"), ("db", "backup", "x"), ("profile", "list")),
)


@pytest.mark.parametrize("as_json", [False, True])
def test_no_password_in_any_output(program: Program, as_json: bool, tmp_path: Path) -> None:
    url = f"postgresql://me:{CANARY}@127.0.0.1:1/sounds?sslpassword={CANARY}"
    program.environment.update(SPRESSO_CATALOG=url, SPRESSO_BROKER_URL=f"redis://me:{CANARY}@127.0.0.1:1/0")
    for verb in VERBS:
        done = program.run(*verb, *(["--json"] if as_json else []))
        assert done.returncode != 0 and "Traceback" not in done.stderr, (verb, done.stderr)
        assert CANARY not in done.stdout + done.stderr, verb
