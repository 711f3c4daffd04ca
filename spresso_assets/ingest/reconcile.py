"""Bring the catalog's picture of a root up to date with the disk. A scan is the truth; everything else is a hint.

One call walks the root outside of any transaction, decides, and then writes in short transactions of a few hundred
rows. A file that is ready to be read gets its job in the same transaction as its row, through the `on_ready` hook:
killed between two transactions, the next scan finds the rest.

Nothing is removed because it is absent. A vanished file is marked `missing`; when too many vanish at once, not even
that: a share that is half mounted looks exactly like an archive that somebody emptied.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy import select as sql_select
from sqlmodel import col, select, update

from spresso_assets.catalog.columns import now_us
from spresso_assets.catalog.models import SourceFile, WatchRoot
from spresso_assets.errors import SpressoError
from spresso_assets.ingest.difference import ABSENT, Difference, Known, difference, path_key
from spresso_assets.ingest.globs import Rules
from spresso_assets.ingest.mounts import sends_events
from spresso_assets.ingest.roots import rules_of
from spresso_assets.ingest.scan import Problem, offline, walk
from spresso_assets.ingest.settle import Settled, SettleTracker, Signature, Writer, judge, writer_of

if TYPE_CHECKING:
    from sqlmodel import Session

    from spresso_assets.catalog.engine import Catalog

CHUNK = 400
# The watcher lets young files also look complete from the inside. After a minute of quiet nobody is coming back to
# finish them: they are read, and refused with a reason. Should they grow later, they are read again.
COMPLETENESS_S = 60.0

ReadyHook = Callable[["Session", SourceFile], object]
_T = TypeVar("_T")


@dataclass
class Report:
    """What one reconcile found; `record` is its JSON form.

    `waiting` files were known and are not read yet, `ready` is how many files may be read now.
    """

    root: str
    dry_run: bool = False
    unchanged: int = 0
    waiting: int = 0
    new: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    moved: list[tuple[str, str]] = field(default_factory=list)
    back: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    still_missing: int = 0
    unreadable: list[str] = field(default_factory=list)
    settling: list[tuple[str, str]] = field(default_factory=list)
    wait_s: float = 0.0
    ready: int = 0
    left_out: dict[str, int] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def follow(self, later: Report) -> None:
        """Take over what a later look at the same place found about the files that were still settling."""
        self.settling, self.wait_s = later.settling, later.wait_s
        self.ready += later.ready

    def found_something(self) -> bool:
        """Whether anything differs from what the catalog knew."""
        return bool(self.new or self.changed or self.moved or self.back or self.missing or self.ready or self.problems)

    def record(self) -> dict[str, Any]:
        """Counts first, then the lists that a person may want to see."""
        return {
            "root": self.root,
            "dry_run": self.dry_run,
            "unchanged": self.unchanged,
            "waiting": self.waiting,
            "new": len(self.new),
            "changed": len(self.changed),
            "moved": len(self.moved),
            "back": len(self.back),
            "missing": len(self.missing),
            "still_missing": self.still_missing,
            "unreadable": len(self.unreadable),
            "settling": len(self.settling),
            "ready": self.ready,
            "left_out": self.left_out,
            "paths": {
                "new": self.new,
                "changed": self.changed,
                "moved": [list(pair) for pair in self.moved],
                "back": self.back,
                "missing": self.missing,
                "unreadable": self.unreadable,
                "settling": [list(pair) for pair in self.settling],
            },
        }


def reconcile(
    catalog: Catalog,
    root_id: int,
    on_ready: ReadyHook,
    *,
    under: str = "",
    settle_s: float | None = None,
    tracker: SettleTracker | None = None,
    accept_removals: bool = False,
    patient: bool = False,
    dry_run: bool = False,
    clock: Callable[[], float] = time.time,
) -> Report:
    """Compare one root (or its part `under`) with the catalog and write the difference.

    Args:
        catalog: the open catalog.
        root_id: row id of the `watch_root`.
        on_ready: called with session and row for every file that may be read now, inside the transaction.
        under: folder or file relative to the root; '' for all of it.
        settle_s: quiet time instead of the root's own.
        tracker: remembers files over several calls; only needed where file times cannot be trusted.
        accept_removals: mark vanished files as missing however many they are.
        patient: wait for young files that look unfinished from the inside, instead of having them read and refused.
        dry_run: find out and report, write nothing.
        clock: seconds since 1970.

    Raises:
        SpressoError: `root_offline` when the root is not there, or is empty and was not; `abort_cap` when more files
            vanished than a working share can lose. Nothing was changed then, except the root's own state.
    """
    with catalog.read() as session:
        root = session.get_one(WatchRoot, root_id)
        known, believed = _known(session, root_id, under)
    path = Path(root.path)
    try:
        found = walk(path, rules_of(root), under)
        if not found.files and not found.unread_folders and not under and believed > 1 and not accept_removals:
            raise offline(path, f"it is empty, and {believed} sounds were known in it")
    except SpressoError as error:
        if error.code == "root_offline" and not dry_run:
            _set_root(catalog, root_id, state="offline")
        raise
    diff = difference(known, found.files)
    _spare_unknown(diff, found.unknown)
    report = Report(root.name, dry_run, left_out=dict(found.left_out), problems=list(found.problems))
    if not accept_removals:
        _apply_caps(diff, believed, root, report)
    settle = root.settle_s if settle_s is None else settle_s
    decide = _Decider(path, settle, tracker, clock, patient)
    candidates: list[tuple[str, Known | None]] = [(rel_path, None) for rel_path in diff.new]
    candidates += [(item.rel_path, item) for item in (*diff.changed, *diff.waiting)]
    decisions = [(rel_path, item, decide(rel_path, found.files[rel_path])) for rel_path, item in candidates]
    _fill_report(report, diff, decisions)
    if dry_run:
        return report
    for chunk in _chunks(decisions):
        with catalog.session() as session:
            _write_candidates(session, root_id, chunk, found.files, on_ready)
    for moves in _chunks(diff.moved):
        with catalog.session() as session:
            _write_moves(session, moves, found.files, on_ready)
    with catalog.session() as session:
        _write_states(session, root_id, diff, on_ready)
    if not under:
        device = path.stat().st_dev
        state = "active" if root.state == "offline" else root.state
        _set_root(catalog, root_id, state=state, last_scan_at=now_us(), device_id=device)
    return report


def preview(path: Path) -> Report:
    """What a first look at a folder or file that no root holds would find; writes nothing, knows nothing.

    Raises:
        SpressoError: `root_offline` when there is no such path.
    """
    folder, under = (path.resolve(), "") if path.is_dir() else (path.parent.resolve(), path.name)
    found = walk(folder, Rules(), under)
    return Report(
        folder.name,
        dry_run=True,
        new=sorted(found.files),
        ready=len(found.files),
        left_out=dict(found.left_out),
        problems=list(found.problems),
    )


class _Decider:
    """Decides about one file after the other: quiet long enough, nobody writing, and complete when it is young."""

    def __init__(
        self,
        root: Path,
        settle_s: float,
        tracker: SettleTracker | None,
        clock: Callable[[], float],
        patient: bool,
    ) -> None:
        self.root = root
        self.settle_s = settle_s
        self.tracker = tracker
        self.clock = clock
        self.patient = patient
        self.sends_events = sends_events(root)

    def __call__(self, rel_path: str, signature: Signature) -> Settled:
        now = self.clock()
        path = self.root / rel_path
        since = self.tracker.observe(str(path), signature, now) if self.tracker else None
        # Asking for a lease over the network is slow and not reliable: there only patience helps.
        writer = writer_of(path) if self.sends_events else Writer.UNKNOWN
        settled = judge(
            now,
            signature,
            unchanged_since_s=since,
            writer=writer,
            settle_s=self.settle_s,
            sends_events=self.sends_events,
        )
        quiet = now - max(signature.touched_s, 0.0)
        if settled.ready and self.patient and 0 <= quiet < COMPLETENESS_S:
            from spresso_assets.audio.probe import is_complete

            complete = is_complete(path)
            if not complete.complete:
                return Settled(False, COMPLETENESS_S - quiet, f"not complete yet: {complete.reason}")
        if settled.ready and self.tracker:
            self.tracker.forget(str(path))
        return settled


_Decision = tuple[str, Known | None, Settled]


def _known(session: Session, root_id: int, under: str) -> tuple[list[Known], int]:
    """What the catalog knows below `under`, and how many files it believes to be in the whole root.

    Absent files come from everywhere: what vanished elsewhere yesterday may be what appears here today.
    """
    f = SourceFile
    columns = [f.id, f.rel_path, f.state, f.size, f.mtime_ns, f.inode, f.asset_id, f.probed_size, f.probed_mtime_ns]
    rows = session.connection().execute(sql_select(*map(col, columns)).where(col(f.root_id) == root_id))
    known = []
    for row in rows:
        id_, rel_path, state, size, mtime_ns, inode, asset_id, probed_size, probed_mtime_ns = tuple(row)
        probed = asset_id is not None and (size, mtime_ns) == (probed_size, probed_mtime_ns)
        known.append(Known(id_, rel_path, state, size, mtime_ns, inode, probed))
    believed = sum(item.state not in ABSENT for item in known)
    if under:
        inside = under + "/"
        known = [k for k in known if k.rel_path == under or k.rel_path.startswith(inside) or k.state in ABSENT]
    return known, believed


def _spare_unknown(diff: Difference, unknown: Callable[[str], bool]) -> None:
    """Files in folders that could not be read are neither there nor gone."""
    diff.gone = [item for item in diff.gone if not unknown(item.rel_path)]


def _apply_caps(diff: Difference, believed: int, root: WatchRoot, report: Report) -> None:
    vanished = len(diff.gone)
    percent = 100 * vanished / max(believed, 1)
    what = f"{vanished} of {believed} files ({percent:.0f} %) vanished"
    hint = f"Check the share; if it is intended: spresso scan {root.name} --accept-removals."
    details = {"vanished": vanished, "known": believed}
    if diff.exceeds(root.abort_cap, believed):
        raise SpressoError(
            f"{what} from '{root.name}'", code="abort_cap", hint=f"Nothing was changed. {hint}", details=details
        )
    if diff.exceeds(root.removal_cap, believed):
        error = SpressoError(
            f"{what}; they are still counted as present", code="removal_cap", hint=hint, details=details
        )
        report.problems.append(Problem("", error))
        diff.gone = []


def _fill_report(report: Report, diff: Difference, decisions: Sequence[_Decision]) -> None:
    report.unchanged = len(diff.same)
    report.waiting = len(diff.waiting)
    report.new = diff.new
    report.changed = [item.rel_path for item in diff.changed]
    report.moved = [(item.rel_path, new) for item, new in diff.moved]
    report.back = [item.rel_path for item in diff.back]
    report.missing = [item.rel_path for item in diff.gone]
    report.still_missing = sum(item.state == "missing" for item in diff.still_gone)
    report.unreadable = [item.rel_path for item in diff.unreadable]
    waiting = [(rel_path, settled) for rel_path, _, settled in decisions if not settled.ready]
    report.settling = [(rel_path, settled.reason) for rel_path, settled in waiting]
    report.wait_s = min((settled.wait_s for _, settled in waiting), default=0.0)
    report.ready = len(decisions) - len(waiting)


def _write_candidates(
    session: Session, root_id: int, chunk: Sequence[_Decision], seen: dict[str, Signature], on_ready: ReadyHook
) -> None:
    paths = [rel_path for rel_path, _, _ in chunk]
    # Another scan may have added some of them since we looked.
    rows = session.exec(select(SourceFile).where(SourceFile.root_id == root_id, col(SourceFile.rel_path).in_(paths)))
    existing = {row.rel_path: row for row in rows}
    for rel_path, _, settled in chunk:
        row = existing.get(rel_path)
        if row is None:
            signature = seen[rel_path]
            row = SourceFile(
                root_id=root_id,
                rel_path=rel_path,
                path_key=path_key(rel_path),
                size=signature.size,
                mtime_ns=signature.mtime_ns,
            )
            session.add(row)
        _take_over(row, seen[rel_path])
        row.state = "present" if settled.ready else "settling"
        row.error_code = row.error_message = None
        if settled.ready:
            session.flush()
            on_ready(session, row)


def _write_moves(
    session: Session, moves: Sequence[tuple[Known, str]], seen: dict[str, Signature], on_ready: ReadyHook
) -> None:
    from spresso_assets.ingest.place import follow_move

    for item, rel_path in moves:
        row = session.get_one(SourceFile, item.id)
        row.rel_path = rel_path
        row.path_key = path_key(rel_path)
        _take_over(row, seen[rel_path])
        row.state = "unreadable" if item.state == "unreadable" else "present"
        session.flush()
        follow_move(session, row)
        if not item.probed and row.state == "present":
            on_ready(session, row)


def _write_states(session: Session, root_id: int, diff: Difference, on_ready: ReadyHook) -> None:
    now = now_us()
    for ids in _chunks([item.id for item in diff.gone]):
        session.exec(update(SourceFile).where(col(SourceFile.id).in_(ids)).values(state="missing", missing_since=now))
    for item in diff.back:
        row = session.get_one(SourceFile, item.id)
        row.state, row.missing_since, row.last_seen = "present", None, now
        if not item.probed:
            on_ready(session, row)
    for ids in _chunks([item.id for item in (*diff.same, *diff.unreadable)]):
        session.exec(update(SourceFile).where(col(SourceFile.id).in_(ids)).values(last_seen=now))


def _take_over(row: SourceFile, signature: Signature) -> None:
    now = now_us()
    if (row.size, row.mtime_ns) != (signature.size, signature.mtime_ns) or row.stable_since is None:
        row.stable_since = now
    row.size, row.mtime_ns, row.ctime_ns = signature.size, signature.mtime_ns, signature.ctime_ns
    row.dev, row.inode = signature.dev, signature.ino
    row.last_seen = now
    row.missing_since = None


def _set_root(catalog: Catalog, root_id: int, **values: Any) -> None:
    with catalog.session() as session:
        session.get_one(WatchRoot, root_id).sqlmodel_update(values)


def _chunks(items: Sequence[_T]) -> Iterator[Sequence[_T]]:
    for at in range(0, len(items), CHUNK):
        yield items[at : at + CHUNK]
