"""Whether file events can be trusted where a root lies."""

from __future__ import annotations

from pathlib import Path

from spresso_assets.catalog.location import NETWORK_FILE_SYSTEMS, file_system_of

# On these, changes made from outside (the host, another layer, a FUSE daemon) raise no event here.
ALSO_SILENT = frozenset({"overlay", "virtiofs", "vboxsf", "vmhgfs", "drvfs"})


def sends_events(path: Path, mounts: str | None = None) -> bool:
    """Whether inotify reports every change below `path`; only a scan finds changes where it does not.

    Args:
        path: a folder.
        mounts: text of the mount table, read from the system if None.
    """
    kind = file_system_of(path, mounts)
    return not (kind in NETWORK_FILE_SYSTEMS or kind in ALSO_SILENT or kind.startswith("fuse"))


def backend_for(path: Path, mode: str, mounts: str | None = None) -> str:
    """How a root is watched: 'native' (events and scans), 'poll' (scans every `poll_s`), 'scan' (on request only)."""
    if mode != "auto":
        return mode
    return "native" if sends_events(path, mounts) else "poll"
