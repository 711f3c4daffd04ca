"""Watch roots: file events make the next look come sooner, regular scans make sure that nothing is missed.

Events get lost: queues overflow (7,317 of 10,000 files in one trial), shares send none, a watch limit is reached in
silence. So an event is only ever a hint to reconcile that path; every root is scanned at the start, after anything
suspicious, and every `rescan_s`. Whether a watch still lives is asked of its emitter thread and of the root's inode:
the observer itself says "alive" long after its emitter died.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from sqlmodel import select

from spresso_assets.catalog.columns import now_us
from spresso_assets.catalog.models import WatchRoot
from spresso_assets.errors import SpressoError
from spresso_assets.ingest.reconcile import ReadyHook, Report, reconcile

if TYPE_CHECKING:
    from watchdog.events import FileSystemEvent
    from watchdog.observers.api import BaseObserver

    from spresso_assets.catalog.engine import Catalog

COLLECT_S = 0.3  # events come in bursts: one look for all of a burst
CHECK_S = 5.0  # how often watches are checked for being alive, and roots for having been changed by other commands
# Reading a file raises these; reacting to them would make the watcher chase its own tail.
OWN_READING = frozenset({"opened", "closed_no_write"})


class Hints:
    """Paths that something happened to, gathered from event threads and collected by the watch loop."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._paths: dict[int, set[str]] = {}
        self._everything = False
        self._stopped = False

    def add(self, root_id: int, rel_path: str) -> None:
        """Something happened at this path."""
        with self._condition:
            self._paths.setdefault(root_id, set()).add(rel_path)
            self._condition.notify()

    def lost_some(self) -> None:
        """Events were lost: everything has to be scanned."""
        with self._condition:
            self._everything = True
            self._condition.notify()

    def stop(self) -> None:
        """Wake the loop for the last time."""
        with self._condition:
            self._stopped = True
            self._condition.notify()

    @property
    def stopped(self) -> bool:
        return self._stopped

    def collect(self, timeout_s: float) -> tuple[dict[int, set[str]], bool]:
        """Wait for hints; returns them by root, and whether everything has to be scanned."""
        with self._condition:
            waiting = self._condition.wait_for(self._any, timeout_s)
            if waiting and not self._stopped:
                self._condition.wait_for(lambda: self._stopped, COLLECT_S)
            taken, self._paths = self._paths, {}
            everything, self._everything = self._everything, False
            return taken, everything

    def _any(self) -> bool:
        return bool(self._paths) or self._everything or self._stopped


def common_folder(rel_paths: set[str]) -> str:
    """The smallest part of a root that holds all these paths: one path is itself, '' is the whole root."""
    if len(rel_paths) == 1:
        return next(iter(rel_paths))
    return os.path.commonpath(sorted(rel_paths))


class EventSource:
    """File events of one root, for as long as its folder is the same folder."""

    def __init__(self, root_id: int, path: Path, hints: Hints) -> None:
        self.path = path
        self._identity = _identity(path)
        self._observer: BaseObserver | None = None
        self._hints = hints
        self._root_id = root_id

    def start(self) -> None:
        """Begin to listen.

        Raises:
            OSError: the system has no watches left, or the folder is gone.
        """
        from watchdog.events import FileSystemEventHandler
        from watchdog.observers import Observer

        source = self

        class Handler(FileSystemEventHandler):
            def on_any_event(self, event: FileSystemEvent) -> None:
                source.hint(event)

        observer = Observer()
        observer.schedule(Handler(), str(self.path), recursive=True)
        observer.start()
        self._observer = observer

    def hint(self, event: FileSystemEvent) -> None:
        """Turn an event into hints for the paths that it names."""
        if event.event_type in OWN_READING:
            return
        for raw in (event.src_path, event.dest_path):
            path = os.fsdecode(raw)
            if path and Path(path).is_relative_to(self.path):
                rel_path = Path(path).relative_to(self.path).as_posix()
                # An event for the folder itself says only that an entry of it changed, which has its own event.
                if rel_path != ".":
                    self._hints.add(self._root_id, rel_path)

    def alive(self) -> bool:
        """Whether events still come: threads run, and the path is still the folder that is being watched."""
        observer = self._observer
        if observer is None or not observer.is_alive() or _identity(self.path) != self._identity:
            return False
        return bool(observer.emitters) and all(emitter.is_alive() for emitter in observer.emitters)

    def stop(self) -> None:
        """Stop listening; safe to call twice."""
        if self._observer is not None:
            self._observer.stop()
            self._observer.join(timeout=5)
            self._observer = None


