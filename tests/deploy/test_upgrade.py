"""The pages on backup and upgrade, done step by step with the real program on SQLite and on Postgres."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic import command

from spresso_assets.catalog.engine import open_catalog
from spresso_assets.catalog.upgrade import migration_config
from tests.catalog.conftest import new_database, postgres_programs, postgres_server
from tests.cli.conftest import Spresso, make_sounds
from tests.cli.conftest import spresso as spresso

__all__ = ["postgres_server"]

OLD = "0002"


@pytest.fixture(params=["sqlite", "postgres"])
def catalog_url(
    request: pytest.FixtureRequest, spresso: Spresso, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[str]:
    """Where the catalog of this test will be; the program uses it, and runs in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    if request.param == "sqlite":
        yield os.environ["SPRESSO_CATALOG"]
        return
    with new_database(request.getfixturevalue("postgres_server")) as url:
        monkeypatch.setenv("SPRESSO_CATALOG", url)
        monkeypatch.setenv("PATH", f"{postgres_programs()}{os.pathsep}{os.environ['PATH']}")
        yield url


def set_back(catalog_url: str, revision: str) -> None:
    """Make the catalog look as an older version left it."""
    catalog = open_catalog(catalog_url)
    config = migration_config()
    with catalog.engine.begin() as connection:
        config.attributes["connection"] = connection
        command.downgrade(config, revision)
    catalog.close()


def test_backup_upgrade_and_the_way_back(spresso: Spresso, catalog_url: str, tmp_path: Path) -> None:
    sounds, kept = tmp_path / "sfx", tmp_path / "kept"
    kept.mkdir()
    make_sounds(sounds, ["Doors/wooden.wav", "Doors/metal.wav", "Rain/roof.wav"])
    spresso.ok("init")
    spresso.ok("ingest", sounds)

    def encoded() -> int:
        return int(spresso.ok("stats", "--json").data["encoded"])

    def refused() -> bool:
        told = spresso("stats")
        return told.code == 11 and "db_needs_upgrade" in told.err

    assert encoded() == 3
    set_back(catalog_url, OLD)
    assert refused(), "a new program leaves old tables alone"

    # 1. Back up: works with the old tables, before anything is changed.
    backup = Path(spresso.ok("db", "backup", kept, "--json").data["backup"])
    assert backup.parent == kept and backup.stat().st_size > 0
    # 4. Upgrade; what it would do is said first.
    assert spresso.ok("db", "upgrade", "--dry-run", "--json").data["from"] == OLD
    assert refused()
    upgraded = spresso.ok("db", "upgrade", "--json").data
    assert upgraded["from"] == OLD and Path(upgraded["backup"]).is_file()
    assert encoded() == 3

    # Work goes on with the new version ...
    make_sounds(sounds, ["Rain/late.wav"], seconds=0.4)
    spresso.ok("ingest", sounds)
    (late,) = spresso.ok("search", "late", "--json").data

    # ... and is rolled back: the backup holds the old tables, which the new program refuses and the old one takes.
    spresso.ok("db", "restore", backup, "--dry-run")
    assert encoded() == 4, "a dry run changes nothing"
    restored = spresso.ok("db", "restore", backup, "--yes", "--json").data
    assert Path(restored["former"]).is_file(), "what was there is kept"
    assert refused()

    # Forward again: the same upgrade works on what was restored, and a scan finds what came in meanwhile.
    assert spresso.ok("db", "upgrade", "--json").data["from"] == OLD
    assert encoded() == 3
    spresso.ok("ingest", sounds)
    (found,) = spresso.ok("search", "late", "--json").data
    assert found["uid"] == late["uid"], "the same sound has the same id"
    assert encoded() == 4
