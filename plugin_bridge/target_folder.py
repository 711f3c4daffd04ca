"""A folder that sounds are placed into: one that the user allowed, held open, and never written over.

A path is checked and then used; between the two somebody may put a link in its place. So the folder is opened from
the top down without following a link, and everything after that is relative to the open folder: what the path names
by then no longer matters. Windows cannot do that; there the path is used, and looked at again after it was opened.
"""

import errno
import hashlib
import os
import stat
import threading
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType

from spresso_assets.errors import ExitCode, FaultKind, SpressoError

PREFIX, SUFFIX = ".spresso-place-", ".part"
ABANDONED_S = 86_400.0
RELATIVE = os.open in os.supports_dir_fd
_FOLDER = getattr(os, "O_PATH", os.O_RDONLY) | getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_NOFOLLOW", 0)
_LISTED = os.O_RDONLY | getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_CLOEXEC", 0)
_FILE = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
_NO_LINKS = {errno.EPERM, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK}
_IN_THIS_PROCESS = threading.Lock()


class TargetFolder:
    """An open folder. Use it as a context; see `open_target`.

    Attributes:
        path: absolute, without links; for people and for answers, not for opening.
    """

    def __init__(self, path: Path, descriptor: int | None) -> None:
        self.path = path
        self._descriptor = descriptor

    def __enter__(self) -> "TargetFolder":
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, at: TracebackType | None) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)

    def open(self, name: str, flags: int) -> int:
        """A descriptor of a file in this folder; a link is refused.

        Raises:
            OSError: as `os.open`.
        """
        return os.open(self._at(name), flags | _FILE, 0o666, dir_fd=self._descriptor)

    def taken(self) -> dict[str, str]:
        """Names in this folder by their casefolded form: what differs in case alone is one name elsewhere."""
        return {name.casefold(): name for name, _ in self._entries()}

    def sweep(self) -> None:
        """Remove what a killed bridge left behind a day ago or earlier."""
        for name, status in self._entries():
            ours = name.startswith(PREFIX) and name.endswith(SUFFIX) and stat.S_ISREG(status.st_mode)
            if ours and time.time() - status.st_mtime > ABANDONED_S:
                self.remove(name)

    def stage(self, content: bytes) -> str:
        """Write a hidden file, flushed to the disk; returns its name, for `publish` or `remove`.

        Raises:
            SpressoError: ``disk_full``, ``folder_not_writable``, ``cannot_write``; nothing is left then.
        """
        name = f"{PREFIX}{uuid.uuid4().hex}{SUFFIX}"
        try:
            with os.fdopen(self.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL), "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
        except BaseException as error:
            self.remove(name)
            if isinstance(error, OSError):
                raise writing_fault(self.path, error) from error
            raise
        return name

    def publish(self, staged: str, name: str) -> bool:
        """Give a staged file its name; returns False, and keeps it staged, where the name is taken.

        A link to the staged file is made and the staged name removed, since a link never replaces anything, and there
        is no moment at which half a file has the name. Where a file system has no links, it is renamed.
        """
        try:
            try:
                os.link(
                    self._at(staged),
                    self._at(name),
                    src_dir_fd=self._descriptor,
                    dst_dir_fd=self._descriptor,
                    follow_symlinks=False,
                )
            except OSError as error:
                if error.errno == errno.EEXIST:
                    return False
                if error.errno not in _NO_LINKS:
                    raise
                if self._status(name) is not None:
                    return False
                os.rename(self._at(staged), self._at(name), src_dir_fd=self._descriptor, dst_dir_fd=self._descriptor)
        except OSError as error:
            raise writing_fault(self.path / name, error) from error
        self.remove(staged)
        self._flush()
        return True

    def remove(self, name: str) -> None:
        """Remove a file, if it is there."""
        with suppress(OSError):
            os.unlink(self._at(name), dir_fd=self._descriptor)

    def holds(self, name: str, content_sha256: str, size: int) -> bool:
        """Whether a file of this name is there and has exactly these bytes; False for anything but a regular file."""
        try:
            with os.fdopen(self.open(name, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0)), "rb") as file:
                status = os.fstat(file.fileno())
                if not stat.S_ISREG(status.st_mode) or status.st_size != size:
                    return False
                return hashlib.file_digest(file, "sha256").hexdigest() == content_sha256
        except OSError:
            return False

    @contextmanager
    def locked(self, descriptor: int) -> Iterator[None]:
        """Hold everybody else off who places into this folder: this process, and others by a lock on a file of it."""
        with _IN_THIS_PROCESS:
            try:
                import fcntl

                fcntl.flock(descriptor, fcntl.LOCK_EX)
            except (ImportError, OSError):
                # Windows, and shares without locks: names are still never taken twice, a row of the list might be
                pass
            yield  # closing the descriptor gives the lock back

    def _at(self, name: str) -> str:
        return name if self._descriptor is not None else str(self.path / name)

    def _status(self, name: str) -> os.stat_result | None:
        try:
            return os.stat(self._at(name), dir_fd=self._descriptor, follow_symlinks=False)
        except OSError:
            return None

    def _entries(self) -> list[tuple[str, os.stat_result]]:
        try:
            descriptor = self._listing()
        except OSError:  # a folder that may be written to but not read
            return []
        try:
            names = os.listdir(self.path if descriptor is None else descriptor)
        finally:
            if descriptor is not None:
                os.close(descriptor)
        found = ((name, self._status(name)) for name in names)
        return [(name, status) for name, status in found if status is not None]

    def _listing(self) -> int | None:
        return None if self._descriptor is None else os.open(".", _LISTED, dir_fd=self._descriptor)

    def _flush(self) -> None:
        """Make a new name last through a power cut, where the system can."""
        with suppress(OSError):
            if (descriptor := self._listing()) is not None:
                try:
                    os.fsync(descriptor)
                finally:
                    os.close(descriptor)


