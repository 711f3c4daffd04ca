"""A copy of the whole catalog, and the way back. Either is there as a whole or not at all, whenever it is killed.

SQLite is copied page by page through its own online backup, from one snapshot, while others read and write. The way
back runs the other way round, inside one transaction of the catalog: programs that have it open see the old content or
the new one. Postgres has its own programs for both; see `postgres_dump`.
"""

import os
import shutil
import sqlite3
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from spresso_assets.catalog import postgres_dump
from spresso_assets.catalog.columns import iso_utc, now_us
from spresso_assets.catalog.faults import BUSY_TIMEOUT_MS, describe_fault
from spresso_assets.catalog.location import Location, check_revision, refuse_network_file_system
from spresso_assets.catalog.revision import HEAD, known_revisions
from spresso_assets.errors import ExitCode, FaultKind, SpressoError

PAGES_PER_STEP = 2048  # 8 MB: often enough for a progress bar, and for Ctrl-C

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Copy:
    """A backup: its file, size in bytes, and the schema of what is in it."""

    path: Path
    bytes: int
    revision: str | None


def backup_name(location: Location, label: str = "backup") -> Path:
    """Where a backup goes unless told otherwise: beside the file, or here, with the time in its name."""
    stamp = iso_utc(now_us()).replace(":", "").replace("-", "")
    first = Path(f"{location.shown.rpartition('/')[2] or 'spresso'}-{label}-{stamp}.dump")
    if location.path is not None:
        first = location.path.with_name(f"{location.path.stem}-{label}-{stamp}{location.path.suffix}")
    free, number = first, 1
    while free.exists():
        number += 1
        free = first.with_stem(f"{first.stem}-{number}")
    return free


def back_up(location: Location, target: Path, on_progress: Progress = lambda done, total: None) -> Copy:
    """Copy a catalog into one file, which is checked before it gets its name.

    Args:
        location: an existing catalog of any schema.
        target: must not exist.
        on_progress: told pages done and pages in all (SQLite only).

    Raises:
        SpressoError: ``target_exists``, ``cannot_write``, ``disk_full``, ``catalog_damaged``, ``not_a_catalog``,
            ``postgres_tools_missing``, ``backup_failed``.
    """
    if target.exists():
        raise SpressoError(f"{target} exists already", code="target_exists", hint="Choose another name")
    if location.path is None:
        with _named_when_whole(target) as part:
            postgres_dump.dump(location, part)
        return Copy(target, target.stat().st_size, postgres_dump.revision_of(target))
    with _named_when_whole(target) as part:
        _require_space(target.parent, location.path)
        with _opened(location.path, location.shown) as source:
            # one snapshot: a writer in the middle would otherwise make the copy begin again, for ever on a busy day
            source.execute("BEGIN")
            source.execute("SELECT count(*) FROM sqlite_master").fetchone()
            with closing(sqlite3.connect(part, isolation_level=None)) as copy, _told(f"the copy {part}"):
                source.backup(copy, pages=PAGES_PER_STEP, progress=_progress(on_progress))
                copy.execute("PRAGMA journal_mode=DELETE")  # one file, which a read-only disk can serve too
                check_whole(copy, str(target))
                revision = revision_in(copy)
    return Copy(target, target.stat().st_size, revision)


def restore(
    source: Path,
    location: Location,
    on_progress: Progress = lambda done, total: None,
    *,
    dry_run: bool = False,
) -> Path | None:
    """Make a catalog what a backup says it was.

    What was there is backed up first. A file that cannot even be copied, because it is damaged, is moved aside.

    Returns:
        where the former catalog is now; None if there was none.

    Raises:
        SpressoError: ``file_missing``, ``not_a_backup``, ``db_newer``, ``catalog_damaged`` (of the backup, before
            anything is touched), and what `back_up` raises.
    """
    if not source.is_file():
        raise SpressoError(
            f"There is no file {source}", code="file_missing", hint="Check the name", exit_code=ExitCode.NOT_FOUND
        )
    if location.path is None:
        _check_backup_revision(postgres_dump.revision_of(source), source)
        former = backup_name(location, "before-restore") if postgres_dump.has_catalog(location) else None
        if not dry_run:
            if former is not None:
                back_up(location, former)
            postgres_dump.load(source, location)
        return former
    with _opened(source, str(source), code="not_a_backup") as backup:
        check_whole(backup, str(source))
        _check_backup_revision(revision_in(backup), source)
        refuse_network_file_system(location.path)
        path = location.path
        if not path.exists():
            if not dry_run:
                path.parent.mkdir(parents=True, exist_ok=True)
                with _named_when_whole(path) as part, closing(sqlite3.connect(part)) as copy, _told(str(path)):
                    backup.backup(copy, pages=PAGES_PER_STEP, progress=_progress(on_progress))
            return None
        former = backup_name(location, "before-restore")
        if dry_run:
            return former
        try:
            back_up(location, former)
        except SpressoError as error:
            if error.code not in ("not_a_catalog", "catalog_damaged"):
                raise
            _move_aside(path, former)
            restore(source, location, on_progress)
            return former
        with _opened(path, location.shown, readonly=False) as target:
            backup.backup(target, pages=PAGES_PER_STEP, progress=_progress(on_progress))
            target.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return former


