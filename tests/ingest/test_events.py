"""Event sources: when they are dead, what they listen to, what the system allows."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from spresso_assets.errors import SpressoError
from spresso_assets.ingest.events import EventSource, Hints, listening_plan, require_watches


def test_lost_events_lead_to_a_scan() -> None:
    hints = Hints()
    hints.add(1, "a.wav")
    hints.lost_some()
    assert hints.collect(1.0) == ({1: {"a.wav"}}, True)
    assert hints.collect(0.0) == ({}, False)


@pytest.fixture
def source(tmp_path: Path) -> Iterator[EventSource]:
    folder = tmp_path / "root"
    folder.mkdir()
    source = EventSource(1, folder, Hints())
    yield source
    source.stop()


def test_watch_of_a_replaced_folder_is_dead(source: EventSource) -> None:
    source.start()
    assert source.alive()
    source.path.rename(source.path.parent / "old")
    source.path.mkdir()
    assert not source.alive()


def test_watch_whose_emitter_died_is_dead(source: EventSource) -> None:
    source.start()
    assert source._observer is not None
    for emitter in source._observer.emitters:
        emitter.stop()
        emitter.join(10)
    assert source._observer.is_alive() and not source.alive()


def test_folders_beside_a_share_are_watched_one_by_one(tmp_path: Path) -> None:
    for name in ("Doors/old", "NAS/there", "Rain", "deep/NAS2", "deep/local"):
        (tmp_path / name).mkdir(parents=True)
    assert listening_plan(tmp_path, []) == [("", True)]
    assert listening_plan(tmp_path, ["NAS", "deep/NAS2"]) == [
        ("", False),
        ("Doors", True),
        ("Rain", True),
        ("deep", False),
        ("deep/local", True),
    ]


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        threading.Event().wait(0.02)


def test_nothing_below_a_silent_part_is_heard_and_everything_beside_it_is(tmp_path: Path) -> None:
    for name in ("Doors", "NAS/there"):
        (tmp_path / name).mkdir(parents=True)
    hints = Hints()
    source = EventSource(1, tmp_path, hints, ["NAS"])
    source.start()
    try:
        (tmp_path / "NAS/there/unheard.wav").write_bytes(b"x")
        (tmp_path / "Doors/heard.wav").write_bytes(b"x")
        (tmp_path / "top.wav").write_bytes(b"x")
        heard: set[str] = set()

        def both() -> bool:
            heard.update(hints.collect(0.1)[0].get(1, set()))
            return {"Doors/heard.wav", "top.wav"} <= heard

        wait_for(both)
        assert not any(path.startswith("NAS") for path in heard)
        assert source.alive()
        (tmp_path / "New").mkdir()
        wait_for(lambda: not source.alive())  # it has to be started again to hear what is in there
    finally:
        source.stop()


def test_a_folder_is_not_a_hint_because_an_entry_of_it_changed(tmp_path: Path) -> None:
    from watchdog.events import DirModifiedEvent, FileModifiedEvent

    hints = Hints()
    source = EventSource(1, tmp_path, hints)
    source.hint(DirModifiedEvent(str(tmp_path / "Doors")))
    source.hint(FileModifiedEvent(str(tmp_path / "Doors/a.wav")))
    assert hints.collect(0.0)[0] == {1: {"Doors/a.wav"}}


def test_more_folders_than_the_system_can_watch_are_said(tmp_path: Path) -> None:
    for name, number in (("fs/inotify/max_user_watches", 1000), ("user/max_inotify_watches", 500)):
        file = tmp_path / name
        file.parent.mkdir(parents=True)
        file.write_text(f"{number}\n")
    require_watches(400, tmp_path)
    with pytest.raises(SpressoError) as caught:
        require_watches(401, tmp_path)
    assert caught.value.code == "watch_limit" and "500" in caught.value.message
    require_watches(10**9, tmp_path / "no such system")
