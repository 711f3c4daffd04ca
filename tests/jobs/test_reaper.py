"""Jobs of dead workers come back: at once on the same machine, after the lease elsewhere."""

import os
import subprocess
import sys

from sqlmodel import select

from spresso_assets.catalog import owner
from spresso_assets.catalog.engine import Catalog
from spresso_assets.catalog.models import Job
from spresso_assets.jobs import queue
from spresso_assets.jobs.reaper import MAX_CRASHES, Reaped, reap


def dead_owner() -> str:
    """An owner on this machine whose process has ended."""
    process = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, text=True)
    return f"{owner.seat()}:{process.stdout.strip()}:1:abcd"


def one_job(catalog: Catalog) -> Job:
    with catalog.read() as session:
        return session.exec(select(Job)).one()


def test_this_process_lives_and_ended_ones_do_not() -> None:
    assert not owner.is_gone(owner.new_owner())
    assert owner.is_gone(dead_owner())
    assert owner.is_gone(f"{owner.seat()}:{os.getpid()}:1:abcd"), "our process id, but of an earlier process"
    assert not owner.is_gone(f"elsewhere:{os.getpid()}:1:abcd"), "another machine's processes cannot be seen"
    assert not owner.is_gone("nonsense")


def test_a_dead_workers_job_is_free_at_once_and_keeps_its_attempts(catalog: Catalog) -> None:
    with catalog.session() as session:
        queue.enqueue(session, "probe", "a")
        assert queue.claim(session, dead_owner()) is not None
        assert reap(session) == Reaped(requeued=1, failed=0)
    job = one_job(catalog)
    assert (job.status, job.attempt, job.crashes) == ("queued", 0, 1)


def test_a_living_workers_job_is_left_alone_until_its_lease_ends(catalog: Catalog) -> None:
    with catalog.session() as session:
        queue.enqueue(session, "probe", "a")
        assert queue.claim(session, "elsewhere:1:1:abcd", lease_s=100) is not None
        assert reap(session) == Reaped(0, 0)
        session.get_one(Job, 1).lease_until = 1
        session.flush()
        assert reap(session) == Reaped(requeued=1, failed=0)


def test_what_keeps_killing_workers_is_taken_alone_and_last_and_given_up_at_the_end(catalog: Catalog) -> None:
    with catalog.session() as session:
        for name in ("poison", "b", "c"):
            queue.enqueue(session, "probe", name)
        assert len(queue.claim_batch(session, dead_owner(), limit=1)) == 1
        reap(session)
        harmless = queue.claim_batch(session, "living:1:1:1", limit=16)
        assert len(harmless) == 2, "the two others, not the one that was running when a worker died"
        for claim in harmless:
            queue.finish(session, claim)
        for _ in range(MAX_CRASHES - 1):
            assert len(queue.claim_batch(session, dead_owner(), limit=16)) == 1
            reap(session)
        assert queue.claim_batch(session, "living:1:1:1") == []
    with catalog.read() as session:
        poison = session.exec(select(Job).where(Job.dedupe_key == "poison")).one()
    assert (poison.status, poison.error_code) == ("failed", "worker_crashed")
