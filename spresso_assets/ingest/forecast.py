"""What a scan would do with one path, and why: the answer to "why is my sound not there?"."""

from __future__ import annotations

import stat as stat_bits
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sqlmodel import Session, select

from spresso_assets.catalog.models import SourceFile, WatchRoot
from spresso_assets.errors import ExitCode, SpressoError
from spresso_assets.ingest.applying import Decider, observation_of
from spresso_assets.ingest.mounts import mounts_inside, reason_for, silent_parts
from spresso_assets.ingest.roots import is_paused, judge_path, root_of_path
from spresso_assets.ingest.settle import Signature


@dataclass(frozen=True)
class Forecast:
    """One path in a root.

    Attributes:
        included, reason: whether the patterns let it in, and which one decides.
        next: what the next scan would do with it.
        known: its state in the catalog, None if it is not there.
        error: why it could not be read, if so.
        profile: that its sound will be encoded with; None for the catalog's default.
        backend: how its changes are noticed, and why so.
    """

    root: str
    path: str
    included: bool
    reason: str
    next: str
    known: str | None
    error: str | None
    profile: str | None
    backend: str

    def record(self) -> dict[str, Any]:
        """JSON form."""
        return asdict(self)


def forecast(session: Session, path: Path) -> Forecast:
    """Judge a path as a scan would, without waiting for anything.

    Raises:
        SpressoError: `outside_root` (exit code 4).
    """
    found = root_of_path(session, path)
    if found is None:
        hint = "See 'spresso root list'."
        raise SpressoError(f"{path} is in no root", code="outside_root", hint=hint, exit_code=ExitCode.NOT_FOUND)
    root, rel_path = found
    verdict = judge_path(root, path)
    row = session.exec(select(SourceFile).where(SourceFile.root_id == root.id, SourceFile.rel_path == rel_path)).first()
    if not verdict.included:
        coming = "nothing: it is left out" if row is None else "it is known and will be left out: marked as ignored"
    else:
        coming = _coming(root, rel_path, row)
    return Forecast(
        root.name,
        rel_path,
        verdict.included,
        verdict.reason,
        coming,
        None if row is None else row.state,
        None if row is None or row.error_code is None else f"{row.error_code}: {row.error_message}",
        root.default_profile,
        _backend(root, rel_path),
    )


def _coming(root: WatchRoot, rel_path: str, row: SourceFile | None) -> str:
    folder = Path(root.path)
    if is_paused(root):
        return "nothing: the root is paused"
    try:
        seen = (folder / rel_path).lstat()
    except OSError as error:
        if not folder.is_dir():
            return "nothing: the root is offline"
        gone = (
            "it is marked as missing" if row is not None and row.state == "missing" else "it will be marked as missing"
        )
        return f"it is not there ({error.strerror})" + ("" if row is None else f"; {gone}")
    if not stat_bits.S_ISREG(seen.st_mode):
        return "nothing: it is no ordinary file"
    signature = Signature.of(seen)
    if row is not None and row.probed_size == signature.size and row.probed_mtime_ns == signature.mtime_ns:
        return "nothing: it was read, and has not changed"
    silent = silent_parts(mounts_inside(folder, root.mode))
    decide = Decider(folder, root.settle_s, time.time, True, silent)
    settled, _ = decide(rel_path, signature, None if row is None else observation_of(row))
    if not settled.ready:
        return f"it waits at least {settled.wait_s:.0f} s more: {settled.reason}"
    if (
        row is not None
        and row.state == "unreadable"
        and (row.size, row.mtime_ns) == (signature.size, signature.mtime_ns)
    ):
        return "nothing, until it changes: it could not be read"
    return "it is read"


def _backend(root: WatchRoot, rel_path: str) -> str:
    inside = [mount for mount in mounts_inside(Path(root.path), root.mode) if rel_path.startswith(mount.path + "/")]
    if root.backend == "native" and inside:
        deepest = max(inside, key=lambda mount: len(mount.path))
        return f"{deepest.backend} ({deepest.file_system} mounted at {deepest.path})"
    why = root.backend_reason or reason_for(Path(root.path), root.mode)
    return f"{root.backend} ({why})"
