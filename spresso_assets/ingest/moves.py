"""Which vanished path is which new one. Asked when everything that a run covers has been seen.

A path that vanished and one that appeared are the same file when inode, size and modification time agree (a rename or
a move: nothing needs to be read again), or when their names differ only in case or Unicode form and size and time
agree (a share or a Mac that renumbers inodes). Either must be unambiguous on both sides. Anything else is decided by
the sound itself, when it is read.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, and_, delete, func, select, update
from sqlalchemy.orm import aliased
from sqlmodel import Session, col

from spresso_assets.catalog.models import ScanFind, SourceFile

# A name that folds to the same one is looked for only after the inodes have had their say.
KEYS = ("inode", "path_key")


def match_moves(session: Session, run_id: int, root_id: int) -> None:
    """Turn new paths of a run into moved ones where a vanished file is found again; both are then one find.

    A file that vanished just now is a better candidate than one that has been missing for a month.
    """
    connection = session.connection()
    new = select(col(ScanFind.id)).where(col(ScanFind.run_id) == run_id, col(ScanFind.kind) == "new").limit(1)
    if connection.execute(new).first() is None:
        return
    for key in KEYS:
        gone: Any = aliased(ScanFind)
        fits = and_(gone.run_id == run_id, gone.kind == "gone", _alike(gone, key))
        _take(session, run_id, key, select(gone.source_file_id).where(fits), select(func.count()).where(fits))
        taken: Any = aliased(ScanFind)
        moved = select(taken.source_file_id).where(taken.run_id == run_id, taken.kind == "moved")
        connection.execute(
            delete(ScanFind).where(
                col(ScanFind.run_id) == run_id, col(ScanFind.kind) == "gone", col(ScanFind.source_file_id).in_(moved)
            )
        )
    for key in KEYS:
        own: Any = aliased(ScanFind)
        known_here = select(own.id).where(own.run_id == run_id, own.source_file_id == col(SourceFile.id))
        fits = and_(
            col(SourceFile.root_id) == root_id,
            col(SourceFile.state).in_(("missing", "moved")),
            _alike(SourceFile, key),
            ~known_here.exists(),
        )
        _take(
            session,
            run_id,
            key,
            select(col(SourceFile.id)).where(fits),
            select(func.count(col(SourceFile.id))).where(fits),
        )


def _take(session: Session, run_id: int, key: str, former: Any, formers: Any) -> None:
    """Give each new path that has exactly one former place, and is its only claimant, the file that was there."""
    rival: Any = aliased(ScanFind)
    rivals = select(func.count()).where(
        rival.run_id == run_id, rival.kind == "new", _alike(rival, key)
    )  # fmt: skip
    session.connection().execute(
        update(ScanFind)
        .where(
            col(ScanFind.run_id) == run_id,
            col(ScanFind.kind) == "new",
            formers.correlate(ScanFind).scalar_subquery() == 1,
            rivals.correlate(ScanFind).scalar_subquery() == 1,
        )
        .values(kind="moved", source_file_id=former.correlate(ScanFind).scalar_subquery())
    )


def _alike(other: Any, key: str) -> ColumnElement[bool]:
    """Whether another row agrees with the find in `key`, size and time."""
    return and_(
        getattr(other, key) == getattr(ScanFind, key),
        other.size == col(ScanFind.size),
        other.mtime_ns == col(ScanFind.mtime_ns),
    )
