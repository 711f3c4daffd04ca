"""Originals leave the archive as copies: every byte, checked against what the catalog knows, never moved."""

from __future__ import annotations

import hashlib
import os
import uuid
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from spresso_assets.errors import ExitCode, FaultKind, SpressoError
from spresso_assets.export.files import cannot_write

if TYPE_CHECKING:
    from sqlmodel import Session

BLOCK = 1 << 20


@dataclass(frozen=True)
class Original:
    """A file of a sound.

    Attributes:
        sha256: of the file when it was read; None if it was not recorded, or the file has changed since.
    """

    root: Path
    path: Path
    state: str
    sha256: str | None


def original_of(session: Session, asset_id: int, uid: str) -> Original:
    """The best file of a sound: one that is there before one that is not.

    Raises:
        SpressoError: ``root_offline``, ``file_missing``.
    """
    from sqlmodel import col, select

    from spresso_assets.catalog.models import SourceFile, WatchRoot

    rows = session.exec(
        select(SourceFile, WatchRoot)
        .join(WatchRoot)
        .where(SourceFile.asset_id == asset_id, SourceFile.state != "moved")
        .order_by(col(SourceFile.id))
    ).all()
    away = ""
    last = ""
    for file, root in rows:
        path = Path(root.path) / file.rel_path
        try:
            status = path.stat()
        except OSError:
            last = str(path)
            if not Path(root.path).is_dir():
                away = root.path
            continue
        same = (status.st_size, status.st_mtime_ns) == (file.probed_size, file.probed_mtime_ns)
        return Original(Path(root.path), path, file.state, file.file_sha256 if same else None)
    if away:
        raise SpressoError(
            f"the folder {away} of the original is not there",
            code="root_offline",
            hint="Mount it and run the same command again.",
            exit_code=ExitCode.ROOT_OFFLINE,
            kind=FaultKind.RETRYABLE,
        )
    raise SpressoError(
        f"the original {last} is not there" if last else f"the catalog knows no file of {uid[:8]}",
        code="file_missing",
        hint="Mount its drive and scan its root, or export it decoded.",
        exit_code=ExitCode.NOT_FOUND,
    )


def copy_original(original: Original, target: Path) -> str:
    """Copy byte for byte, flushed, its time kept, read again and compared; returns the SHA-256.

    Raises:
        SpressoError: ``changed_while_reading``; ``original_changed`` if the bytes are not those that the catalog
            recorded, although size and time are; ``cannot_write``, ``file_missing``.
    """
    temporary = target.parent / f".spresso-{uuid.uuid4().hex}.part"
    try:
        with original.path.open("rb") as reading, temporary.open("xb") as writing:
            digest = hashlib.sha256()
            while block := reading.read(BLOCK):
                digest.update(block)
                writing.write(block)
            writing.flush()
            os.fsync(writing.fileno())
            status = os.fstat(reading.fileno())
        found = digest.hexdigest()
        if original.sha256 not in (None, found):
            raise SpressoError(
                f"{original.path} has other bytes than when it was read, with the same size and time",
                code="original_changed",
                hint="The disk may be failing: restore the file from your own backup.",
            )
        if _sha256(temporary) != found or os.stat(original.path).st_mtime_ns != status.st_mtime_ns:
            raise SpressoError(f"{original.path} changed while it was copied", code="changed_while_reading")
        os.utime(temporary, ns=(status.st_atime_ns, status.st_mtime_ns))
        temporary.replace(target)
    except OSError as error:
        if not original.path.exists():
            raise SpressoError(
                f"the original {original.path} is not there",
                code="file_missing",
                hint="Mount its drive, or export it decoded.",
                exit_code=ExitCode.NOT_FOUND,
            ) from error
        raise cannot_write(target, error) from error
    finally:
        with suppress(OSError):  # where there is no folder there is nothing to remove
            temporary.unlink()
    return found


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
