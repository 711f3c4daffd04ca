"""File events of a root, turned into hints. They get lost and stop in silence, so everything about them is checked.

Whether a watch still lives is asked of its emitter threads and of the root's inode: the observer itself says "alive"
long after its emitter died. Lost events are said only in the library's log, which is listened to.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from spresso_assets.errors import SpressoError

if TYPE_CHECKING:
    from watchdog.events import FileSystemEvent
    from watchdog.observers.api import BaseObserver

COLLECT_S = 0.3  # events come in bursts: one look for all of a burst
# Reading a file raises these; reacting to them would make the watcher chase its own tail.
OWN_READING = frozenset({"opened", "closed_no_write"})
# Of the system's limits: others want to watch something, too, and the limit is reached in silence.
MOST_SHARE = 0.8
# A separate watch for each folder beside a share costs an instance; a user has 128 of them on most systems.
MOST_INSTANCES = 32
LIMITS = Path("/proc/sys")


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


class EventSource:
    """File events of one root, for as long as its folder is the same folder.

    Args:
        silent: mount points below the root that send no events; nothing below them is watched.
    """

    def __init__(self, root_id: int, path: Path, hints: Hints, silent: Sequence[str] = ()) -> None:
        self.path = path
        self._silent = tuple(silent)
        self._identity = _identity(path)
        self._observer: BaseObserver | None = None
        self._plan: list[tuple[str, bool]] = []
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

        self._plan = listening_plan(self.path, self._silent)
        if len(self._plan) > MOST_INSTANCES:
            raise OSError(
                f"{len(self._plan)} folders would have to be watched one by one, around what is mounted there"
            )
        self._observer = Observer()
        handler = Handler()
        for folder, recursive in self._plan:
            self._observer.schedule(handler, str(self.path / folder), recursive=recursive)
        self._observer.start()

    def hint(self, event: FileSystemEvent) -> None:
        """Turn an event into hints for the paths that it names."""
        # A folder is "modified" when an entry of it changes, which has its own event.
        if event.event_type in OWN_READING or (event.is_directory and event.event_type == "modified"):
            return
        for raw in (event.src_path, event.dest_path):
            path = os.fsdecode(raw)
            if path and Path(path).is_relative_to(self.path):
                rel_path = Path(path).relative_to(self.path).as_posix()
                if rel_path != ".":
                    self._hints.add(self._root_id, rel_path)

    def alive(self) -> bool:
        """Whether events still come: threads run, and the path is still the folder that is being watched."""
        observer = self._observer
        if observer is None or not observer.is_alive() or _identity(self.path) != self._identity:
            return False
        if len(self._plan) > 1 and self._plan != listening_plan(self.path, self._silent):
            return False  # a folder appeared beside a mounted one
        emitters = observer.emitters
        return len(emitters) == len(self._plan) and all(emitter.is_alive() for emitter in emitters)

    def stop(self) -> None:
        """Stop listening; safe to call twice."""
        if self._observer is not None:
            self._observer.stop()
            if self._observer.is_alive():
                self._observer.join(timeout=5)
            self._observer = None


def listening_plan(root: Path, silent: Sequence[str]) -> list[tuple[str, bool]]:
    """Folders to watch, relative to the root, and whether with everything below: all but the `silent` parts."""
    if not silent:
        return [("", True)]
    above = {"/".join(part.split("/")[:depth]) for part in silent for depth in range(part.count("/") + 1)}
    plan: list[tuple[str, bool]] = []
    for folder in sorted(above):
        plan.append((folder, False))
        try:
            with os.scandir(root / folder) as entries:
                names = sorted(entry.name for entry in entries if entry.is_dir(follow_symlinks=False))
        except OSError:
            continue
        below = [f"{folder}/{name}" if folder else name for name in names]
        plan += [(path, True) for path in below if path not in above and path not in silent]
    return plan


def require_watches(folders: int, limits: Path = LIMITS) -> None:
    """Compare a number of folders with what the system lets a user watch; one watch is needed for each.

    Raises:
        SpressoError: `watch_limit`.
    """
    found = [_number(limits / name) for name in ("fs/inotify/max_user_watches", "user/max_inotify_watches")]
    most = min((limit for limit in found if limit is not None), default=None)
    if most is not None and folders > MOST_SHARE * most:
        raise SpressoError(
            f"{folders} folders are too many for file events: this system watches {most} at most",
            code="watch_limit",
            hint=f"Raise fs.inotify.max_user_watches above {round(folders / MOST_SHARE)} with sysctl, and start again.",
        )


def _number(file: Path) -> int | None:
    try:
        return int(file.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        seen = path.stat()
    except OSError:
        return None
    return seen.st_dev, seen.st_ino


@contextmanager
def overflow_warnings(notify: Callable[[], None]) -> Iterator[None]:
    """Hear the library's warnings: that events were lost is said nowhere else."""

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
