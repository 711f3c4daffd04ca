"""Scans as rows: one at a time per root, resumed when its process died, forgotten when it is done.

A whole scan of a large share takes long, and processes get killed. What a run has seen is in `scan_step` and
`scan_find`, written together folder by folder; whoever begins the same scan next goes on from there.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import delete, select, update
from sqlmodel import Session, col

from spresso_assets.catalog.columns import now_us
from spresso_assets.catalog.engine import Catalog
from spresso_assets.catalog.models import ScanFind, ScanRun, ScanStep, WatchRoot
from spresso_assets.catalog.owner import is_gone, new_owner
from spresso_assets.errors import ExitCode, FaultKind, SpressoError

# A run whose process cannot be asked (another machine) counts as dead after this long without a beat.
SILENT_S = 120.0
# What was seen longer ago than this is seen again rather than believed.
STALE_S = 3600.0
RETRY_S = 0.25
KEPT = 20  # finished whole scans of a root that are kept for people to look at
LIVE = ("looking", "applying")


@dataclass
class Run:
    """A run that this process holds.

    Attributes:
        parts: what it covers, relative to the root; [''] is all of it.
        quick: folders that have not changed are skipped.
        resumed: it was begun by a process that died.
    """

    id: int
    root_id: int
    parts: list[str]
    quick: bool
    dry_run: bool
    owner: str
    state: str
    started_at: int
    summary: dict[str, Any]
    resumed: bool = False

    @property
    def whole(self) -> bool:
        return self.parts == [""]


def begin(
    catalog: Catalog, root_id: int, parts: Sequence[str], *, quick: bool, dry_run: bool, patience_s: float
) -> Run:
    """Start a scan, or take over the same one of a dead process.

    Args:
        parts: folders or files relative to the root, none inside of another; [''] for all of it.
        patience_s: how long to wait for another scan of the root to end.

    Raises:
        SpressoError: `scan_running` (retryable, exit code 11).
    """
    deadline = time.monotonic() + patience_s
    while True:
        with catalog.session() as session:
            found = _begin(session, root_id, list(parts), quick, dry_run)
        if isinstance(found, Run):
            return found
        if time.monotonic() >= deadline:
            raise _running(catalog, root_id, found)
        time.sleep(min(RETRY_S, max(deadline - time.monotonic(), 0.0)))


def _begin(session: Session, root_id: int, parts: list[str], quick: bool, dry_run: bool) -> Run | ScanRun:
    # Locks the root's row on a server; SQLite has let nobody else write since this transaction began.
    session.connection().execute(select(col(WatchRoot.id)).where(col(WatchRoot.id) == root_id).with_for_update())
    now = now_us()
    live = session.execute(
        select(ScanRun).where(col(ScanRun.root_id) == root_id, col(ScanRun.state).in_(LIVE))
    ).scalars()
    for row in live.all():
        if row.owner and now - row.heartbeat_at < SILENT_S * 1e6 and not is_gone(row.owner):
            return row
        fresh = now - row.heartbeat_at < STALE_S * 1e6
        if fresh and not dry_run and not row.dry_run and row.parts == parts and (row.quick == quick or not row.quick):
            row.owner, row.heartbeat_at, row.resumed = new_owner(), now, row.resumed + 1
            session.add(row)
            return _held(row, resumed=True)
        # An interrupted scan of the whole root may still be resumed after a look at some part of it.
        if parts == [""] or row.parts != [""] or not fresh:
            _end(session, row.id or 0, "abandoned", None)
    row = ScanRun(root_id=root_id, parts=parts, quick=quick, dry_run=dry_run, owner=new_owner(), started_at=now)
    session.add(row)
    session.flush()
    return _held(row)


def _held(row: ScanRun, *, resumed: bool = False) -> Run:
    assert row.id is not None
    return Run(
        row.id, row.root_id, list(row.parts), row.quick, row.dry_run, row.owner, row.state, row.started_at,
        dict(row.summary), resumed,
    )  # fmt: skip


def beat(session: Session, run: Run, **values: Any) -> None:
    """Say that the run lives, in the transaction of its next result.

    Raises:
        SpressoError: `scan_taken_over` when another process holds it now; the transaction must not be committed.
    """
    found = session.connection().execute(
        update(ScanRun)
        .where(col(ScanRun.id) == run.id, col(ScanRun.owner) == run.owner)
        .values(heartbeat_at=now_us(), **values)
    )
    if found.rowcount != 1:
        raise SpressoError(
            "another process has taken this scan over",
            code="scan_taken_over",
            hint="Nothing to do: it goes on where this one stopped.",
            kind=FaultKind.RETRYABLE,
        )


def release(catalog: Catalog, run: Run) -> None:
    """Let go of a run that was interrupted, so that the next scan resumes it at once."""
    with catalog.session() as session:
        session.connection().execute(
            update(ScanRun).where(col(ScanRun.id) == run.id, col(ScanRun.owner) == run.owner).values(owner="")
        )


def end(session: Session, run: Run, state: str, error_code: str | None = None) -> None:
    """Close a run and forget what it held; whole scans are kept for a while, with their counts."""
    _end(session, run.id, state, error_code)
    if not run.whole or run.dry_run:
        session.connection().execute(delete(ScanRun).where(col(ScanRun.id) == run.id))
        return
    kept = (
        select(col(ScanRun.id)).where(col(ScanRun.root_id) == run.root_id).order_by(col(ScanRun.id).desc()).limit(KEPT)
    )
    last = session.connection().execute(kept).scalars().all()
    oldest = last[-1] or 0
    session.connection().execute(
        delete(ScanRun).where(
            col(ScanRun.root_id) == run.root_id, col(ScanRun.id) < oldest, col(ScanRun.state).not_in(LIVE)
        )
    )


def _end(session: Session, run_id: int, state: str, error_code: str | None) -> None:
    connection = session.connection()
    for table in (ScanFind, ScanStep):
        connection.execute(delete(table).where(col(table.run_id) == run_id))
    connection.execute(
        update(ScanRun)
        .where(col(ScanRun.id) == run_id)
        .values(state=state, error_code=error_code, finished_at=now_us(), owner="")
    )


def _running(catalog: Catalog, root_id: int, row: ScanRun) -> SpressoError:
    with catalog.read() as session:
        name = session.get_one(WatchRoot, root_id).name
    return SpressoError(
        f"another scan of '{name}' is at work ({row.files} files so far)",
        code="scan_running",
        hint="It ends by itself; then run this again.",
        exit_code=ExitCode.CATALOG_LOCKED,
        kind=FaultKind.RETRYABLE,
    )
