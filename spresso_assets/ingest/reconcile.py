"""Bring the catalog's picture of a root up to date with the disk. A scan is the truth; everything else is a hint.

A scan looks first and decides then. Looking goes folder by folder outside of any transaction and notes what differs
(`looking`); when everything has been seen, moves are recognised (`moves`), a share that is half mounted is told from an
archive that was cleaned up (`guard` below), and only then is anything written (`applying`). Memory does not grow with
the archive, and a scan that was killed goes on where it stopped (`runs`).

Nothing is removed because it is absent. A vanished file is marked `missing`; when too many vanish at once, not even
that: a share that is half mounted looks exactly like an archive that somebody emptied.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import delete, func, select, update
from sqlmodel import Session, col

from spresso_assets.catalog.columns import now_us
from spresso_assets.catalog.models import ScanFind, ScanFolder, ScanStep, SourceFile, WatchRoot
from spresso_assets.errors import SpressoError
from spresso_assets.ingest import runs
from spresso_assets.ingest.applying import Apply, Decider
from spresso_assets.ingest.difference import ABSENT, exceeds
from spresso_assets.ingest.folders import adopt_files
from spresso_assets.ingest.freeze import freeze_parts, freeze_root, thaw
from spresso_assets.ingest.globs import Rules
from spresso_assets.ingest.looking import Look
from spresso_assets.ingest.mounts import mounts_inside, silent_parts
from spresso_assets.ingest.moves import match_moves
from spresso_assets.ingest.report import Report
from spresso_assets.ingest.roots import rules_of
from spresso_assets.ingest.runs import Run
from spresso_assets.ingest.scan import Problem, offline, require_root, walk

if TYPE_CHECKING:
    from spresso_assets.catalog.engine import Catalog

__all__ = ["ReadyHook", "Report", "outermost", "preview", "reconcile"]

ReadyHook = Callable[["Session", SourceFile], object]


def reconcile(
    catalog: Catalog,
    root_id: int,
    on_ready: ReadyHook,
    *,
    under: str | Iterable[str] = "",
    quick: bool = False,
    settle_s: float | None = None,
    accept_removals: bool = False,
    patient: bool = False,
    dry_run: bool = False,
    patience_s: float = 60.0,
    clock: Callable[[], float] = time.time,
) -> Report:
    """Compare one root, or parts of it, with the catalog and write the difference.

    Args:
        catalog: the open catalog.
        root_id: row id of the `watch_root`.
        on_ready: called with session and row for every file that may be read now, inside the transaction.
        under: folder or file relative to the root, or several of them; '' for all of it.
        quick: skip folders whose own time has not changed. A file that was written to in place, keeping its name, is
            then only noticed if it was unfinished or unreadable before.
        settle_s: quiet time instead of the root's own.
        accept_removals: mark vanished files as missing however many they are.
        patient: wait for young files that look unfinished from the inside, instead of having them read and refused.
        dry_run: find out and report, change nothing.
        patience_s: how long to wait for another scan of this root to end.
        clock: seconds since 1970.

    Raises:
        SpressoError: `root_offline` when the root is not there, or is empty and was not; its files are frozen then.
            `abort_cap` when more files vanished than a working share can lose; nothing was changed. `scan_running`.
    """
    with catalog.read() as session:
        root = session.get_one(WatchRoot, root_id)
    path, rules = Path(root.path), rules_of(root)
    try:
        require_root(path)
    except SpressoError:
        if not dry_run:
            with catalog.session() as session:
                freeze_root(session, root_id)
        raise
    adopt_files(catalog, root_id)
    run = runs.begin(catalog, root_id, outermost(under), quick=quick, dry_run=dry_run, patience_s=patience_s)
    report = Report(root.name, dry_run, run.quick, run.resumed)
    report.take_summary(run.summary)
    silent = silent_parts(mounts_inside(path, root.mode))
    decide = Decider(path, root.settle_s if settle_s is None else settle_s, clock, patient, silent)
    try:
        if run.state == "looking":
            Look(catalog, run, path, rules, report, accept_removals=accept_removals).go()
            with catalog.session() as session:
                _conclude(session, run)
                if not accept_removals:
                    _guard(session, run, root, report)
        Apply(catalog, run, path, report, decide, on_ready).go()
        with catalog.session() as session:
            _finish(session, run, path)
    except SpressoError as error:
        if error.code != "scan_taken_over":
            _give_up(catalog, run, error)
        raise
    except BaseException:
        runs.release(catalog, run)
        raise
    return report


def preview(path: Path) -> Report:
    """What a first look at a folder or file that no root holds would find; writes nothing, knows nothing.

    Raises:
        SpressoError: `root_offline` when there is no such path.
    """
    folder, under = (path.resolve(), "") if path.is_dir() else (path.parent.resolve(), path.name)
    found = walk(folder, Rules(), under)
    report = Report(folder.name, dry_run=True)
    report.note("new", *sorted(found.files))
    report.counts["ready"] = len(found.files)
    report.left_out = found.left_out
    for problem in found.problems:
        report.complain(problem)
    return report


def outermost(under: str | Iterable[str]) -> list[str]:
    """Parts of a root without those that lie in another one, sorted."""
    parts: list[str] = []
    # '/' sorts a folder right before what is in it, and not behind 'folder-2'
    for part in sorted({under} if isinstance(under, str) else set(under), key=lambda part: part.split("/")):
        if not parts or not (parts[-1] == "" or part == parts[-1] or part.startswith(parts[-1] + "/")):
            parts.append(part)
    return parts


def _conclude(session: Session, run: Run) -> None:
    """Everything has been seen: recognise moves, and take files out of the freezer that are there again."""
    runs.beat(session, run, state="applying")
    match_moves(session, run.id, run.root_id)
    if not run.dry_run:
        freeze_parts(session, run.root_id, run.id)
        thaw(session, run.root_id, run.id)


def _guard(session: Session, run: Run, root: WatchRoot, report: Report) -> None:
    """Whether what vanished can be believed; the scan ends here, and nothing was changed, if it must end.

    Raises:
        SpressoError: `root_offline`, `abort_cap`.
    """
    f = SourceFile
    connection = session.connection()
    believed = connection.execute(
        select(func.count()).where(col(f.root_id) == run.root_id, col(f.state).not_in(ABSENT))
    ).scalar_one()
    unread = connection.execute(
        select(col(ScanStep.folder_id))
        .where(col(ScanStep.run_id) == run.id, col(ScanStep.state).in_(("unread", "offline")))
        .limit(1)
    ).first()
    if run.whole and report.counts["seen"] == 0 and unread is None and believed > 1:
        raise offline(Path(root.path), f"it is empty, and {believed} sounds were known in it")
    is_gone = (col(ScanFind.run_id) == run.id, col(ScanFind.kind) == "gone")
    vanished = connection.execute(select(func.count()).where(*is_gone)).scalar_one()
    percent = 100 * vanished / max(believed, 1)
    what = f"{vanished} of {believed} files ({percent:.0f} %) vanished"
    hint = f"Check the share; if it is intended: spresso scan {root.name} --accept-removals."
    details = {"vanished": vanished, "known": believed}
    if exceeds(vanished, root.abort_cap, believed):
        hint = f"Nothing was changed. {hint}"
        raise SpressoError(f"{what} from '{root.name}'", code="abort_cap", hint=hint, details=details)
    if exceeds(vanished, root.removal_cap, believed):
        error = SpressoError(
            f"{what}; they are still counted as present", code="removal_cap", hint=hint, details=details
        )
        report.complain(Problem("", error))
        # Their folders have to be looked at again, however quick the next scan is.
        folders = select(col(ScanFind.folder_id)).where(*is_gone)
        connection.execute(
            update(ScanStep)
            .where(col(ScanStep.run_id) == run.id, col(ScanStep.folder_id).in_(folders))
            .values(mtime_ns=None, state="unread")
        )
        connection.execute(delete(ScanFind).where(*is_gone))


def _finish(session: Session, run: Run, path: Path) -> None:
    """Remember what the folders looked like, and close the run."""
    if run.dry_run:
        runs.end(session, run, "done")
        return
    f, s = ScanFolder.__table__, ScanStep.__table__  # type: ignore[attr-defined]
    of_run = (s.c.run_id == run.id, s.c.folder_id == f.c.id)
    connection = session.connection()
    now = now_us()
    connection.execute(
        update(f)
        .where(*of_run, s.c.state == "listed")
        .values(
            mtime_ns=s.c.mtime_ns,
            inode=s.c.inode,
            dev=s.c.dev,
            is_mount=s.c.is_mount,
            files=s.c.files,
            is_there=True,
            listed_at=now,
        )
    )
    connection.execute(update(f).where(*of_run, s.c.state.in_(("unread", "offline"))).values(mtime_ns=None))
    connection.execute(update(f).where(*of_run, s.c.state.in_(("gone", "twice"))).values(mtime_ns=None, is_there=False))
    root = session.get_one(WatchRoot, run.root_id)
    if run.whole:
        root.last_scan_at = now
        root.device_id = os.stat(path).st_dev
        if root.state == "offline":
            root.state = "active"
        if not run.quick:
            root.last_full_scan_at, root.full_scan_s = now, (now - run.started_at) / 1e6
    runs.end(session, run, "done")


def _give_up(catalog: Catalog, run: Run, error: SpressoError) -> None:
    with catalog.session() as session:
        if error.code == "root_offline" and not run.dry_run:
            freeze_root(session, run.root_id)
        runs.end(session, run, "failed", error.code)
