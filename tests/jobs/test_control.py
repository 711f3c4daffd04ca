"""What people do with jobs."""

import pytest
from sqlmodel import Session, select

from spresso_assets.catalog.columns import now_us
from spresso_assets.catalog.engine import Catalog
from spresso_assets.catalog.models import Job
from spresso_assets.errors import SpressoError
from spresso_assets.jobs import control, queue
from spresso_assets.jobs.control import JobFilter


def fail_one(session: Session, key: str, code: str = "bad") -> None:
    queue.enqueue(session, "probe", key)
    claim = queue.claim(session, "me")
    assert claim is not None
    queue.fail(session, claim, SpressoError("It is bad", code=code))


def test_retry_queues_failures_of_one_kind_with_fresh_attempts(catalog: Catalog) -> None:
    with catalog.session() as session:
        fail_one(session, "a", "bad")
        fail_one(session, "b", "worse")
        assert control.errors(session) == [("bad", 1, "It is bad"), ("worse", 1, "It is bad")]
        assert control.retry(session, JobFilter(error_code="bad")) == 1
        claim = queue.claim(session, "me")
        assert claim is not None and (claim.attempt, claim.trigger) == (1, "retry")
        assert control.counts(session) == {"probe": {"running": 1, "failed": 1}}


def test_retry_asks_for_each_work_once_and_not_for_what_was_done(catalog: Catalog) -> None:
    with catalog.session() as session:
        fail_one(session, "twice")
        fail_one(session, "twice")
        fail_one(session, "done later")
        queue.enqueue(session, "probe", "done later")
        claim = queue.claim(session, "me")
        assert claim is not None
        queue.finish(session, claim)
        assert control.retry(session, JobFilter()) == 1


def test_cancel_drops_waiting_jobs_and_asks_running_ones_to_stop(catalog: Catalog) -> None:
    with catalog.session() as session:
        queue.enqueue(session, "probe", "a")
        queue.enqueue(session, "probe", "b")
        claim = queue.claim(session, "me")
        assert claim is not None
        assert control.cancel(session, JobFilter(kind="probe")) == (1, 1)
        assert queue.heartbeat(session, [claim]).cancel == {claim.id}
        queue.cancelled(session, claim)
        assert control.counts(session) == {"probe": {"cancelled": 2}}


def test_a_paused_queue_gives_no_jobs_until_resumed_or_expired(catalog: Catalog) -> None:
    with catalog.session() as session:
        queue.enqueue(session, "probe", "a")
        queue.enqueue(session, "encode", "b")
        control.pause_queue(session, "io", by="me", reason="backup runs")
        assert [pause.reason for pause in control.paused_queues(session)] == ["backup runs"]
        claim = queue.claim(session, "me")
        assert claim is not None and claim.kind == "encode"
        assert queue.claim(session, "me") is None
        control.lift_environment_pauses(session)
        assert queue.claim(session, "me") is None, "a person's pause is lifted by a person"
        assert control.resume_queue(session, "io") is True
        queue.release(session, [claim])
        control.pause_queue(session, "io", by="me", for_s=-1)
        assert control.paused_queues(session) == []
        assert queue.claim(session, "me", queues=("io",)) is not None


def test_unknown_queues_and_jobs_are_named(catalog: Catalog) -> None:
    with catalog.session() as session, pytest.raises(SpressoError, match="unknown_queue"):
        control.pause_queue(session, "nonsense", by="me")
    with catalog.read() as session, pytest.raises(SpressoError, match="job_not_found"):
        control.find_job(session, "abc")


def test_jobs_are_found_by_the_first_digits_of_their_id(catalog: Catalog) -> None:
    with catalog.session() as session:
        uid = queue.enqueue(session, "probe", "a")
        assert uid is not None
        assert control.find_job(session, uid[:8].upper()).uid == uid


def test_prune_forgets_successes_and_keeps_failures(catalog: Catalog) -> None:
    with catalog.session() as session:
        fail_one(session, "bad")
        queue.enqueue(session, "probe", "good")
        claim = queue.claim(session, "me")
        assert claim is not None
        queue.finish(session, claim)
        assert control.prune(session, before_us=now_us() + 10_000_000) == 1
        assert [job.dedupe_key for job in session.exec(select(Job))] == ["bad"]