@dataclass
class _Watched:
    root: WatchRoot
    source: EventSource | None = None
    next_scan: float = 0.0
    again: dict[str, float] = field(default_factory=dict)  # unfinished path -> when to look again
    complained: str = ""


class Watcher:
    """The watch loop over all active roots of a catalog.

    Args:
        catalog: the open catalog.
        on_ready: see `reconcile`.
        on_report: called with every report that found something.
        on_problem: called with root name and error when a root cannot be scanned or watched; it is tried again.
        work: called after each look, to do what became ready; events are collected meanwhile.
        rescan_s: seconds between two full scans of a root with events.
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
        with _overflow_warnings(self.hints.lost_some):
            try:
                while not self.hints.stopped:
                    self._load_roots()
                    self._look()
                    self.work()
                    self._collect()
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
            roots = {root.id or 0: root for root in session.exec(select(WatchRoot)) if self._wanted(root)}
        for root_id in set(self._watched) - set(roots):
            _end(self._watched.pop(root_id))
        for root_id, root in roots.items():
            watched = self._watched.setdefault(root_id, _Watched(root))
            if watched.root.path != root.path:
                _end(watched)
                watched.next_scan = 0.0
            watched.root = root
            if listen and root.backend == "native":
                self._listen(root_id, watched)

    def _wanted(self, root: WatchRoot) -> bool:
        return root.state != "paused" and root.mode != "scan" and (not self.names or root.name in self.names)

    def _listen(self, root_id: int, watched: _Watched) -> None:
        if watched.source is not None and watched.source.alive():
            return
        _end(watched)
        source = EventSource(root_id, Path(watched.root.path), self.hints)
        try:
            source.start()
        except OSError as error:
            if Path(watched.root.path).is_dir():
                message = (
                    f"file events do not work ({error.strerror or error}); scanning every {watched.root.poll_s:.0f} s"
                )
                self._complain(watched, SpressoError(message, code="no_file_events"))
            source.stop()
            return
        watched.source = source
        watched.next_scan = 0.0  # for whatever happened while nobody listened

    def _look(self) -> None:
        now = time.monotonic()
        for root_id, watched in self._watched.items():
            if now >= watched.next_scan:
                self._reconcile(root_id, watched, "")
                period = self.rescan_s if watched.source is not None else watched.root.poll_s
                watched.next_scan = time.monotonic() + period
            elif due := {path for path, when in watched.again.items() if now >= when}:
                for path in due:
                    del watched.again[path]
                self._reconcile(root_id, watched, common_folder(due))

    def _collect(self) -> None:
        now = time.monotonic()
        times = [watched.next_scan for watched in self._watched.values()]
        times += [when for watched in self._watched.values() for when in watched.again.values()]
        hints, everything = self.hints.collect(max(min([now + CHECK_S, *times]) - now, 0.01))
        if everything:
            for watched in self._watched.values():
                watched.next_scan = 0.0
        now = time.monotonic()
        for root_id, paths in hints.items():
            if root_id in self._watched:
                self._watched[root_id].again.update(dict.fromkeys(paths, now))
                with self.catalog.session() as session:
                    session.get_one(WatchRoot, root_id).last_event_at = now_us()

    def _reconcile(self, root_id: int, watched: _Watched, under: str) -> None:
        try:
            report = reconcile(self.catalog, root_id, self.on_ready, under=under, patient=True)
        except SpressoError as error:
            self._complain(watched, error)
            return
        watched.complained = ""
        when = time.monotonic() + max(report.wait_s, 0.05)
        if not under:
            watched.again.clear()
        watched.again.update({path: when for path, _ in report.settling})
        if report.found_something():
            self.on_report(report)

    def _complain(self, watched: _Watched, error: SpressoError) -> None:
        # Once per fault: a share that is away for a night is one line, not ten thousand.
        if watched.complained != error.code:
            watched.complained = error.code
            self.on_problem(watched.root.name, error)


def _end(watched: _Watched) -> None:
    if watched.source is not None:
        watched.source.stop()
        watched.source = None


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        seen = path.stat()
    except OSError:
        return None
    return seen.st_dev, seen.st_ino


@contextmanager
def _overflow_warnings(notify: Callable[[], None]) -> Iterator[None]:
    """The library reports lost events only in its log."""

    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            notify()

    logger = logging.getLogger("watchdog")
    listener = Listener(logging.WARNING)
    logger.addHandler(listener)
    propagate, logger.propagate = logger.propagate, False
    try:
        yield
    finally:
        logger.removeHandler(listener)
        logger.propagate = propagate
