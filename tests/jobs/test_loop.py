"""What a worker takes next: the urgent first, what fits together, and nothing that it cannot do."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlmodel import select

from spresso_assets.catalog.engine import Catalog
from spresso_assets.catalog.models import Delivery, Job, Worker
from spresso_assets.errors import ExitCode, FaultKind, SpressoError
from spresso_assets.jobs import loop, queue
from spresso_assets.jobs.context import TaskContext
from spresso_assets.jobs.loop import WorkLoop
from tests.jobs.sounds import FakeCodec, InProcessProber, a_context, enqueue_files, register, write_sound


def enqueue(catalog: Catalog, *jobs: tuple[str, str], cost_s: float = 1.0) -> None:
    with catalog.session() as session:
        for kind, key in jobs:
            assert queue.enqueue(session, kind, key, cost_s=cost_s) is not None


def test_queues_are_served_in_order_and_decodes_one_by_one(catalog: Catalog) -> None:
    enqueue(catalog, ("probe", "p"), ("encode", "e1"), ("encode", "e2"), ("decode", "d1"), ("decode", "d2"))
    taken = []
    with catalog.session() as session:
        while claims := queue.claim_batch(session, "me", queues=queue.QUEUES):
            taken.append([claim.kind for claim in claims])
    assert taken == [["decode"], ["decode"], ["encode", "encode"], ["probe"]]


def test_a_batch_takes_what_fits_beside_what_does_not(catalog: Catalog) -> None:
    enqueue(catalog, ("encode", "a"), cost_s=60.0)
    enqueue(catalog, ("encode", "long"), cost_s=100.0)
    enqueue(catalog, ("encode", "b"), cost_s=50.0)
    with catalog.session() as session:
        assert [claim.cost_s for claim in queue.claim_batch(session, "me", max_cost_s=120.0)] == [60.0, 50.0]
        assert [claim.cost_s for claim in queue.claim_batch(session, "me", max_cost_s=90.0)] == [100.0], "never starved"


def test_jobs_of_a_root_that_is_away_wait_uncounted(catalog: Catalog) -> None:
    enqueue(catalog, ("probe", "p"))
    away = SpressoError("The folder is not there", code="root_offline", kind=FaultKind.RETRYABLE)
    for _ in range(20):
        with catalog.session() as session:
            claim = queue.claim(session, "me")
            assert claim is not None and queue.fail(session, claim, away) == "queued"
        with catalog.session() as session:
            assert queue.claim(session, "me") is None, "not before some minutes have passed"
            job = session.exec(select(Job)).one()
            assert (job.attempt, job.error_code) == (0, "root_offline")
            job.not_before = 0


def test_a_worker_of_decodes_keeps_other_batches_short(catalog: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    work = WorkLoop(catalog, a_context(), queue.QUEUES)
    enqueue(catalog, *[("encode", f"{number}") for number in range(40)], cost_s=1.0)
    with catalog.session() as session:
        claims = queue.claim_batch(session, "me", queues=["encode"], limit=16)
    for _ in range(20):
        work._learn(claims, seconds=32.0)  # half as fast as real time
    assert work._budget_s() == pytest.approx(loop.TURN_S / 2, rel=0.01)
    patient = WorkLoop(catalog, a_context(), ("encode", "io"))
    patient._learn(claims, seconds=32.0)
    assert patient._budget_s() == patient.context.batch_s


def test_without_a_model_only_files_are_read_and_it_is_not_asked_for_every_time(
    catalog: Catalog, tmp_path: Path
) -> None:
    folder = tmp_path / "sfx"
    write_sound(folder / "a.wav", seed=1)
    enqueue_files(catalog, register(catalog, folder), folder)
    asked = []

    def no_model() -> FakeCodec:
        asked.append(1)
        raise SpressoError("There is no bundle", code="model_missing", exit_code=ExitCode.MODEL_MISSING)

    work = WorkLoop(catalog, TaskContext(no_model, InProcessProber()), queue.QUEUES)
    assert [outcome.kind for outcome in work.next_batch()] == ["probe"]
    assert asked == [], "loaded when there is something to encode"
    assert work.next_batch() == work.next_batch() == []
    assert asked == [1] and work.no_codec is not None and work.no_codec.code == "model_missing"
    with catalog.read() as session:
        (job,) = session.exec(select(Job).where(Job.kind == "encode"))
    assert (job.status, job.attempt) == ("queued", 0)


def test_the_loop_tidies_up(catalog: Catalog) -> None:
    with catalog.session() as session:
        session.add(Worker(owner="long dead", name="w", heartbeat_at=1))
        session.add(Worker(owner="here", name="w"))
        for key, expires_at in (("old", 1), ("fresh", 1 << 60)):
            session.add(Delivery(key=key, sample_rate=1, channels=1, frames=1, expires_at=expires_at, content=b"sound"))
    WorkLoop(catalog, a_context(), queue.QUEUES).next_batch()
    with catalog.read() as session:
        assert [row.owner for row in session.exec(select(Worker))] == ["here"]
        assert [row.key for row in session.exec(select(Delivery))] == ["fresh"]
