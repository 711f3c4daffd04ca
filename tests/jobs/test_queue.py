"""The life of a job, on both databases."""

import threading

import pytest
from sqlmodel import select

from spresso_assets.catalog.engine import Catalog, open_catalog
from spresso_assets.catalog.models import Job, QueuePause
from spresso_assets.errors import FaultKind, SpressoError
from spresso_assets.jobs import queue


def enqueue_probes(catalog: Catalog, count: int, cost_s: float = 1.0) -> None:
    with catalog.session() as session:
        for number in range(count):
            assert queue.enqueue(session, "probe", f"probe:{number}", cost_s=cost_s) is not None


def job(catalog: Catalog, dedupe_key: str = "probe:0") -> Job:
    with catalog.read() as session:
        return session.exec(select(Job).where(Job.dedupe_key == dedupe_key).order_by(Job.id.desc())).first()  # type: ignore[union-attr]


def claim_one(catalog: Catalog, owner: str = "me") -> queue.Claim:
    with catalog.session() as session:
        claim = queue.claim(session, owner)
    assert claim is not None
    return claim


def test_the_same_work_is_queued_once_while_active_and_again_when_done(catalog: Catalog) -> None:
    enqueue_probes(catalog, 1)
    with catalog.session() as session:
        assert queue.enqueue(session, "probe", "probe:0") is None
    claim = claim_one(catalog)
    with catalog.session() as session:
        assert queue.enqueue(session, "probe", "probe:0") is None, "running counts as active"
        queue.finish(session, claim, {"outcome": "new"})
    with catalog.session() as session:
        assert queue.enqueue(session, "probe", "probe:0") is not None


def test_many_claimers_share_the_jobs_without_a_single_double(catalog: Catalog, catalog_url: str) -> None:
    enqueue_probes(catalog, 60)
    taken: list[str] = []
    start = threading.Barrier(6)

    def work(name: str) -> None:
        own = open_catalog(catalog_url)
        start.wait()
        while True:
            with own.session() as session:
                claims = queue.claim_batch(session, name, limit=3)
            if not claims:
                break
            taken.extend(claim.uid for claim in claims)
            with own.session() as session:
                for claim in claims:
                    queue.finish(session, claim)
        own.close()

    threads = [threading.Thread(target=work, args=(f"worker{number}",)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(taken) == len(set(taken)) == 60
    with catalog.read() as session:
        assert {row.status for row in session.exec(select(Job))} == {"succeeded"}


def test_a_batch_is_bounded_by_count_and_by_seconds_of_sound(catalog: Catalog) -> None:
    enqueue_probes(catalog, 5, cost_s=50.0)
    with catalog.session() as session:
        assert len(queue.claim_batch(session, "me", limit=16, max_cost_s=120.0)) == 2
        assert len(queue.claim_batch(session, "me", limit=1, max_cost_s=120.0)) == 1
        assert len(queue.claim_batch(session, "me", limit=16, max_cost_s=10.0)) == 1, "too long for any batch: alone"


def test_a_batch_never_mixes_kinds(catalog: Catalog) -> None:
    with catalog.session() as session:
        queue.enqueue(session, "probe", "a")
        queue.enqueue(session, "encode", "b")
        queue.enqueue(session, "probe", "c")
        assert [claim.kind for claim in queue.claim_batch(session, "me")] == ["probe", "probe"]


def test_a_worker_that_slept_past_its_lease_cannot_write(catalog: Catalog) -> None:
    enqueue_probes(catalog, 1)
    sleeper = claim_one(catalog, "sleeper")
    with catalog.session() as session:
        queue.release(session, [sleeper])
    successor = claim_one(catalog, "sleeper")  # even under the same owner: the fence differs
    with pytest.raises(SpressoError, match="lease_lost"), catalog.session() as session:
        session.add(QueuePause(queue="written with a stale claim", paused_by="test"))
        queue.finish(session, sleeper)
    with catalog.session() as session:
        assert session.exec(select(QueuePause)).all() == [], "what came with the late finish is rolled back"
        queue.finish(session, successor)
    assert job(catalog).status == "succeeded"


def test_heartbeats_extend_what_is_ours_and_tell_what_is_not(catalog: Catalog) -> None:
    enqueue_probes(catalog, 2)
    first, second = claim_one(catalog), claim_one(catalog)
    before = job(catalog, "probe:1").lease_until
    with catalog.session() as session:
        queue.finish(session, first)
        beat = queue.heartbeat(session, [first, second], lease_s=1000)
    assert beat.held == {second.id} and beat.cancel == frozenset()
    after = job(catalog, "probe:1").lease_until
    assert before is not None and after is not None and after > before


def fault(kind: FaultKind) -> SpressoError:
    return SpressoError("It did not work", code="some_code", hint="Do this", kind=kind)


def test_retryable_faults_wait_longer_each_time_then_fail(catalog: Catalog) -> None:
    enqueue_probes(catalog, 1)
    waits = []
    for attempt in range(1, 5):
        claim = claim_one(catalog)
        assert claim.attempt == attempt
        with catalog.session() as session:
            status = queue.fail(session, claim, fault(FaultKind.RETRYABLE))
        row = job(catalog)
        assert (row.status, row.error_code) == (status, "some_code")
        if status == "queued":
            assert row.started_at is not None
            waits.append(row.not_before - row.started_at)
            with catalog.session() as session:
                assert queue.claim(session, "me") is None, "not yet due"
                session.get_one(Job, row.id).not_before = 0
    assert status == "failed"
    assert waits == sorted(waits) and len(waits) == 3


def test_permanent_faults_fail_at_once_with_code_and_hint(catalog: Catalog) -> None:
    enqueue_probes(catalog, 1)
    with catalog.session() as session:
        claim = queue.claim(session, "me")
        assert claim is not None
        assert queue.fail(session, claim, fault(FaultKind.PERMANENT)) == "failed"
    row = job(catalog)
    assert (row.error_kind, row.message, row.hint, row.traceback) == ("permanent", "It did not work", "Do this", None)
    assert row.finished_at is not None


def test_an_environment_fault_pauses_the_queue_and_costs_no_attempt(catalog: Catalog) -> None:
    enqueue_probes(catalog, 2)
    claim = claim_one(catalog)
    with catalog.session() as session:
        assert queue.fail(session, claim, OSError(28, "No space left on device")) == "queued"
        assert queue.claim(session, "me") is None, "its neighbours would only fail the same way"
    row = job(catalog)
    assert (row.error_code, row.attempt) == ("disk_full", 0)


def test_a_defect_of_ours_keeps_its_traceback(catalog: Catalog) -> None:
    enqueue_probes(catalog, 1)
    claim = claim_one(catalog)
    try:
        raise KeyError("oops")
    except KeyError as error:
        with catalog.session() as session:
            assert queue.fail(session, claim, error) == "failed"
    row = job(catalog)
    assert row.error_code == "internal_error" and "KeyError" in (row.traceback or "")
