"""Whether file events can be trusted where a root lies, asked of each mount point in it.

A root on a local disk may hold a share: events for the local part, regular scans for the mounted one. Where a root may
be mounted anew at any time, the table is read again before each use.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from spresso_assets.catalog.location import NETWORK_FILE_SYSTEMS, file_system_of

# On these, changes made from outside (the host, another layer, a FUSE daemon) raise no event here.
ALSO_SILENT = frozenset({"overlay", "virtiofs", "vboxsf", "vmhgfs", "drvfs"})


@dataclass(frozen=True)
class Mount:
    """A mount point below a root.

    Attributes:
        path: relative to the root.
        file_system: type by the mount table, for example 'cifs'.
        backend: 'native' or 'poll'.
    """

    path: str
    file_system: str
    backend: str

    def record(self) -> dict[str, str]:
        """JSON form; what `watch_root.mounts` holds."""
        return {"path": self.path, "file_system": self.file_system, "backend": self.backend}


def is_silent(file_system: str) -> bool:
    """Whether changes on this kind of file system can stay without an event."""
    return file_system in NETWORK_FILE_SYSTEMS or file_system in ALSO_SILENT or file_system.startswith("fuse")


def sends_events(path: Path, mounts: str | None = None) -> bool:
    """Whether inotify reports every change in `path` itself; only a scan finds changes where it does not.

    Args:
        path: a folder.
        mounts: text of the mount table, read from the system if None.
    """
    return not is_silent(file_system_of(path, mounts))


def backend_for(path: Path, mode: str, mounts: str | None = None) -> str:
    """How a root is watched: 'native' (events and scans), 'poll' (scans every `poll_s`), 'scan' (on request only)."""
    if mode != "auto":
        return mode
    return "native" if sends_events(path, mounts) else "poll"


def reason_for(path: Path, mode: str, mounts: str | None = None) -> str:
    """Why `backend_for` says what it says, for people."""
    if mode != "auto":
        return f"set to '{mode}'"
    kind = file_system_of(path, mounts) or "unknown file system"
    return f"{kind}: sends file events" if sends_events(path, mounts) else f"{kind}: changes raise no file events"


def mounts_inside(path: Path, mode: str, mounts: str | None = None) -> list[Mount]:
    """Mount points below `path`, by path. With another mode than 'auto' all of them follow the root's."""
    if mounts is None:
        try:
            mounts = Path("/proc/self/mounts").read_text(encoding="utf-8", errors="surrogateescape")
        except OSError:
            return []
    prefix = os.path.realpath(path).rstrip("/") + "/"
    found: dict[str, str] = {}
    for line in mounts.splitlines():
        fields = line.split(" ")
        if len(fields) >= 3 and (point := _plain(fields[1])).startswith(prefix):
            found[point.removeprefix(prefix)] = fields[2]  # a later line lies on top of an earlier one
    return [
        Mount(rel_path, kind, mode if mode != "auto" else "poll" if is_silent(kind) else "native")
        for rel_path, kind in sorted(found.items())
    ]


def silent_parts(mounts: list[Mount]) -> list[str]:
    """The outermost mount points that need polling."""
    silent: list[str] = []
    for mount in mounts:
        if mount.backend == "poll" and not any(mount.path.startswith(other + "/") for other in silent):
            silent.append(mount.path)
    return silent


def _plain(point: str) -> str:
    for code, character in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        point = point.replace(code, character)
    return point
