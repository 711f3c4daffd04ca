"""Files of a share that is away: frozen as `offline`, back as they were. Nothing else of the catalog changes.

`offline` is not `missing`: nobody knows anything about these files, so nothing is decided about them. Jobs that want
to read them wait, and no attempt of theirs is counted.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, and_, case, or_, select, true, update
from sqlalchemy.orm import aliased
from sqlmodel import Session, col

from spresso_assets.catalog.columns import now_us
from spresso_assets.catalog.models import Job, ScanFind, ScanStep, SourceFile, WatchRoot

FROZEN = ("present", "settling", "unreadable")
# Jobs are held for this long, and again at every look that finds the share still away: nothing waits for ever should
# nobody look any more.
HOLD_S = 3600.0


def freeze_root(session: Session, root_id: int) -> None:
    """The whole root is away."""
    session.get_one(WatchRoot, root_id).state = "offline"
    _freeze(session, root_id, true())


def freeze_parts(session: Session, root_id: int, run_id: int) -> None:
    """A share that was mounted inside of the root is away: freeze the files of the folders that the run found bare."""
    bare = select(col(ScanStep.folder_id)).where(col(ScanStep.run_id) == run_id, col(ScanStep.state) == "offline")
    _freeze(session, root_id, col(SourceFile.folder_id).in_(bare))


def _freeze(session: Session, root_id: int, where: ColumnElement[bool]) -> None:
    f = SourceFile
    connection = session.connection()
    connection.execute(
        update(f).where(col(f.root_id) == root_id, col(f.state).in_(FROZEN), where).values(state="offline")
    )
    now = now_us()
    connection.execute(
        update(Job)
        .where(col(Job.status) == "queued", _waiting_for(root_id), col(Job.not_before) < now + int(HOLD_S / 2 * 1e6))
        .values(not_before=now + int(HOLD_S * 1e6))
    )


def thaw(session: Session, root_id: int, run_id: int) -> None:
    """Files in folders that the run listed are what they were before, except those that it did not find there."""
    f = SourceFile
    connection = session.connection()
    frozen = select(col(f.id)).where(col(f.root_id) == root_id, col(f.state) == "offline").limit(1)
    if connection.execute(frozen).first() is None:
        return
    listed = select(col(ScanStep.folder_id)).where(col(ScanStep.run_id) == run_id, col(ScanStep.state) == "listed")
    absent = select(col(ScanFind.source_file_id)).where(
        col(ScanFind.run_id) == run_id, col(ScanFind.kind).in_(("gone", "left_out"))
    )
    read = and_(
        col(f.asset_id).is_not(None),
        col(f.probed_size) == col(f.size),
        col(f.probed_mtime_ns) == col(f.mtime_ns),
    )
    refused = and_(col(f.error_code).is_not(None), col(f.error_code) != "growing")
    connection.execute(
        update(f)
        .where(
            col(f.root_id) == root_id, col(f.state) == "offline", col(f.folder_id).in_(listed), col(f.id).not_in(absent)
        )
        .values(state=case((read, "present"), (refused, "unreadable"), else_="settling"))
    )
    release_jobs(session, root_id)


def release_jobs(session: Session, root_id: int) -> None:
    """Jobs that waited for files of a root may begin at once."""
    files, sounds = _files_and_sounds(root_id)
    session.connection().execute(
        update(Job)
        .where(
            col(Job.status) == "queued",
            col(Job.not_before) > 0,
            or_(col(Job.source_file_id).in_(files), and_(_reads_a_sound(), col(Job.asset_id).in_(sounds))),
        )
        .values(not_before=0)
    )


def _waiting_for(root_id: int) -> ColumnElement[bool]:
    """Jobs that read a frozen file of the root, or a sound that has no other file to be read from."""
    files, sounds = _files_and_sounds(root_id, frozen=True)
    other: Any = aliased(SourceFile)
    elsewhere = select(other.id).where(other.asset_id == col(Job.asset_id), other.state == "present")
    return or_(
        col(Job.source_file_id).in_(files),
        and_(_reads_a_sound(), col(Job.asset_id).in_(sounds), ~elsewhere.correlate(Job).exists()),
    )


def _reads_a_sound() -> ColumnElement[bool]:
    return and_(col(Job.source_file_id).is_(None), col(Job.kind) == "encode")


def _files_and_sounds(root_id: int, *, frozen: bool = False) -> tuple[Any, Any]:
    f = SourceFile
    where = [col(f.root_id) == root_id, *([col(f.state) == "offline"] if frozen else [])]
    return select(col(f.id)).where(*where), select(col(f.asset_id)).where(*where, col(f.asset_id).is_not(None))
