"""`spresso db` and `spresso gc` as a person uses them; what they do is tested with the catalog."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from tests.cli.conftest import Spresso


def test_backup_and_restore_by_hand(filled: Spresso, tmp_path: Path) -> None:
    copies = tmp_path / "copies"
    copies.mkdir()
    assert filled.ok("db", "backup", copies, "--dry-run", "--json").data["dry_run"] is True
    assert not list(copies.iterdir())
    made = Path(filled.ok("db", "backup", copies, "--json").data["backup"])
    assert made.parent == copies and filled("db", "backup", made).code == 1, "never over another file"
    with closing(sqlite3.connect(tmp_path / "catalog.db")) as connection, connection:
        connection.execute("DELETE FROM asset_text")
    assert filled("search", "door").code == 4
    assert filled("db", "restore", made, "--json").json["error"]["code"] == "not_confirmed", "nobody to ask here"
    former = filled.ok("db", "restore", made, "--dry-run", "--json").data["former"]
    assert not Path(former).exists() and filled("search", "door").code == 4
    former = filled.ok("db", "restore", made, "--yes", "--json").data["former"]
    assert Path(former).exists() and len(filled.ok("search", "door", "--json").data) == 2


def test_restore_where_nothing_is(filled: Spresso, tmp_path: Path) -> None:
    made = filled.ok("db", "backup", "--json").data["backup"]
    new = tmp_path / "far" / "away.db"
    filled.ok("db", "restore", made, "--catalog", new)
    assert len(filled.ok("search", "door", "--catalog", new, "--json").data) == 2


def test_info_counts_and_finds_backups(filled: Spresso) -> None:
    made = filled.ok("db", "backup", "--json").data["backup"]
    found = filled.ok("db", "info", "--sizes", "--json").data
    rows = {table["name"]: table["rows"] for table in found["tables"]}
    assert (rows["asset"], rows["rendition"], rows["source_file"]) == (3, 3, 3)
    assert found["backups"] == [made] and found["revision"] == found["head"]
    assert sum(table["bytes"] or 0 for table in found["tables"]) <= found["bytes"]
    assert "none beside it" not in filled.ok("db", "info").out


def test_upgrade_and_reindex(filled: Spresso, tmp_path: Path) -> None:
    assert "already" in filled.ok("db", "upgrade").out
    with closing(sqlite3.connect(tmp_path / "catalog.db")) as connection, connection:
        connection.execute("DELETE FROM asset_text")
    assert filled.ok("db", "upgrade", "--reindex", "--json").data["indexed"] == 3
    assert len(filled.ok("search", "door", "--json").data) == 2


def test_gc_asks_for_yes(filled: Spresso, tmp_path: Path) -> None:
    assert "nothing to remove" in filled.ok("gc").out
    with closing(sqlite3.connect(tmp_path / "catalog.db")) as connection, connection:
        connection.execute("INSERT INTO tag (name, name_key) VALUES ('x', 'x')")
    for options in ((), ("--dry-run",), ("--yes", "--dry-run")):
        shown = {item["name"]: item for item in filled.ok("gc", *options, "--json").data}
        assert shown["tags"]["rows"] == 1 and shown["tags"]["removed"] is False
    assert "spresso db backup" in filled.ok("gc").out
    filled.ok("gc", "--yes")
    assert "nothing to remove" in filled.ok("gc").out
    assert filled("gc", "--grace", "soon").code == 2
    assert len(filled.ok("search", "door", "--json").data) == 2
