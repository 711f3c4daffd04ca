"""The files that tasks read: where they are, and whether they are still what the catalog believes."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import select
from sqlmodel import Session, col

from spresso_assets.catalog.models import SourceFile, WatchRoot
from spresso_assets.errors import ExitCode, FaultKind, SpressoError


@dataclass(frozen=True)
class Source:
    """A file with the size (bytes) and time (ns) that it must have to be the file that was meant."""

    root: Path
    path: Path
    size: int
    mtime_ns: int

    def check(self) -> None:
        """Look at the file before and after reading it.

        Raises:
            SpressoError: ``root_offline`` (retryable), ``file_vanished``, ``file_changed``.
        """
        try:
            status = os.stat(self.path)
        except OSError as error:
            if not self.root.is_dir():
                raise _offline(self.root) from error
            raise SpressoError(
                f"{self.path.name} is no longer there ({error.strerror})",
                code="file_vanished",
                hint="'spresso scan' finds out whether it was moved",
            ) from error
        if (status.st_size, status.st_mtime_ns) != (self.size, self.mtime_ns):
            raise SpressoError(
                f"{self.path.name} has changed since it was scanned",
                code="file_changed",
                hint="Nothing was read from it; the next scan takes it up again",
            )


def _offline(root: Path) -> SpressoError:
    return SpressoError(
        f"The folder {root} is not there, or a share in it",
        code="root_offline",
        hint="Mount it; its jobs wait",
        exit_code=ExitCode.ROOT_OFFLINE,
        kind=FaultKind.RETRYABLE,
    )


def source_of_file(session: Session, source_file_id: int) -> Source:
    """A file as it was when it was scanned.

    Raises:
        SpressoError: ``source_missing`` if the catalog forgot it meanwhile.
    """
    file = session.get(SourceFile, source_file_id)
    if file is None:
        raise SpressoError("The catalog has forgotten this file", code="source_missing")
    root = Path(session.get_one(WatchRoot, file.root_id).path)
    return Source(root, root / file.rel_path, file.size, file.mtime_ns)


def source_of_asset(session: Session, asset_id: int) -> Source:
    """A present file that holds the asset's sound, as it was when it was probed.

    Raises:
        SpressoError: ``source_missing``, ``root_offline`` (retryable).
    """
    found = sources_of_assets(session, [asset_id]).get(asset_id)
    if found is None:
        raise no_source(session, asset_id)
    return found


def sources_of_assets(session: Session, asset_ids: Sequence[int]) -> dict[int, Source]:
    """`source_of_asset` of several; those without a present file are left out."""
    rows = session.connection().execute(
        select(
            col(SourceFile.asset_id),
            col(WatchRoot.path),
            col(SourceFile.rel_path),
            col(SourceFile.size),
            col(SourceFile.mtime_ns),
        )
        .join(WatchRoot, col(SourceFile.root_id) == col(WatchRoot.id))
        .where(
            col(SourceFile.asset_id).in_(asset_ids),
            col(SourceFile.state) == "present",
            col(SourceFile.probed_size) == col(SourceFile.size),
            col(SourceFile.probed_mtime_ns) == col(SourceFile.mtime_ns),
        )
        .order_by(col(WatchRoot.state), col(SourceFile.id))  # active roots first
    )
    found: dict[int, Source] = {}
    for asset_id, root, rel_path, size, mtime_ns in rows:
        if asset_id is not None:
            found.setdefault(asset_id, Source(Path(root), Path(root) / rel_path, size, mtime_ns))
    return found


def no_source(session: Session, asset_id: int) -> SpressoError:
    """What to say when an asset has no file to read: ``root_offline`` while a share with one is away, so that its job
    waits, else ``source_missing``.
    """
    away = select(col(WatchRoot.path)).join(SourceFile, col(SourceFile.root_id) == col(WatchRoot.id))
    root = session.execute(away.where(col(SourceFile.asset_id) == asset_id, col(SourceFile.state) == "offline")).first()
    if root is not None:
        return _offline(Path(root[0]))
    return SpressoError(
        "No file of this sound is there to encode from",
        code="source_missing",
        hint="Bring the original back and run 'spresso scan'",
    )