def revision_in(connection: sqlite3.Connection) -> str | None:
    """Schema of a SQLite catalog, None if it has none."""
    if connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'alembic_version'").fetchone() is None:
        return None
    row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    return None if row is None else str(row[0])


def check_whole(connection: sqlite3.Connection, shown: str) -> None:
    """Raise ``catalog_damaged`` unless SQLite finds its file in order."""
    answer = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    if answer != "ok":
        raise SpressoError(
            f"{shown} is damaged: {answer}",
            code="catalog_damaged",
            hint="Restore a backup: spresso db restore FILE",
            kind=FaultKind.ENVIRONMENT,
        )


def _check_backup_revision(found: str | None, source: Path) -> None:
    if found is None:
        raise SpressoError(f"{source} holds no catalog", code="not_a_backup", hint="Name a file of 'spresso db backup'")
    if found not in known_revisions():
        check_revision(found, HEAD, known_revisions(), str(source))


def _progress(told: Progress) -> Callable[[int, int, int], None]:
    return lambda _status, remaining, total: told(total - remaining, total)


@contextmanager
def _opened(
    path: Path, shown: str, *, readonly: bool = True, code: str = "not_a_catalog"
) -> Iterator[sqlite3.Connection]:
    """A SQLite file; its complaints become errors that say what to do."""
    uri = f"{path.absolute().as_uri()}?mode={'ro' if readonly else 'rw'}"
    timeout = BUSY_TIMEOUT_MS / 1000
    with (
        _told(shown, code),
        closing(sqlite3.connect(uri, uri=True, timeout=timeout, isolation_level=None)) as opened,
    ):
        yield opened


@contextmanager
def _told(shown: str, code: str = "not_a_catalog") -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        known = describe_fault(str(error), Location(path=Path(shown)))
        if known is None:
            raise
        if known.code == "not_a_catalog" and code != known.code:
            known = SpressoError(f"{shown} is no backup: {error}", code=code, hint="Name a file of 'spresso db backup'")
        raise known from error


@contextmanager
def _named_when_whole(target: Path) -> Iterator[Path]:
    """A temporary path beside ``target`` that becomes it, flushed to the disk, when the block ends well."""
    part = target.parent / f".spresso-{uuid.uuid4().hex}.part"
    try:
        yield part
        with part.open("rb+") as file:
            os.fsync(file.fileno())
        part.rename(target)
        folder = os.open(target.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        raise SpressoError(
            f"{target} cannot be written: {error.strerror or error}",
            code="cannot_write",
            hint="Check that the folder exists, may be written to and is not full",
            kind=FaultKind.ENVIRONMENT,
        ) from error
    finally:
        for ending in ("", "-journal", "-wal", "-shm"):
            with suppress(OSError):
                part.with_name(part.name + ending).unlink()


def _require_space(folder: Path, path: Path) -> None:
    needed = sum(file.stat().st_size for file in (path, path.with_name(path.name + "-wal")) if file.exists())
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise SpressoError(
            f"The backup takes {needed / 1e6:.0f} MB, and {folder} has {free / 1e6:.0f} MB free",
            code="disk_full",
            hint="Name another disk",
            kind=FaultKind.ENVIRONMENT,
        )


def _move_aside(path: Path, former: Path) -> None:
    """A damaged file with its log, under the name that its backup would have had."""
    for ending in ("-wal", "-shm", ""):
        with suppress(FileNotFoundError):
            path.with_name(path.name + ending).rename(former.with_name(former.name + ending))
