"""The database: whole, with room to grow, and of one mind with this machine about the time."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from spresso_assets.cli.checks.finding import Finding, Level
from spresso_assets.cli.format import size

if TYPE_CHECKING:
    from pathlib import Path

    from spresso_assets.catalog.engine import Catalog

LOW_DISK_BYTES = 1_000_000_000
LARGE_LOG_BYTES = 256_000_000  # SQLite folds its log into the file at 4 MB, unless a reader holds it open
CLOCK_NOTE_S, CLOCK_PROBLEM_S = 2.0, 30.0  # a lease is two minutes
CONNECTIONS_SHARE = 0.8


def check(catalog: Catalog) -> Iterator[Finding]:
    path = catalog.location.path
    yield from _sqlite(catalog, path) if path is not None else _postgres(catalog)
    yield from _backups(path)


def _sqlite(catalog: Catalog, path: Path) -> Iterator[Finding]:
    with catalog.read() as session:
        answer = session.connection().exec_driver_sql("PRAGMA quick_check(1)").scalar_one()
    if answer == "ok":
        yield Finding(Level.OK, "database", f"{size(path.stat().st_size)}, quick check passed")
    else:
        hint = "Restore a backup: spresso db restore BACKUP."
        yield Finding(Level.PROBLEM, "database", str(answer), hint, "catalog_damaged")
    log = path.with_name(path.name + "-wal")
    if log.exists() and log.stat().st_size > LARGE_LOG_BYTES:
        message = f"the write-ahead log has {size(log.stat().st_size)}: a program has been reading for long"
        yield Finding(Level.NOTE, "database", message, "spresso doctor --fix folds it in.", "wal_large")
    free = shutil.disk_usage(path.parent).free
    if free < LOW_DISK_BYTES:
        yield Finding(Level.PROBLEM, "disk", f"{size(free)} free", "Free some space.", "disk_low")
    else:
        yield Finding(Level.OK, "disk", f"{size(free)} free")


def _postgres(catalog: Catalog) -> Iterator[Finding]:
    from spresso_assets.catalog.engine import database_now

    with catalog.read() as session:
        ask = session.connection().exec_driver_sql
        version = str(ask("SHOW server_version").scalar_one()).split()[0]
        used = int(ask("SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'").scalar_one())
        most = int(ask("SHOW max_connections").scalar_one())
        bytes_ = int(ask("SELECT pg_database_size(current_database())").scalar_one())
        trigrams = ask("SELECT 1 FROM pg_indexes WHERE indexname = 'ix_asset_text_everything'").first()
        before = time.time()
        there = database_now(session) / 1e6
        ahead = there - (before + time.time()) / 2
    message = f"Postgres {version}, {size(bytes_)}, {used} of {most} connections"
    if used > CONNECTIONS_SHARE * most:
        hint = "Raise max_connections of the server, or run fewer workers."
        yield Finding(Level.PROBLEM, "database", message, hint, "connections_low")
    else:
        yield Finding(Level.OK, "database", message)
    if trigrams is None:
        hint = "As a superuser: CREATE EXTENSION pg_trgm; then: spresso db upgrade --reindex."
        message = "no trigram index: words inside of words are found slowly"
        yield Finding(Level.NOTE, "search", message, hint, "no_trigrams")
    if abs(ahead) < CLOCK_NOTE_S:
        yield Finding(Level.OK, "clock", f"{1000 * abs(ahead):.0f} ms from the database's")
    else:
        level = Level.PROBLEM if abs(ahead) > CLOCK_PROBLEM_S else Level.NOTE
        message = f"this machine is {abs(ahead):.0f} s {'behind' if ahead > 0 else 'ahead of'} the database"
        yield Finding(level, "clock", message, "Set both by NTP.", "clock_differs")


def _backups(path: Path | None) -> Iterator[Finding]:
    """Only files beside the catalog can be seen from here; servers are backed up in many ways."""
    if path is None:
        return
    made = [file.stat().st_mtime for file in path.parent.glob(f"{path.stem}-backup-*{path.suffix}")]
    if made:
        days = (time.time() - max(made)) / 86_400
        yield Finding(Level.OK, "backup", f"the newest beside the catalog is {days:.0f} days old")
    else:
        yield Finding(Level.OK, "backup", "none beside the catalog: spresso db backup makes one")
