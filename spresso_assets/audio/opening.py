"""Opening files of strangers: only regular files, never blocking, never for writing."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import BinaryIO

from spresso_assets.errors import FaultKind, SpressoError

# A share that answers late or a card that was pulled may work again; everything else will not get better by itself.
_PASSING = {errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.EAGAIN, errno.ENOTCONN, errno.EHOSTDOWN, errno.EMFILE}


def open_regular(path: str | os.PathLike[str]) -> BinaryIO:
    """Open a regular file for reading, buffered.

    A FIFO named `.wav` blocks every audio library for ever, and a link to a device never ends: the type is checked
    before and again after opening, and the descriptor is opened non-blocking.

    Raises:
        SpressoError: `file_missing` (also dangling links), `not_a_file` (directory, FIFO, device, socket),
            `unreadable_file` (permissions, link loops, input/output faults).
    """
    name = os.fspath(path)
    try:
        _require_regular(name, os.stat(name))
        descriptor = os.open(name, os.O_RDONLY | os.O_CLOEXEC | getattr(os, "O_NONBLOCK", 0))
        try:
            _require_regular(name, os.fstat(descriptor))
            return os.fdopen(descriptor, "rb")
        except BaseException:
            os.close(descriptor)
            raise
    except OSError as error:
        raise reading_fault(name, error) from error
    except ValueError as error:  # a NUL inside the name
        raise SpressoError(
            f"{name!r} is no usable path: {error}", code="file_missing", hint="Check the path."
        ) from error


def _require_regular(name: str, status: os.stat_result) -> None:
    if stat.S_ISREG(status.st_mode):
        return
    kinds = (
        (stat.S_ISDIR, "directory"),
        (stat.S_ISFIFO, "named pipe"),
        (stat.S_ISSOCK, "socket"),
        (stat.S_ISCHR, "device"),
        (stat.S_ISBLK, "device"),
    )
    what = next((word for test, word in kinds if test(status.st_mode)), "special file")
    raise SpressoError(
        f"{short_name(name)} is a {what}, not a file",
        code="not_a_file",
        hint="Only regular files can be sounds; rename or exclude it.",
    )


def short_name(path: str | os.PathLike[str]) -> str:
    """The last part of a path, printable on one line whatever bytes it has."""
    name = Path(os.fspath(path)).name or os.fspath(path)
    clean = "".join(c if c.isprintable() else "?" for c in name.encode("utf-8", "replace").decode("utf-8", "replace"))
    return clean if len(clean) <= 80 else clean[:50] + "..." + clean[-27:]


def reading_fault(path: str | os.PathLike[str], error: OSError) -> SpressoError:
    """Turn an OSError of open or read into an error with a code and a next step."""
    name = short_name(path)
    if error.errno in (errno.ENOENT, errno.ENOTDIR):
        return SpressoError(
            f"{name} does not exist or links to nothing", code="file_missing", hint="Was it moved? Scan its root again."
        )
    if error.errno in (errno.EACCES, errno.EPERM):
        return SpressoError(
            f"no permission to read {name}", code="unreadable_file", hint="Give this user read access to it."
        )
    return SpressoError(
        f"{name} cannot be read: {error.strerror or error}",
        code="unreadable_file",
        hint="Check the disk or the network share.",
        kind=FaultKind.RETRYABLE if error.errno in _PASSING else FaultKind.PERMANENT,
    )
