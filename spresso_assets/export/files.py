"""Writing bytes so that a file is either there as a whole or not at all."""

from __future__ import annotations

import os
import uuid
from contextlib import suppress
from pathlib import Path

from spresso_assets.errors import FaultKind, SpressoError


def write_bytes(target: Path, content: bytes) -> None:
    """Write beside the place, flush, rename.

    Raises:
        SpressoError: `cannot_write`.
    """
    temporary = target.parent / f".spresso-{uuid.uuid4().hex}.part"
    try:
        with temporary.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(target)
    except OSError as error:
        raise cannot_write(target, error) from error
    finally:
        with suppress(OSError):  # where there is no folder there is nothing to remove
            temporary.unlink()


def make_folder(folder: Path) -> None:
    """Make a folder and its parents.

    Raises:
        SpressoError: `cannot_write`.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise cannot_write(folder, error) from error


def cannot_write(target: Path, error: OSError) -> SpressoError:
    """The error for a path that cannot be written."""
    return SpressoError(
        f"{target} cannot be written: {error.strerror or error}",
        code="cannot_write",
        hint="Check that the folder exists, may be written to and is not full.",
        kind=FaultKind.ENVIRONMENT,
    )
