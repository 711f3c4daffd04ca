"""Watch roots: file events make the next look come sooner, regular scans make sure that nothing is missed.

Events get lost: queues overflow, shares send none, a watch limit is reached in silence. So an event is only ever a
hint to reconcile that path; every root is scanned at the start, after anything suspicious, and every `rescan_s`.
Most of these scans are quick. A quick one cannot see a file that was written to in place, so every file is compared
again when events were lost, and otherwise as often as that takes no more than a twentieth of the time.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import func, select
from sqlmodel import col

from spresso_assets.catalog.columns import now_us
from spresso_assets.catalog.models import ScanFolder, WatchRoot
from spresso_assets.errors import FaultKind, SpressoError
from spresso_assets.ingest.events import EventSource, Hints, overflow_warnings, require_watches
from spresso_assets.ingest.folders import chunks
from spresso_assets.ingest.mounts import Mount, silent_parts
from spresso_assets.ingest.reconcile import ReadyHook, Report, outermost, reconcile
from spresso_assets.ingest.roots import detect_backend, is_paused, resume_root

if TYPE_CHECKING:
    from spresso_assets.catalog.engine import Catalog

CHECK_S = 5.0  # how often watches are checked for being alive, and roots for having been changed by other commands
# Of the time, that comparing every file may take; and how seldom that is done at least.
FULL_SHARE = 0.05
FULL_EVERY_S = 86_400.0
# Paths of one look; beyond the second number a scan of the whole root is cheaper.
PARTS = 400
MOST_HINTS = 4000
RETRY_S = 2.0
OFFLINE = "root_offline"


def full_is_due(root: WatchRoot, now: int) -> bool:
    """Whether it is time to compare every file of a root. `now`: microseconds since 1970."""
    if root.last_full_scan_at is None:
        return True
    pause_s = min((root.full_scan_s or 0.0) / FULL_SHARE, FULL_EVERY_S)
    return now - root.last_full_scan_at >= pause_s * 1e6


@dataclass
class _Watched:
    root: WatchRoot
    silent: list[str] = field(default_factory=list)
    source: EventSource | None = None
    deaf: str = ""  # why there are no events although there should be
    next_scan: float = 0.0
    next_poll: float = 0.0  # of the silent parts
    lost: bool = True  # events may have been lost: the next scan compares every file
    again: dict[str, float] = field(default_factory=dict)  # unfinished path -> when to look again
    complained: str = ""


class Watcher:
    """The watch loop over all active roots of a catalog.

    Args:
        catalog: the open catalog.
        on_ready: see `reconcile`.
        on_report: called with every report that found something.
        on_problem: called with root name and error when a root cannot be scanned or watched; it is tried again.
        work: called after each look; whatever takes long belongs into another thread, for nobody looks meanwhile.
        rescan_s: seconds between two scans of a root with events.
        names: only these roots.
    """

    def __init__(
        self,
        catalog: Catalog,
        on_ready: ReadyHook,
        *,
        on_report: Callable[[Report], None],
        on_problem: Callable[[str, SpressoError], None],
        work: Callable[[], None],
        rescan_s: float = 600.0,
        names: tuple[str, ...] = (),
    ) -> None:
        self.catalog = catalog
        self.on_ready = on_ready
        self.on_report = on_report
        self.on_problem = on_problem
        self.work = work
        self.rescan_s = rescan_s
        self.names = names
        self.hints = Hints()
        self._watched: dict[int, _Watched] = {}

    def stop(self) -> None:
        """End `run` after the current step; may be called from a signal handler's thread or another one."""
        self.hints.stop()

    def run(self) -> None:
        """Watch until `stop` is called."""
        with overflow_warnings(self.hints.lost_some):
            try:
                while not self.hints.stopped:
                    try:
                        self._load_roots()
                        self._look()
                        self.work()
                        self._collect()
                    except SpressoError as error:
                        if error.kind is not FaultKind.RETRYABLE:
                            raise
                        # A database that is restarted is back in a moment; whatever happens meanwhile is scanned.
                        self.on_problem("catalog", error)
                        self.hints.lost_some()
                        self.hints.collect(CHECK_S)
            finally:
                for watched in self._watched.values():
                    _end(watched)

    def once(self) -> float:
        """Scan every root once; returns after how many seconds an unfinished file is worth another look, or 0."""
        self._load_roots(listen=False)
        self._look()
        self.work()
        waits = [when for watched in self._watched.values() for when in watched.again.values()]
        return max(min(waits) - time.monotonic(), 0.05) if waits else 0.0

    def _load_roots(self, *, listen: bool = True) -> None:
        with self.catalog.read() as session:
            roots = {root.id or 0: root for root in session.execute(select(WatchRoot)).scalars() if self._wanted(root)}
        for root_id in set(self._watched) - set(roots):
            _end(self._watched.pop(root_id))
        for root_id, root in roots.items():
            watched = self._watched.setdefault(root_id, _Watched(root))
            if watched.root.path != root.path:
                _end(watched)
                watched.next_scan = 0.0
            self._bring_up_to_date(root, watched)
            watched.root = root
            if listen and root.backend == "native" and root.last_scan_at is not None:
                self._listen(root_id, watched)

    def _wanted(self, root: WatchRoot) -> bool:
        return not is_paused(root) and root.mode != "scan" and (not self.names or root.name in self.names)

    def _bring_up_to_date(self, root: WatchRoot, watched: _Watched) -> None:
        """Notice pauses that are over, and what was mounted or unmounted."""
        changed = root.state == "paused"
        if changed:
            resume_root(root)
        before = (root.backend, root.backend_reason, root.mounts)
        detect_backend(root)
        if watched.deaf:
            root.backend, root.backend_reason = "poll", watched.deaf
        silent = silent_parts([Mount(**mount) for mount in root.mounts]) if root.backend == "native" else []
        if root.backend != "native":
            _end(watched)
        if silent != watched.silent:
            _end(watched)
            watched.silent, watched.next_scan, watched.next_poll = silent, 0.0, 0.0
        if changed or (root.backend, root.backend_reason, root.mounts) != before:
            with self.catalog.session() as session:
                row = session.get_one(WatchRoot, root.id)
                if changed:
                    resume_root(row)
                row.backend, row.backend_reason, row.mounts = root.backend, root.backend_reason, root.mounts

    def _listen(self, root_id: int, watched: _Watched) -> None:
        if watched.source is not None and watched.source.alive():
            return
        _end(watched)
        path = Path(watched.root.path)
        if not path.is_dir():
            if watched.complained != OFFLINE:
                watched.next_scan = 0.0  # the scan finds out what is the matter, and says so
            return
        source = EventSource(root_id, path, self.hints, watched.silent)
        try:
            require_watches(self._folders_of([*self._listening(), root_id]))
            source.start()
        except (OSError, SpressoError) as error:
            source.stop()
            if isinstance(error, OSError):
                every = f"scanning every {watched.root.poll_s:.0f} s"
                error = SpressoError(
                    f"file events do not work ({error.strerror or error}); {every}", code="no_file_events"
                )
            watched.deaf = error.message
            self._bring_up_to_date(watched.root, watched)
            self._complain(watched, error)
            return
        watched.source = source
        watched.next_scan, watched.lost = 0.0, True  # for whatever happened while nobody listened

    def _listening(self) -> list[int]:
        return [root_id for root_id, watched in self._watched.items() if watched.source is not None]

    def _folders_of(self, root_ids: list[int]) -> int:
        """Folders of roots, by their last scan."""
        with self.catalog.read() as session:
            number = select(func.count()).where(
                col(ScanFolder.root_id).in_(root_ids), col(ScanFolder.is_there).is_(True)
            )
            return session.connection().execute(number).scalar_one()

    def _look(self) -> None:
        for root_id, watched in self._watched.items():
            if self.hints.stopped:
                return
            now = time.monotonic()
            if now >= watched.next_scan:
                self._scan(root_id, watched)
                continue
            if watched.silent and now >= watched.next_poll:
                self._poll(root_id, watched)
            due = {path for path, when in watched.again.items() if now >= when}
            if len(due) > MOST_HINTS:
                watched.next_scan, watched.lost = 0.0, True
            for parts in chunks(outermost(due), PARTS) if len(due) <= MOST_HINTS else ():
                for path in parts:
                    watched.again.pop(path, None)
                self._reconcile(root_id, watched, parts, quick=False)
            for path in due:
                if watched.again.get(path, now + 1) <= now:
                    del watched.again[path]  # it lay inside of another part

    def _scan(self, root_id: int, watched: _Watched) -> None:
        full = watched.lost or full_is_due(watched.root, now_us())
        watched.next_scan = float("inf")
        if self._reconcile(root_id, watched, [""], quick=not full):
            watched.lost = False
        now = time.monotonic()
        watched.next_scan = min(watched.next_scan, now + self._period(watched))
        watched.next_poll = now + watched.root.poll_s

    def _period(self, watched: _Watched) -> float:
        if watched.complained == OFFLINE:
            return CHECK_S  # to be there when it is back
        return self.rescan_s if watched.source is not None else watched.root.poll_s

    def _poll(self, root_id: int, watched: _Watched) -> None:
        """Look at the mounted parts that send no events. Every file is compared as often as in a root of that kind."""
        due = full_is_due(watched.root, now_us())
        self._reconcile(root_id, watched, watched.silent, quick=not due)
        watched.next_poll = time.monotonic() + watched.root.poll_s

    def _collect(self) -> None:
        now = time.monotonic()
        times = [watched.next_scan for watched in self._watched.values()]
        times += [watched.next_poll for watched in self._watched.values() if watched.silent]
        times += [when for watched in self._watched.values() for when in watched.again.values()]
        hints, everything = self.hints.collect(max(min([now + CHECK_S, *times]) - now, 0.01))
        if everything:
            for watched in self._watched.values():
                watched.next_scan, watched.lost = 0.0, True
        now = time.monotonic()
        for root_id, paths in hints.items():
            if root_id in self._watched:
                self._watched[root_id].again.update(dict.fromkeys(paths, now))
                with self.catalog.session() as session:
                    session.get_one(WatchRoot, root_id).last_event_at = now_us()

    def _reconcile(self, root_id: int, watched: _Watched, parts: Iterable[str], *, quick: bool) -> bool:
        """Look at some parts of a root; returns whether that worked."""
        parts = list(parts)
        whole = parts == [""]
        try:
            report = reconcile(
                self.catalog, root_id, self.on_ready, under=parts, quick=quick, patient=True, patience_s=0.0
            )
        except SpressoError as error:
            later = time.monotonic() + RETRY_S
            if error.code not in ("scan_running", "scan_taken_over"):
                self._complain(watched, error)
                watched.lost = True
            elif whole:
                watched.next_scan = later
            if not whole and error.kind is FaultKind.RETRYABLE:
                watched.again.update(dict.fromkeys(parts, later))
            return False
        except OSError as error:
            # Shares fail in many ways; none of them may end the watching of all the others.
            self._complain(watched, SpressoError(f"the scan stopped: {error}", code="scan_failed"))
            return False
        if whole and watched.complained == OFFLINE:
            _end(watched)  # the folder is back, and may be another one: listen to it anew
        watched.complained = ""
        when = time.monotonic() + max(report.wait_s, 0.05)
        if whole:
            watched.again.clear()
        watched.again.update({path: when for path, _ in report.settling})
        if report.counts["settling"] > len(report.settling):
            watched.next_scan = when  # more than a list can hold
        if report.found_something():
            self.on_report(report)
        return True

    def _complain(self, watched: _Watched, error: SpressoError) -> None:
        # Once per fault: a share that is away for a night is one line, not ten thousand.
        if watched.complained != error.code:
            watched.complained = error.code
            self.on_problem(watched.root.name, error)


def _end(watched: _Watched) -> None:
    if watched.source is not None:
        watched.source.stop()
        watched.source = None
