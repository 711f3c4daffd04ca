"""Watch roots: the folders whose sounds belong to the catalog. They are only ever read."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import func
from sqlmodel import Session, col, select

from spresso_assets.catalog.asset_text import refresh_text
from spresso_assets.catalog.columns import iso_utc, now_us
from spresso_assets.catalog.models import SourceFile, WatchRoot
from spresso_assets.catalog.tables_files import ROOT_MODES
from spresso_assets.errors import ExitCode, SpressoError
from spresso_assets.ingest.difference import path_key
from spresso_assets.ingest.freeze import release_jobs
from spresso_assets.ingest.globs import Rules, Verdict
from spresso_assets.ingest.mounts import backend_for, mounts_inside, reason_for
from spresso_assets.ingest.place import tag_root

SETTABLE = frozenset(
    [
        "name",
        "mode",
        "settle_s",
        "poll_s",
        "include",
        "exclude",
        "tags_from_dirs",
        "default_profile",
        "removal_cap",
        "abort_cap",
    ]
)


@dataclass(frozen=True)
class RootSummary:
    """A root and how many of its files are in which state."""

    root: WatchRoot
    files: dict[str, int]

    def record(self) -> dict[str, Any]:
        """JSON form."""
        fields = self.root.model_dump(exclude={"id", "device_id"})
        for name in ("created_at", "last_scan_at", "last_full_scan_at", "last_event_at", "pause_expires_at"):
            fields[name] = iso_utc(fields[name]) if fields[name] is not None else None
        return {**fields, "files": self.files}


def rules_of(root: WatchRoot) -> Rules:
    """The root's patterns in the form that the walk uses."""
    return Rules(tuple(root.include), tuple(root.exclude))


def add_root(
    session: Session,
    path: Path,
    *,
    name: str | None = None,
    mode: str = "auto",
    absorb: bool = False,
    **settings: Any,
) -> WatchRoot:
    """Register a folder.

    Args:
        session: an open write transaction.
        path: an existing folder; stored absolute, symbolic links resolved.
        name: what people call it; by default the folder's name, made unique.
        mode: 'auto', 'native', 'poll' or 'scan' (see `mounts.backend_for`).
        absorb: roots inside of the folder become part of it, with all that is known of their files.
        settings: any of `SETTABLE`.

    Raises:
        SpressoError: `not_a_folder`, `root_exists`, `root_overlaps`, `root_name_taken`, `unknown_setting`.
    """
    folder = path.resolve()
    if not folder.is_dir():
        raise SpressoError(f"{path} is not a folder", code="not_a_folder", hint="A root is a folder with sounds in it.")
    inside = _roots_inside(session, folder, absorb)
    if name is None:
        name = _free_name(session, folder.name or "root")
    root = WatchRoot(name=name, path=str(folder), device_id=folder.stat().st_dev)
    change_root(session, root, mode=mode, **settings)
    session.add(root)
    session.flush()
    for other in inside:
        _absorb(session, root, other)
    return root


def root_for(session: Session, path: Path, **settings: Any) -> tuple[WatchRoot, str]:
    """The root that a person means by naming `path`, made if need be, and the part of it that `path` is.

    A folder becomes a root. A single file gets a root of its folder that takes only files which were named; naming
    the folder later lifts that.

    Raises:
        SpressoError: `file_missing`, `not_a_file`, `left_out`, and what `add_root` raises.
    """
    if not os.path.lexists(path):
        raise SpressoError(
            f"there is no {path}", code="file_missing", hint="Check the path.", exit_code=ExitCode.NOT_FOUND
        )
    is_folder = path.is_dir() and not path.is_symlink() if root_of_path(session, path) else path.is_dir()
    found = root_of_path(session, path.resolve() if is_folder else path)
    if is_folder:
        if found is None:
            return add_root(session, path, absorb=True, **settings), ""
        root, under = found
        if not under and root.mode == "scan" and root.include:
            change_root(session, root, mode="auto", include=[])
        return root, under
    if not path.is_file() or path.is_symlink():
        raise SpressoError(f"{path} is no ordinary file", code="not_a_file", hint="Links and devices are left out.")
    root, under = found or (add_root(session, path.parent, mode="scan", include=[path.name], **settings), path.name)
    if root.include and not rules_of(root).verdict(under).included:
        change_root(session, root, include=[*root.include, under])
    verdict = rules_of(root).verdict(under)
    if not verdict.included:
        raise SpressoError(
            f"{path} is left out: {verdict.reason}", code="left_out", hint="'spresso root set --include' lets it in."
        )
    session.add(root)
    return root, under


