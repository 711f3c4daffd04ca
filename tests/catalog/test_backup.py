"""Backups are whole, checked copies; a restore is all or nothing, and never costs the former catalog."""

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from spresso_assets.catalog import postgres_dump
from spresso_assets.catalog.backup import PAGES_PER_STEP, back_up, backup_name, restore
from spresso_assets.catalog.engine import Catalog, open_catalog
from spresso_assets.catalog.location import Location, locate
from spresso_assets.catalog.search import count
from spresso_assets.errors import SpressoError
from tests.catalog.sounds import add_sound


def sounds(catalog: Catalog, *names: str) -> None:
    with catalog.session() as session:
        for name in names:
            add_sound(session, f"Doors/{name}.wav")


def held(url: str | Path) -> set[str]:
    catalog = open_catalog(url)
    with catalog.read() as session:
        found = {name for name in ("oak", "pine", "iron") if count(session, name)}
    catalog.close()
    return found


def test_there_and_back_on_both_databases(catalog: Catalog, catalog_url: str, tmp_path: Path) -> None:
    sounds(catalog, "oak", "pine")
    made = back_up(catalog.location, tmp_path / "copy")
    assert made.revision == catalog.revision() and made.bytes == made.path.stat().st_size
    sounds(catalog, "iron")
    catalog.close()
    os.chdir(tmp_path)
    assert restore(made.path, catalog.location, dry_run=True) is not None
    assert held(catalog_url) == {"oak", "pine", "iron"}, "a dry run changes nothing"
    former = restore(made.path, catalog.location)
    assert held(catalog_url) == {"oak", "pine"}, "the search index came back with the rows"
    assert former is not None
    restore(former, catalog.location)
    assert held(catalog_url) == {"oak", "pine", "iron"}, "the way back from a mistaken restore"


def test_a_backup_is_one_snapshot_while_others_write(tmp_path: Path, catalog_file: Path) -> None:
    with sqlite3.connect(catalog_file) as filler:
        filler.execute("CREATE TABLE ballast (n INTEGER, content BLOB)")
        filler.executemany("INSERT INTO ballast VALUES (0, ?)", [(b"x" * 4000,)] * (3 * PAGES_PER_STEP))
    filler.close()
    steps: list[int] = []
    writer = sqlite3.connect(catalog_file, isolation_level=None)

    def write(done: int, total: int) -> None:
        steps.append(done)
        writer.execute("UPDATE ballast SET n = n + 1 WHERE rowid = 1")

    made = back_up(Location(path=catalog_file), tmp_path / "copy.db", write)
    with sqlite3.connect(made.path) as copy:
        assert copy.execute("SELECT max(n) FROM ballast").fetchone() == (0,), "as it was when the backup began"
    copy.close()
    assert writer.execute("SELECT max(n) FROM ballast").fetchone() == (len(steps),)
    assert steps == sorted(steps) and len(steps) >= 3, "it never began again"
    assert {file.name for file in tmp_path.iterdir() if "copy" in file.name or "part" in file.name} == {"copy.db"}
    writer.close()


RESTORE_AND_DIE = """
import os, signal, sys
from pathlib import Path
from spresso_assets.catalog.backup import restore
from spresso_assets.catalog.location import locate
def die(done, total):
    if done > total * float(sys.argv[3]):
        os.kill(os.getpid(), signal.SIGKILL)
restore(Path(sys.argv[1]), locate(sys.argv[2]), die)
"""


@pytest.mark.parametrize("share", [0.0, 0.5, 0.9])
def test_a_restore_that_is_killed_leaves_the_old_catalog(tmp_path: Path, catalog_file: Path, share: float) -> None:
    catalog = open_catalog(catalog_file)
    sounds(catalog, "oak")
    catalog.close()
    source = tmp_path / "backup.db"
    back_up(Location(path=catalog_file), source)
    with sqlite3.connect(source) as big:
        big.execute("UPDATE asset_text SET names = 'pine'")
        big.execute("CREATE TABLE ballast (content BLOB)")
        big.executemany("INSERT INTO ballast VALUES (?)", [(b"x" * 4000,)] * (3 * PAGES_PER_STEP))
    big.close()
    # another program has it open all the while
    reader = open_catalog(catalog_file)
    died = subprocess.run([sys.executable, "-c", RESTORE_AND_DIE, str(source), str(catalog_file), str(share)])
    assert died.returncode == -signal.SIGKILL
    assert held(catalog_file) == {"oak"}
    with sqlite3.connect(catalog_file) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    connection.close()
    restore(source, Location(path=catalog_file))
    with reader.read() as session:
        assert count(session, "pine") == 1, "who had it open sees the new one, as a whole"
    reader.close()


