"""The jobs: nobody waits for a worker that is not there, and pauses have an owner who is still about."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from spresso_assets.cli.checks.finding import Finding, Level
from spresso_assets.cli.format import length

if TYPE_CHECKING:
    from sqlmodel import Session

    from spresso_assets.catalog.engine import Catalog

WAIT_S = 600.0
LATE_S = 60.0  # a dead worker's jobs are freed within seconds of the end of their lease


def check(catalog: Catalog) -> Iterator[Finding]:
    from spresso_assets.catalog.engine import database_now

    with catalog.read() as session:
        now = database_now(session)
        yield from _counts(session)
        yield from _pauses(session, now)
        yield from _waiting(session, now)
        yield from _late(session, now)


def _counts(session: Session) -> Iterator[Finding]:
    from sqlmodel import col, func, select

    from spresso_assets.catalog.models import Job

    counts = dict(session.exec(select(Job.status, func.count()).group_by(col(Job.status))).all())
    shown = ", ".join(f"{number} {status}" for status, number in sorted(counts.items())) or "none yet"
    failed = counts.get("failed", 0)
    hint = "See 'spresso jobs list --status failed'." if failed else ""
    yield Finding(Level.NOTE if failed else Level.OK, "jobs", shown, hint, "jobs_failed" if failed else "")


def _pauses(session: Session, now: int) -> Iterator[Finding]:
    from sqlmodel import col, select

    from spresso_assets.catalog.models import Batch
    from spresso_assets.jobs.control import paused_queues

    for pause in paused_queues(session):
        until = "" if pause.expires_at is None else f", for another {length((pause.expires_at - now) / 1e6)}"
        age = length((now - pause.paused_at) / 1e6)
        message = f"paused by {pause.paused_by} {age} ago{until}" + (f": {pause.reason}" if pause.reason else "")
        hint = f"When it is mended: spresso jobs resume {pause.queue}."
        yield Finding(Level.PROBLEM, f"queue {pause.queue}", message, hint, "queue_paused")
    for batch in session.exec(select(Batch).where(col(Batch.state).in_(("paused", "planning")))).all():
        age = length((now - batch.created_at) / 1e6)
        about = f"batch {batch.uid[:8]}"
        if batch.state == "paused":
            message = f"{batch.kind}, made {age} ago, paused by {batch.paused_by or 'somebody'}"
            yield Finding(Level.NOTE, about, message, f"spresso jobs resume {batch.uid[:8]}", "batch_paused")
        elif (now - batch.created_at) / 1e6 > WAIT_S:
            message = f"{batch.kind}, made {age} ago, was never planned to its end"
            hint = "Run the command that made it again: it goes on where it stopped."
            yield Finding(Level.NOTE, about, message, hint, "batch_unfinished")


def _waiting(session: Session, now: int) -> Iterator[Finding]:
    """Per queue: the oldest job that could begin, and whether anybody is there to begin it."""
    from sqlmodel import col, func, select

    from spresso_assets.catalog.models import Batch, Job
    from spresso_assets.jobs.control import paused_queues
    from spresso_assets.jobs.roster import seen_workers

    paused = {pause.queue for pause in paused_queues(session)}
    serving = {queue for seen in seen_workers(session) if seen.alive for queue in seen.worker.queues}
    held = select(col(Batch.id)).where(col(Batch.state).in_(("paused", "planning", "cancelled")))
    ready = session.exec(
        select(Job.queue, func.count(), func.min(Job.created_at), func.max(Job.not_before))
        .where(Job.status == "queued", Job.not_before <= now)
        .where(col(Job.batch_id).is_(None) | col(Job.batch_id).not_in(held))
        .group_by(col(Job.queue))
    ).all()
    for queue, number, oldest, delayed in ready:
        waited = (now - max(oldest, delayed if number == 1 else oldest)) / 1e6
        if queue in paused or waited < WAIT_S:
            continue
        message = f"{number} jobs wait, the oldest for {length(waited)}"
        if queue in serving:
            hint = "Its workers have more to do than they can; start another: spresso worker."
            yield Finding(Level.NOTE, f"queue {queue}", message, hint, "queue_behind")
        else:
            verb = {"io": "spresso ingest", "encode": "spresso encode"}.get(queue, "the command that asked")
            hint = f"Start one: spresso worker --queues {queue}; or do it here: {verb}."
            yield Finding(Level.PROBLEM, f"queue {queue}", f"{message}: no worker serves it", hint, "no_worker")


def _late(session: Session, now: int) -> Iterator[Finding]:
    from sqlmodel import col, func, select

    from spresso_assets.catalog.models import Job

    late = select(func.count()).where(col(Job.status) == "running", col(Job.lease_until) < now - int(LATE_S * 1e6))
    if number := session.exec(late).one():
        hint = "Any worker or 'spresso ingest' frees them, or: spresso doctor --fix."
        message = f"{number} jobs of dead workers still count as running"
        yield Finding(Level.PROBLEM, "jobs", message, hint, "lease_over")
