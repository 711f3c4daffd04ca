"""A background worker: it is woken or looks by itself, reports, drains, and survives a catalog that does not answer."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlmodel import select

from spresso_assets.catalog.engine import Catalog
from spresso_assets.catalog.models import Job, Worker
from spresso_assets.errors import SpressoError
from spresso_assets.jobs import queue, roster
from spresso_assets.jobs.worker import BackgroundWorker
from tests.jobs.sounds import a_context, enqueue_files, register, write_sound
from tests.jobs.test_reaper import dead_owner


def wait_for(condition: Callable[[], bool], what: str, seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited for {what}"
        time.sleep(0.01)


@contextlib.contextmanager
def working(catalog: Catalog, poll_s: float = 0.02, beat_s: float = 0.05) -> Iterator[BackgroundWorker]:
    worker = BackgroundWorker(catalog, a_context(), queue.QUEUES, name="w1", poll_s=poll_s, beat_s=beat_s)
    thread = worker.start()
    try:
        yield worker
    finally:
        worker.stop()
        thread.join(30)
        assert not thread.is_alive()


def done(catalog: Catalog, number: int) -> bool:
    with catalog.read() as session:
        return len(session.exec(select(Job.id).where(Job.status == "succeeded")).all()) == number


def reported(catalog: Catalog, **said: object) -> bool:
    """Whether the worker has said this of itself."""
    with catalog.read() as session:
        row = session.exec(select(Worker).where(Worker.name == "w1")).first()
    return row is not None and all(getattr(row, name) == value for name, value in said.items())


def report(catalog: Catalog) -> Worker:
    with catalog.read() as session:
        return session.exec(select(Worker).where(Worker.name == "w1")).one()


def test_an_idle_worker_finds_work_that_nobody_told_it_of(catalog: Catalog, tmp_path: Path) -> None:
    folder = tmp_path / "sfx"
    for number in range(3):
        write_sound(folder / f"{number}.wav", seed=number)
    root = register(catalog, folder)
    with working(catalog) as worker:
        wait_for(lambda: reported(catalog, state="idle"), "the first report")
        enqueue_files(catalog, root, folder)
        wait_for(lambda: done(catalog, 6), "three files read and encoded, the encoding not waited for")
        wait_for(lambda: reported(catalog, jobs_done=6), "the report")
    last = report(catalog)
    assert (last.state, last.jobs_failed, last.queues) == ("stopped", 0, list(queue.QUEUES))
    assert last.memory_bytes and last.weights_sha256 == worker.context.codec().weights_sha256


def test_a_message_wakes_it_up_at_once(catalog: Catalog, tmp_path: Path) -> None:
    folder = tmp_path / "sfx"
    write_sound(folder / "a.wav", seed=1)
    root = register(catalog, folder)
    with working(catalog, poll_s=2.0) as worker:
        wait_for(lambda: reported(catalog, state="idle"), "the first report")
        worker.poll_s = 3600.0
        time.sleep(2.1)  # the look that was under way
        enqueue_files(catalog, root, folder)
        worker.wake()
        worker.wake()
        wait_for(lambda: done(catalog, 2), "both jobs, long before it would have looked again")
        worker.poll_s = 0.01
        worker.wake()


def test_it_drains_when_asked_and_says_so(catalog: Catalog) -> None:
    with working(catalog) as worker:
        wait_for(lambda: reported(catalog, state="idle"), "the first report")
        with catalog.session() as session:
            assert roster.request_drain(session, "w1") == [worker.loop.owner]
        wait_for(lambda: reported(catalog, state="stopped"), "its end")
        with catalog.session() as session:
            assert roster.still_there(session, [worker.loop.owner]) == []
            with pytest.raises(SpressoError, match="worker_unknown"):
                roster.request_drain(session, "w1")


def test_a_row_that_was_lost_is_written_again(catalog: Catalog) -> None:
    with working(catalog):
        wait_for(lambda: reported(catalog, state="idle"), "the first report")
        with catalog.session() as session:
            session.delete(session.exec(select(Worker)).one())

        def there() -> bool:
            with catalog.read() as session:
                return session.exec(select(Worker)).first() is not None

        wait_for(there, "a new row")


def test_a_catalog_that_fails_for_a_moment_ends_no_worker(
    catalog: Catalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("spresso_assets.jobs.worker.REST_S", 0.01)
    folder = tmp_path / "sfx"
    write_sound(folder / "a.wav", seed=1)
    enqueue_files(catalog, register(catalog, folder), folder)
    failures = [SpressoError("locked", code="catalog_locked"), RuntimeError("a defect")]
    with working(catalog) as worker:
        real = worker.loop.next_batch

        def next_batch(limit: int | None = None):  # type: ignore[no-untyped-def]
            if failures:
                raise failures.pop()
            return real(limit)

        worker.loop.next_batch = next_batch  # type: ignore[method-assign]
        wait_for(lambda: done(catalog, 2), "the work, in spite of two faults")
    assert failures == []


def test_dead_workers_are_told_from_living_ones(catalog: Catalog) -> None:
    with catalog.session() as session:
        roster.sign_on(session, Worker(owner="elsewhere:1:1:a", name="living", queues=["io"]))
        roster.sign_on(session, Worker(owner="elsewhere:2:1:a", name="silent", queues=["encode"]))
        roster.sign_on(session, Worker(owner=dead_owner(), name="killed", queues=["decode"]))
        session.get_one(Worker, "elsewhere:2:1:a").heartbeat_at -= int((roster.DEAD_AFTER_S + 1) * 1e6)
        session.flush()
        seen = {seen.worker.name: seen.state for seen in roster.seen_workers(session)}
        assert seen == {"living": "idle", "silent": "dead", "killed": "dead"}
        assert roster.served_queues(session) == {"io"}
        assert roster.request_drain(session, None) == ["elsewhere:1:1:a"]


def test_processes_of_one_supervisor_are_drained_by_their_common_name(catalog: Catalog) -> None:
    with catalog.session() as session:
        for name in ("gpu-0", "gpu-1", "other-0"):
            roster.sign_on(session, Worker(owner=f"elsewhere:{name}", name=name))
        assert sorted(roster.request_drain(session, "gpu")) == ["elsewhere:gpu-0", "elsewhere:gpu-1"]


def test_stopping_is_safe_from_within_a_signal_handler(catalog: Catalog) -> None:
    """A handler may interrupt `wake` in its own thread: `stop` must not want the lock that `wake` holds."""
    worker = BackgroundWorker(catalog, a_context(), ("io",))
    with worker._wake._cond:
        stopper = threading.Thread(target=worker.stop)
        stopper.start()
        stopper.join(5)
        assert not stopper.is_alive() and worker.ending