def change_root(session: Session, root: WatchRoot, **settings: Any) -> None:
    """Change settings of a root.

    Raises:
        SpressoError: `unknown_setting`, `bad_setting`, `root_name_taken`.
    """
    for key, value in settings.items():
        if key not in SETTABLE:
            raise _bad(f"a root has no setting '{key}'", f"It has: {', '.join(sorted(SETTABLE))}.", "unknown_setting")
        if key == "mode" and value not in ROOT_MODES:
            raise _bad(f"mode '{value}' does not exist", f"Modes: {', '.join(ROOT_MODES)}.")
        if key in ("removal_cap", "abort_cap") and not 0 <= value <= 1:
            raise _bad(f"{key} is a share between 0 and 1, not {value}", "0.05 is five percent.")
        if key in ("settle_s", "poll_s") and value < 0:
            raise _bad(f"{key} cannot be negative", "It is a number of seconds.")
        if key == "name" and value != root.name:
            _refuse_taken(session, value)
        setattr(root, key, value)
    if "tags_from_dirs" in settings and root.id is not None:
        tag_root(session, root.id)
    detect_backend(root)


def detect_backend(root: WatchRoot) -> bool:
    """Find out anew how changes can be noticed in each part of a root; returns whether the answer is another one."""
    path = Path(root.path)
    before = (root.backend, root.mounts)
    root.backend = backend_for(path, root.mode)
    root.backend_reason = reason_for(path, root.mode)
    root.mounts = [mount.record() for mount in mounts_inside(path, root.mode)]
    return (root.backend, root.mounts) != before


def pause_root(root: WatchRoot, by: str, reason: str = "", for_s: float | None = None) -> None:
    """Leave a root alone: no scans and no events, until it is resumed or the time is over."""
    root.state, root.paused_by, root.pause_reason = "paused", by, reason or None
    root.pause_expires_at = None if for_s is None else now_us() + round(for_s * 1e6)


def resume_root(root: WatchRoot) -> None:
    """Watch and scan a root again."""
    root.state = "active"
    root.paused_by = root.pause_reason = root.pause_expires_at = None


def is_paused(root: WatchRoot) -> bool:
    """Whether a root is to be left alone now; a pause whose time is over does not count."""
    over = root.pause_expires_at is not None and root.pause_expires_at <= now_us()
    return root.state == "paused" and not over


def find_root(session: Session, name_or_path: str) -> WatchRoot:
    """The root with this name or folder.

    Raises:
        SpressoError: `root_unknown` (exit code 4).
    """
    root = session.exec(select(WatchRoot).where(WatchRoot.name == name_or_path)).first()
    if root is None:
        root = session.exec(select(WatchRoot).where(WatchRoot.path == str(Path(name_or_path).resolve()))).first()
    if root is None:
        names = session.exec(select(WatchRoot.name).order_by(WatchRoot.name)).all()
        raise SpressoError(
            f"there is no root '{name_or_path}'",
            code="root_unknown",
            hint=f"Roots: {', '.join(names)}." if names else "Add one: spresso root add PATH.",
            exit_code=ExitCode.NOT_FOUND,
        )
    return root


def root_of_path(session: Session, path: Path) -> tuple[WatchRoot, str] | None:
    """The root that holds `path`, and the path relative to it with forward slashes; None if no root does."""
    absolute = path.parent.resolve() / path.name if path.name else path.resolve()
    for root in session.exec(select(WatchRoot)):
        if absolute.is_relative_to(root.path):
            rel_path = absolute.relative_to(root.path).as_posix()
            return root, "" if rel_path == "." else rel_path
    return None


