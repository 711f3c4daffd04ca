"""What `spresso doctor` looks at. Each check finds facts or one problem; a check that cannot run is a problem too."""

from __future__ import annotations

import shutil
import sqlite3
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spresso_assets.cli.format import size
from spresso_assets.errors import SpressoError

if TYPE_CHECKING:
    from spresso_assets.catalog.engine import Catalog
    from spresso_assets.cli.state import State

# SQLite before this release can damage a WAL database when two processes write and checkpoint at the same moment.
SQLITE_WAL_FIX = (3, 51, 3)
LOW_DISK_BYTES = 1_000_000_000


class Level(Enum):
    """How much a finding matters."""

    OK = "ok"
    NOTE = "note"
    PROBLEM = "PROBLEM"


@dataclass(frozen=True)
class Finding:
    """One line of the report."""

    level: Level
    about: str
    message: str
    hint: str = ""
    code: str = ""

    def record(self) -> dict[str, Any]:
        """JSON form."""
        return {
            "level": self.level.value.lower(),
            "about": self.about,
            "message": self.message,
            "hint": self.hint,
            "code": self.code,
        }


def run_checks(state: State) -> list[Finding]:
    """All checks in the order in which a person would want to mend things."""
    findings = [_versions()]
    catalog: Catalog | None = None
    try:
        catalog = state.catalog()
        findings.append(Finding(Level.OK, "catalog", f"{catalog.location.shown}, schema {catalog.revision()}"))
    except SpressoError as error:
        findings.append(_problem("catalog", error))
    checks: list[tuple[str, Callable[[], Iterator[Finding]]]] = [
        ("model", lambda: _model(state)),
        ("broker", lambda: _broker(state)),
    ]
    if catalog is not None:
        opened = catalog
        checks += [
            ("database", lambda: _database(opened)),
            ("roots", lambda: _roots(opened)),
            ("jobs", lambda: _jobs(opened)),
        ]
    for about, check in checks:
        try:
            findings += check()
        except SpressoError as error:
            findings.append(_problem(about, error))
    return findings


def _problem(about: str, error: SpressoError) -> Finding:
    return Finding(Level.PROBLEM, about, error.message, error.hint, error.code)


def _versions() -> Finding:
    from spresso_assets import __version__

    fixed = sqlite3.sqlite_version_info >= SQLITE_WAL_FIX
    message = f"spresso {__version__}, Python {sys.version.split()[0]}, SQLite {sqlite3.sqlite_version}"
    if fixed:
        return Finding(Level.OK, "versions", message)
    hint = "This SQLite is safe with one writing program at a time; for several, use Postgres or SQLite 3.51.3."
    return Finding(Level.NOTE, "versions", message, hint, "sqlite_wal_reset")


def _database(catalog: Catalog) -> Iterator[Finding]:
    path = catalog.location.path
    if path is None:
        return
    with catalog.read() as session:
        answer = session.connection().exec_driver_sql("PRAGMA quick_check(1)").scalar_one()
    if answer == "ok":
        yield Finding(Level.OK, "database", f"{size(path.stat().st_size)}, quick check passed")
    else:
        yield Finding(Level.PROBLEM, "database", str(answer), "Restore a backup.", "catalog_damaged")
    free = shutil.disk_usage(path.parent).free
    if free < LOW_DISK_BYTES:
        yield Finding(Level.PROBLEM, "disk", f"{size(free)} free", "Free some space.", "disk_low")
    else:
        yield Finding(Level.OK, "disk", f"{size(free)} free")


def _model(state: State) -> Iterator[Finding]:
    from spresso_assets.codec.bundle import read_config, weights_hash

    folder = state.bundle_dir()
    config, facts = read_config(folder)
    digest = weights_hash(folder)
    if digest == facts.get("weights_sha256"):
        yield Finding(Level.OK, "model", f"{config.name}, weights {digest[:12]}")
    else:
        message = f"the weights in {folder} are not those that its config names"
        yield Finding(Level.PROBLEM, "model", message, "Install the bundle again.", "weights_mismatch")


def _roots(catalog: Catalog) -> Iterator[Finding]:
    from spresso_assets.ingest.roots import list_roots

    with catalog.read() as session:
        summaries = list_roots(session)
    if not summaries:
        yield Finding(Level.NOTE, "roots", "no root yet", "Add one: spresso ingest FOLDER.")
    for summary in summaries:
        root = summary.root
        about = f"root {root.name}"
        total = sum(summary.files.values())
        if not Path(root.path).is_dir():
            hint = f"Mount it, or: spresso root pause {root.name}."
            yield Finding(Level.PROBLEM, about, f"{root.path} is not there ({total} files)", hint, "root_offline")
        elif root.state == "paused":
            yield Finding(Level.NOTE, about, "paused", f"spresso root resume {root.name}")
        else:
            yield Finding(Level.OK, about, f"{total} files, noticed by {root.backend}")
    limit = Path("/proc/sys/fs/inotify/max_user_watches")
    if any(summary.root.backend == "native" for summary in summaries) and limit.exists():
        yield Finding(Level.OK, "file events", f"up to {limit.read_text().strip()} folders can be watched")


def _jobs(catalog: Catalog) -> Iterator[Finding]:
    from sqlalchemy import func
    from sqlmodel import col, select

    from spresso_assets.catalog.models import Job, QueuePause

    with catalog.read() as session:
        counts = dict(session.exec(select(Job.status, func.count()).group_by(col(Job.status))).all())
        paused = session.exec(select(QueuePause)).all()
    shown = ", ".join(f"{number} {status}" for status, number in sorted(counts.items())) or "none yet"
    failed = counts.get("failed", 0)
    hint = "See 'spresso jobs list --status failed'." if failed else ""
    yield Finding(Level.NOTE if failed else Level.OK, "jobs", shown, hint, "jobs_failed" if failed else "")
    for pause in paused:
        hint = f"When it is mended: spresso jobs resume {pause.queue}."
        yield Finding(Level.PROBLEM, f"queue {pause.queue}", f"paused: {pause.reason}", hint, "queue_paused")


def _broker(state: State) -> Iterator[Finding]:
    url = state.settings.broker_url
    if url is None:
        yield Finding(Level.OK, "broker", "none: work is done by the command itself")
        return
    import redis

    try:
        redis.Redis.from_url(url.get_secret_value(), socket_timeout=2, socket_connect_timeout=2).ping()
    except (redis.RedisError, ValueError) as error:
        hint = "Start Redis, or unset broker_url to work without it."
        yield Finding(Level.PROBLEM, "broker", f"no answer: {type(error).__name__}", hint, "broker_unreachable")
    else:
        yield Finding(Level.OK, "broker", "Redis answers")
