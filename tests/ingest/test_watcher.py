"""Watching real folders: events, what events miss, files that are still being written, roots that go away."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from spresso_assets.catalog.models import WatchRoot
from spresso_assets.errors import SpressoError
from spresso_assets.ingest import roots, watcher
from spresso_assets.ingest.mounts import Mount
from spresso_assets.ingest.reconcile import Report
from spresso_assets.ingest.watcher import Watcher, full_is_due
from tests.ingest.conftest import Library


class Watching:
    """A watcher in a thread, and what it reported."""

    def __init__(self, library: Library, **options: Any) -> None:
        self.reports: list[Report] = []
        self.problems: list[tuple[str, str]] = []
        self.changed = threading.Condition()
        self.watcher = Watcher(
            library.catalog,
            library.ready,
            on_report=lambda report: self._note(self.reports, report),
            on_problem=lambda root, error: self._note(self.problems, (root, error.code)),
            work=lambda: None,
            **options,
        )
        self.thread = threading.Thread(target=self.watcher.run, daemon=True)

    def _note(self, where: list[Any], item: object) -> None:
        with self.changed:
            where.append(item)
            self.changed.notify_all()

    def until(self, condition: Callable[[], bool]) -> None:
        with self.changed:
            assert self.changed.wait_for(condition, 30), (self.reports, self.problems)

    def __enter__(self) -> Watching:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.watcher.stop()
        self.thread.join(20)
        assert not self.thread.is_alive()


@pytest.fixture
def instant(library: Library) -> Library:
    """A library whose files need no quiet time."""
    with library.catalog.session() as session:
        root = session.get_one(WatchRoot, library.root_id)
        root.settle_s, root.backend = 0.0, "native"
    return library


def root_of(library: Library) -> WatchRoot:
    with library.catalog.read() as session:
        return session.get_one(WatchRoot, library.root_id)


def watched_of(watching: Watching) -> Any:
    return next(iter(watching.watcher._watched.values()))


def listens(watching: Watching) -> bool:
    sources = [watched.source for watched in list(watching.watcher._watched.values())]
    return bool(sources) and all(source is not None and source.alive() for source in sources)


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        threading.Event().wait(0.05)


def test_events_bring_new_moved_and_vanished_files(instant: Library) -> None:
    instant.put("before.wav")
    with Watching(instant) as watching:
        watching.until(lambda: bool(watching.reports))
        assert instant.states() == {"before.wav": "present"}
        file = instant.put("Doors/new.wav")
        wait_for(lambda: instant.states().get("Doors/new.wav") == "present")
        reads = len(instant.read)
        file.rename(instant.folder / "moved.wav")
        wait_for(lambda: "moved.wav" in instant.states())
        wait_for(lambda: "Doors/new.wav" not in instant.states())
        (instant.folder / "before.wav").unlink()
        wait_for(lambda: instant.states()["before.wav"] == "missing")
        assert len(instant.read) == reads


def test_file_is_read_when_its_writer_is_done(instant: Library) -> None:
    with Watching(instant) as watching:
        watching.until(lambda: watching.watcher.hints is not None)
        with (instant.folder / "slow.wav").open("wb") as writer:
            writer.write(b"first half")
            writer.flush()
            wait_for(lambda: instant.states().get("slow.wav") == "settling")
            assert instant.read == []
            writer.write(b", second half")
        wait_for(lambda: instant.states()["slow.wav"] == "present")
        assert instant.read == ["slow.wav"]
        assert instant.rows()["slow.wav"].size == len(b"first half, second half")


def test_root_that_goes_away_and_comes_back(instant: Library) -> None:
    instant.put("a.wav")
    away = instant.folder.parent / "away"
    with Watching(instant, rescan_s=1.0) as watching:
        watching.until(lambda: bool(watching.reports))
        instant.folder.rename(away)
        watching.until(lambda: bool(watching.problems))
        assert watching.problems == [("sfx", "root_offline")]
        assert instant.states() == {"a.wav": "offline"}
        away.rename(instant.folder)
        instant.put("b.wav")
        wait_for(lambda: instant.states().get("b.wav") == "present")
        wait_for(lambda: root_of(instant).state == "active")
        assert instant.states() == {"a.wav": "present", "b.wav": "present"}
        wait_for(lambda: listens(watching))
        assert len(instant.read) == 2, "what was there before is not read again"


def test_once_scans_and_ends(instant: Library) -> None:
    instant.put("a.wav")
    watching = Watching(instant)
    assert watching.watcher.once() == 0.0
    assert instant.states() == {"a.wav": "present"}


def test_paused_and_scan_only_roots_are_left_alone(instant: Library) -> None:
    instant.put("a.wav")
    for values in ({"state": "paused"}, {"state": "active", "mode": "scan"}):
        with instant.catalog.session() as session:
            session.get_one(WatchRoot, instant.root_id).sqlmodel_update(values)
        Watching(instant).watcher.once()
    assert instant.states() == {}


def test_overflow_warning_is_heard(instant: Library) -> None:
    with Watching(instant) as watching:
        wait_for(lambda: bool(logging.getLogger("watchdog").handlers))
        wait_for(lambda: all(w.next_scan > 0 for w in watching.watcher._watched.values()))
        instant.put("unseen.wav")
        logging.getLogger("watchdog.observers.inotify_c").warning("Inotify queue overflowed")
        wait_for(lambda: instant.states().get("unseen.wav") == "present")


def test_problem_is_said_once(instant: Library) -> None:
    watching = Watching(instant)
    watching.watcher._load_roots(listen=False)
    watched = next(iter(watching.watcher._watched.values()))
    for _ in range(3):
        watching.watcher._complain(watched, SpressoError("away", code="root_offline"))
    assert watching.problems == [("sfx", "root_offline")]


def test_every_file_is_compared_as_often_as_that_is_cheap() -> None:
    def due(seconds_ago: float | None, took_s: float) -> bool:
        at = None if seconds_ago is None else 10**15 - int(seconds_ago * 1e6)
        return full_is_due(WatchRoot(name="x", path="/x", last_full_scan_at=at, full_scan_s=took_s), 10**15)

    assert due(None, 0.0), "never done"
    assert due(60, 2.9) and not due(60, 3.1), "a twentieth of the time"
    assert due(86_401, 10**6) and not due(86_399, 10**6), "once a day at least"


def test_a_mounted_part_is_polled_and_the_rest_is_listened_to(
    instant: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(roots, "mounts_inside", lambda path, mode: [Mount("NAS", "cifs", "poll")])
    (instant.folder / "NAS").mkdir()
    with instant.catalog.session() as session:
        session.get_one(WatchRoot, instant.root_id).poll_s = 0.3
    with Watching(instant) as watching:
        wait_for(lambda: listens(watching))
        instant.put("NAS/a.wav")
        instant.put("local.wav")
        wait_for(lambda: instant.states() == {"NAS/a.wav": "present", "local.wav": "present"})
    root = root_of(instant)
    assert root.backend == "native"
    assert root.mounts == [{"path": "NAS", "file_system": "cifs", "backend": "poll"}]


def test_too_many_folders_are_said_once_and_scanned_instead(instant: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(folders: int) -> None:
        raise SpressoError(f"{folders} folders are too many", code="watch_limit")

    monkeypatch.setattr(watcher, "require_watches", refuse)
    with instant.catalog.session() as session:
        session.get_one(WatchRoot, instant.root_id).poll_s = 0.2
    with Watching(instant) as watching:
        watching.until(lambda: bool(watching.problems))
        instant.put("a.wav")
        wait_for(lambda: instant.states() == {"a.wav": "present"})
    assert watching.problems == [("sfx", "watch_limit")]
    root = root_of(instant)
    assert (root.backend, root.backend_reason) == ("poll", "1 folders are too many")


def test_a_pause_ends_by_itself(instant: Library) -> None:
    instant.put("a.wav")
    with instant.catalog.session() as session:
        roots.pause_root(session.get_one(WatchRoot, instant.root_id), "me", "for a test", 3600)
    Watching(instant).watcher.once()
    assert instant.states() == {}
    with instant.catalog.session() as session:
        session.get_one(WatchRoot, instant.root_id).pause_expires_at = 1
    Watching(instant).watcher.once()
    assert instant.states() == {"a.wav": "present"} and root_of(instant).state == "active"


def test_a_fault_of_one_root_ends_no_watching(instant: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    honest, faults = watcher.reconcile, [OSError(5, "Input/output error")]

    def breaks(*args: Any, **options: Any) -> Report:
        if faults:
            raise faults.pop()
        return honest(*args, **options)

    monkeypatch.setattr(watcher, "reconcile", breaks)
    instant.put("a.wav")
    with instant.catalog.session() as session:
        session.get_one(WatchRoot, instant.root_id).poll_s = 0.2
    with Watching(instant) as watching:
        wait_for(lambda: instant.states() == {"a.wav": "present"})
    assert watching.problems == [("sfx", "scan_failed")]


def test_thousands_of_hints_are_one_scan(instant: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watcher, "MOST_HINTS", 10)
    watching = Watching(instant)
    watching.watcher.once()
    for n in range(11):
        instant.put(f"{n}.wav")
    watched = watched_of(watching)
    watched.again = dict.fromkeys([f"{n}.wav" for n in range(11)], 0.0)
    watching.watcher.once()
    watching.watcher.once()
    assert len(instant.states()) == 11 and not watched.again and not watched.lost