def remove_root(session: Session, root: WatchRoot) -> None:
    """Forget a root and where its files lie. The files are not touched, and their sounds stay in the catalog."""
    assets = set(session.exec(select(SourceFile.asset_id).where(SourceFile.root_id == root.id))) - {None}
    release_jobs(session, root.id or 0)
    session.delete(root)
    session.flush()
    for asset_id in assets:
        refresh_text(session, asset_id or 0)


def list_roots(session: Session) -> list[RootSummary]:
    """All roots by name, with their file counts."""
    counts: dict[int, dict[str, int]] = {}
    query = select(SourceFile.root_id, SourceFile.state, func.count()).group_by(
        col(SourceFile.root_id), col(SourceFile.state)
    )
    for root_id, state, number in session.exec(query):
        counts.setdefault(root_id, {})[state] = number
    roots = session.exec(select(WatchRoot).order_by(WatchRoot.name)).all()
    return [RootSummary(root, counts.get(root.id or 0, {})) for root in roots]


def judge_path(root: WatchRoot, path: Path) -> Verdict:
    """Whether `path` would be taken by a scan of the root, and why.

    Raises:
        SpressoError: `outside_root`.
    """
    absolute = path.parent.resolve() / path.name
    if not absolute.is_relative_to(root.path):
        raise SpressoError(f"{path} is not in root '{root.name}' ({root.path})", code="outside_root")
    if absolute.is_symlink():
        return Verdict(False, "symbolic links are not followed")
    return rules_of(root).verdict(absolute.relative_to(root.path).as_posix())


def _roots_inside(session: Session, folder: Path, absorb: bool) -> list[WatchRoot]:
    """Roots below the folder that may be absorbed. A file in two roots would be two rows under two sets of rules."""
    inside = []
    for other in session.exec(select(WatchRoot)):
        there = Path(other.path)
        if there == folder:
            raise SpressoError(
                f"{folder} is root '{other.name}' already", code="root_exists", hint=f"spresso scan {other.name}"
            )
        below = there.is_relative_to(folder)
        if folder.is_relative_to(there) or (below and not absorb):
            raise SpressoError(
                f"{folder} overlaps with root '{other.name}' ({there})",
                code="root_overlaps",
                hint="Scan a part of it instead: spresso scan PATH.",
            )
        if below:
            inside.append(other)
    return inside


def _absorb(session: Session, root: WatchRoot, other: WatchRoot) -> None:
    prefix = Path(other.path).relative_to(root.path).as_posix() + "/"
    root.exclude = [*root.exclude, *(prefix + pattern for pattern in other.exclude if "/" in pattern.rstrip("/"))]
    assets = set()
    for file in session.exec(select(SourceFile).where(SourceFile.root_id == other.id)):
        file.root_id = root.id or 0
        file.rel_path = prefix + file.rel_path
        file.path_key = path_key(file.rel_path)
        file.folder_id = None  # the next scan knows
        session.add(file)
        assets.add(file.asset_id)
    session.flush()  # before the former root goes, which would take its files along
    session.delete(other)
    session.flush()
    for asset_id in assets - {None}:
        refresh_text(session, asset_id or 0)


def _free_name(session: Session, wanted: str) -> str:
    taken = set(session.exec(select(WatchRoot.name)))
    return next(name for n in range(1, len(taken) + 2) if (name := wanted if n == 1 else f"{wanted}-{n}") not in taken)


def _refuse_taken(session: Session, name: str) -> None:
    if session.exec(select(WatchRoot.id).where(WatchRoot.name == name)).first() is not None:
        raise SpressoError(f"another root is called '{name}'", code="root_name_taken", hint="Choose another --name.")


def _bad(message: str, hint: str, code: str = "bad_setting") -> SpressoError:
    return SpressoError(message, code=code, hint=hint, exit_code=ExitCode.USAGE)