def test_postgres_keeps_the_old_catalog_when_the_load_fails(
    tmp_path: Path, catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    if catalog.is_sqlite:
        pytest.skip("only Postgres loads with a program")
    sounds(catalog, "oak")
    dump = tmp_path / "catalog.dump"
    postgres_dump.dump(catalog.location, dump)
    # a view that others made on our table stops the load when it is half done
    with catalog.session() as session:
        session.connection().exec_driver_sql("CREATE VIEW mine AS SELECT uid FROM asset")
    with pytest.raises(SpressoError, match="restore_failed"):
        postgres_dump.load(dump, catalog.location)
    with catalog.read() as session:
        assert count(session, "oak") == 1


def test_a_damaged_catalog_is_moved_aside(tmp_path: Path, catalog_file: Path) -> None:
    source = tmp_path / "backup.db"
    back_up(Location(path=catalog_file), source)
    catalog_file.write_bytes(b"SQLite format 3\0" + os.urandom(9000))
    damaged = catalog_file.read_bytes()
    former = restore(source, Location(path=catalog_file))
    assert former is not None and former.read_bytes() == damaged
    open_catalog(catalog_file).close()


def test_what_is_no_backup_is_refused_before_anything_is_touched(tmp_path: Path, catalog_file: Path) -> None:
    before = catalog_file.read_bytes()
    where = Location(path=catalog_file)
    text = tmp_path / "notes.txt"
    text.write_text("not a database at all, but long enough to look like something" * 20)
    other = tmp_path / "other.db"
    sqlite3.connect(other).execute("CREATE TABLE x (y)").connection.close()
    newer = Path(shutil.copy(catalog_file, tmp_path / "newer.db"))
    with sqlite3.connect(newer) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()
    for source, code in ((text, "not_a_backup"), (other, "not_a_backup"), (newer, "db_newer")):
        with pytest.raises(SpressoError) as caught:
            restore(source, where)
        assert caught.value.code == code
    with pytest.raises(SpressoError, match="file_missing"):
        restore(tmp_path / "none.db", where)
    with pytest.raises(SpressoError, match="target_exists"):
        back_up(where, text)
    assert catalog_file.read_bytes() == before


def test_passwords_go_through_the_environment_only(monkeypatch: pytest.MonkeyPatch) -> None:
    where = locate("postgresql://me:CANARY@db.example:5433/sounds?sslmode=require&sslpassword=CANARY2")
    given = postgres_dump.environment(where)
    assert given["PGPASSWORD"] == "CANARY" and given["PGHOST"] == "db.example" and given["PGPORT"] == "5433"
    assert given["PGDATABASE"] == "sounds" and given["PGSSLMODE"] == "require" and "CANARY2" not in given.values()
    seen: list[str] = []
    monkeypatch.setattr(shutil, "which", lambda program: program)

    def record(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        seen.extend(command)
        return subprocess.CompletedProcess(command, 1, "", "pg_dump: error: connection to server failed")

    monkeypatch.setattr(subprocess, "run", record)
    with pytest.raises(SpressoError, match="catalog_unreachable") as caught:
        postgres_dump.dump(where, Path("x.dump"))
    assert "CANARY" not in " ".join([*seen, str(caught.value)])


def test_missing_programs_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda program: None)
    with pytest.raises(SpressoError, match=r"postgres_tools_missing.*pg_dump.*postgresql-client"):
        postgres_dump.dump(locate("postgresql://db/sounds"), Path("x.dump"))


def test_names_tell_the_time_and_stay_beside_the_file(tmp_path: Path) -> None:
    name = backup_name(Location(path=tmp_path / "catalog.db"))
    assert name.parent == tmp_path and name.name.startswith("catalog-backup-20") and name.suffix == ".db"
