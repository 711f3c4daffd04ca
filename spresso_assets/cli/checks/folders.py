"""The roots: there, looked at lately, and within what the system can watch."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from spresso_assets.cli.checks.finding import Finding, Level
from spresso_assets.cli.format import length

if TYPE_CHECKING:
    from sqlmodel import Session

    from spresso_assets.catalog.engine import Catalog
    from spresso_assets.catalog.models import WatchRoot

OVERDUE_S = 86_400.0
WATCHES_SHARE = 0.8
# The second of each pair counts in containers with a user namespace of their own.
LIMITS = {
    "watches": ("/proc/sys/fs/inotify/max_user_watches", "/proc/sys/user/max_inotify_watches"),
    "instances": ("/proc/sys/fs/inotify/max_user_instances", "/proc/sys/user/max_inotify_instances"),
}


def check(catalog: Catalog) -> Iterator[Finding]:
    from spresso_assets.ingest.roots import list_roots

    with catalog.read() as session:
        summaries = list_roots(session)
        native = [summary.root for summary in summaries if summary.root.backend == "native"]
        folders = _folders(session, native)
    if not summaries:
        yield Finding(Level.NOTE, "roots", "no root yet", "Add one: spresso ingest FOLDER.", "no_roots")
    for summary in summaries:
        yield _root(summary.root, sum(summary.files.values()))
    if native:
        yield from _events(folders)


def _root(root: WatchRoot, files: int) -> Finding:
    about = f"root {root.name}"
    if root.state == "paused":
        by = f" by {root.paused_by}" if root.paused_by else ""
        why = f": {root.pause_reason}" if root.pause_reason else ""
        return Finding(Level.NOTE, about, f"paused{by}{why}", f"spresso root resume {root.name}", "root_paused")
    if not Path(root.path).is_dir():
        hint = f"Mount it, or: spresso root pause {root.name}."
        return Finding(Level.PROBLEM, about, f"{root.path} is not there ({files} files)", hint, "root_offline")
    noticed = {"native": "noticed by events", "poll": "scanned regularly", "scan": "scanned on request"}
    message = f"{files} files, {noticed.get(root.backend or '', 'never looked at')}"
    scanned = f", last scan {_ago(root.last_scan_at)} ago" if root.last_scan_at else ""
    event = f", last event {_ago(root.last_event_at)} ago" if root.last_event_at else ""
    late = root.mode != "scan" and (root.last_scan_at is None or _age(root.last_scan_at) > OVERDUE_S)
    if late and root.last_scan_at is not None:
        hint = f"Is 'spresso watch' running? Or: spresso scan {root.name}."
        return Finding(Level.NOTE, about, message + scanned + event, hint, "scan_overdue")
    return Finding(Level.OK, about, message + scanned + event)


def _events(folders: int) -> Iterator[Finding]:
    limits = {name: _limit(paths) for name, paths in LIMITS.items()}
    watches, instances = limits["watches"], limits["instances"]
    if watches is None:
        return
    message = f"{folders} folders to watch, {watches} can be" + (f", by {instances} programs" if instances else "")
    if folders > WATCHES_SHARE * watches or (instances is not None and instances < 8):
        hint = f"sysctl fs.inotify.max_user_watches={max(524_288, 4 * folders)} fs.inotify.max_user_instances=1024; "
        hint += "until then everything is found by scans."
        yield Finding(Level.PROBLEM, "file events", message, hint, "inotify_limit")
    else:
        yield Finding(Level.OK, "file events", message)


def _limit(paths: tuple[str, ...]) -> int | None:
    found = []
    for path in paths:
        try:
            found.append(int(Path(path).read_text(encoding="ascii")))
        except (OSError, ValueError):
            continue
    return min(found, default=None)


def _folders(session: Session, roots: list[WatchRoot]) -> int:
    from sqlmodel import col, func, select

    from spresso_assets.catalog.models import ScanFolder

    statement = select(func.count()).where(col(ScanFolder.root_id).in_([root.id for root in roots]))
    return session.exec(statement.where(col(ScanFolder.is_there))).one()


def _age(us: int) -> float:
    return max(0.0, time.time() - us / 1e6)


def _ago(us: int) -> str:
    return length(_age(us))