def open_target(wanted: str, allowed: Sequence[Path]) -> TargetFolder:
    """Open a folder to place into, made if it is below one that the user allowed.

    Args:
        wanted: absolute path.
        allowed: folders, without links.

    Raises:
        SpressoError: ``bad_request`` for no absolute path, ``folder_not_allowed``, ``folder_missing``,
            ``not_a_folder``, ``folder_not_writable``, ``cannot_write``.
    """
    real, root = resolve_target(wanted, allowed)
    try:
        if RELATIVE:
            return TargetFolder(real, _descend(real, root))
        real.mkdir(parents=True, exist_ok=True)
    except FileNotFoundError as error:
        raise SpressoError(
            f"the folder {root} is not there",
            code="folder_missing",
            hint="Mount its drive, or make it again.",
            exit_code=ExitCode.NOT_FOUND,
        ) from error
    except OSError as error:
        if error.errno in (errno.ENOTDIR, errno.ELOOP, errno.EEXIST):
            raise SpressoError(
                f"{real} is no folder, or leads through something that is none",
                code="not_a_folder",
                hint="Choose another folder.",
            ) from error
        raise writing_fault(real, error) from error
    if resolve_target(str(real), allowed) != (real, root):
        raise _not_allowed(real, allowed)
    return TargetFolder(real, None)


def resolve_target(wanted: str, allowed: Sequence[Path]) -> tuple[Path, Path]:
    """The folder that a path means, links resolved, and the allowed one that holds it; it need not exist.

    Raises:
        SpressoError: ``bad_request``, ``folder_not_allowed``.
    """
    try:
        path = Path(wanted)
        if not path.is_absolute() or any(c < " " for c in wanted):
            raise ValueError("not absolute")
        real = Path(os.path.realpath(path))
    except (ValueError, OSError) as error:
        raise SpressoError(
            "dir is no absolute path of a folder",
            code="bad_request",
            hint='For example "dir": "/projects/film/audio".',
            exit_code=ExitCode.USAGE,
        ) from error
    roots = [root for root in allowed if real.is_relative_to(root)]
    if not roots:
        raise _not_allowed(real, allowed)
    return real, max(roots, key=lambda root: len(root.parts))


def writing_fault(target: Path, error: OSError) -> SpressoError:
    """The error for what cannot be written, and why."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return SpressoError(
            f"the disk of {target} is full",
            code="disk_full",
            hint="Free some space or choose another folder; nothing half-written was left.",
            kind=FaultKind.ENVIRONMENT,
        )
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return SpressoError(
            f"the bridge may not write to {target}",
            code="folder_not_writable",
            hint="Give the user that runs 'spresso serve' write access, or choose another folder.",
            kind=FaultKind.ENVIRONMENT,
        )
    return SpressoError(
        f"{target} cannot be written: {error.strerror or error}",
        code="cannot_write",
        hint="Check that the folder exists and may be written to.",
        kind=FaultKind.ENVIRONMENT,
    )


def _descend(real: Path, root: Path) -> int:
    """Open a folder from the top down, following no link; what is missing below `root` is made."""
    at = os.open(real.anchor, _FOLDER)
    for depth, name in enumerate(real.parts[1:], start=2):
        try:
            try:
                below = os.open(name, _FOLDER, dir_fd=at)
            except FileNotFoundError:
                if depth <= len(root.parts):
                    raise
                with suppress(FileExistsError):
                    os.mkdir(name, dir_fd=at)
                below = os.open(name, _FOLDER, dir_fd=at)
        finally:
            os.close(at)
        at = below
    return at


def _not_allowed(real: Path, allowed: Sequence[Path]) -> SpressoError:
    listed = ", ".join(map(str, allowed[:5]))
    return SpressoError(
        f"sounds may not be placed into {real}",
        code="folder_not_allowed",
        hint=f"Allow it: spresso bridge allow DIR. {f'Allowed so far: {listed}.' if listed else 'None is so far.'}",
    )
