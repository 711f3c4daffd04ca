"""What people do with jobs: list, count, retry, cancel, pause and resume."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, delete, func, select, update
from sqlmodel import Session, col

from spresso_assets.catalog.engine import database_now
from spresso_assets.catalog.models import Batch, Job, QueuePause
from spresso_assets.errors import ExitCode, SpressoError
from spresso_assets.jobs.queue import ENVIRONMENT, QUEUES, pause_holds


@dataclass(frozen=True)
class JobFilter:
    """Which jobs; None means any."""

    status: str | None = None
    error_code: str | None = None
    kind: str | None = None
    batch_uid: str | None = None
    uid_prefix: str | None = None
    since_us: int | None = None

    def conditions(self) -> list[ColumnElement[bool]]:
        chosen: list[ColumnElement[bool]] = []
        if self.status is not None:
            chosen.append(col(Job.status) == self.status)
        if self.error_code is not None:
            chosen.append(col(Job.error_code) == self.error_code)
        if self.kind is not None:
            chosen.append(col(Job.kind) == self.kind)
        if self.batch_uid is not None:
            chosen.append(col(Job.batch_id).in_(select(col(Batch.id)).where(col(Batch.uid) == self.batch_uid)))
        if self.uid_prefix is not None:
            chosen.append(col(Job.uid).startswith(self.uid_prefix.lower(), autoescape=True))
        if self.since_us is not None:
            chosen.append(col(Job.created_at) >= self.since_us)
        return chosen


def list_jobs(session: Session, which: JobFilter, limit: int = 50, offset: int = 0) -> Sequence[Job]:
    """Jobs, newest first."""
    statement = select(Job).where(*which.conditions()).order_by(col(Job.id).desc()).limit(limit).offset(offset)
    return session.execute(statement).scalars().all()


def find_job(session: Session, uid_prefix: str) -> Job:
    """The job whose uid starts so.

    Raises:
        SpressoError: ``job_not_found`` (exit 4), ``ambiguous_id`` (exit 2).
    """
    found = list_jobs(session, JobFilter(uid_prefix=uid_prefix), limit=2)
    if len(found) == 1:
        return found[0]
    raise SpressoError(
        f"{'Several jobs have' if found else 'No job has'} an id that starts with '{uid_prefix}'",
        code="ambiguous_id" if found else "job_not_found",
        hint="'spresso jobs list' shows the ids",
        exit_code=ExitCode.USAGE if found else ExitCode.NOT_FOUND,
    )


def counts(session: Session, which: JobFilter | None = None) -> dict[str, dict[str, int]]:
    """Number of jobs by kind and status: ``{"probe": {"queued": 3}, …}``."""
    statement = select(col(Job.kind), col(Job.status), func.count()).group_by(col(Job.kind), col(Job.status))
    found: dict[str, dict[str, int]] = {}
    for kind, status, number in session.connection().execute(statement.where(*(which or JobFilter()).conditions())):
        found.setdefault(kind, {})[status] = number
    return found


def errors(session: Session, which: JobFilter | None = None) -> list[tuple[str, int, str]]:
    """Failed jobs by error code: code, number, one message as an example; the most frequent first."""
    statement = (
        select(col(Job.error_code), func.count().label("number"), func.max(col(Job.message)))
        .where(col(Job.status) == "failed", *(which or JobFilter()).conditions())
        .group_by(col(Job.error_code))
        .order_by(func.count().desc(), col(Job.error_code))
    )
    return [(code or "", number, message or "") for code, number, message in session.connection().execute(statement)]


def retry(session: Session, which: JobFilter) -> int:
    """Queue failed and cancelled jobs again with fresh attempts; returns how many.

    A job whose work is queued anew already, or was done meanwhile by another job, stays as it is.
    """
    connection = session.connection()
    statement = (
        select(col(Job.id), col(Job.dedupe_key))
        .where(col(Job.status).in_(("failed", "cancelled")), *which.conditions())
        .order_by(col(Job.id).desc())
    )
    # the newest job of each key; older ones asked for the same
    newest: dict[str, int] = {}
    for job_id, dedupe_key in connection.execute(statement).all():
        assert job_id is not None
        newest.setdefault(dedupe_key, job_id)
    taken: set[str] = set()
    keys = list(newest)
    for at in range(0, len(keys), 500):
        busy = select(col(Job.dedupe_key)).where(
            col(Job.dedupe_key).in_(keys[at : at + 500]), col(Job.status).in_(("queued", "running", "succeeded"))
        )
        taken.update(connection.execute(busy).scalars())
    chosen = [job_id for dedupe_key, job_id in newest.items() if dedupe_key not in taken]
    fresh: dict[str, Any] = {
        "status": "queued", "attempt": 0, "crashes": 0, "not_before": 0, "cancel_requested": False,
        "trigger": "retry", "finished_at": None, "error_code": None, "error_kind": None, "message": None,
        "hint": None, "traceback": None,
    }  # fmt: skip
    for at in range(0, len(chosen), 500):
        connection.execute(update(Job).where(col(Job.id).in_(chosen[at : at + 500])).values(**fresh))
    return len(chosen)


def cancel(session: Session, which: JobFilter) -> tuple[int, int]:
    """Cancel waiting jobs, and ask the workers of running ones to stop. Returns both numbers."""
    connection = session.connection()
    waiting = connection.execute(
        update(Job)
        .where(col(Job.status) == "queued", *which.conditions())
        .values(status="cancelled", finished_at=database_now(session))
    )
    running = connection.execute(
        update(Job).where(col(Job.status) == "running", *which.conditions()).values(cancel_requested=True)
    )
    return waiting.rowcount, running.rowcount


def pause_queue(session: Session, queue: str, by: str, reason: str = "", for_s: float | None = None) -> None:
    """Stop claims from a queue; running jobs end normally.

    Raises:
        SpressoError: ``unknown_queue`` (exit 2).
    """
    _check_queue(queue)
    now = database_now(session)
    pause = session.get(QueuePause, queue) or QueuePause(queue=queue, paused_by=by)
    expires_at = None if for_s is None else now + int(for_s * 1e6)
    pause.sqlmodel_update({"paused_by": by, "reason": reason, "paused_at": now, "expires_at": expires_at})
    session.add(pause)


def resume_queue(session: Session, queue: str) -> bool:
    """Allow claims again; returns whether the queue was paused."""
    _check_queue(queue)
    pause = session.get(QueuePause, queue)
    if pause is not None:
        session.delete(pause)
    return pause is not None


def lift_environment_pauses(session: Session) -> None:
    """Forget pauses that faults made: whoever starts a run wants to know whether the fault is still there."""
    for pause in session.execute(select(QueuePause).where(col(QueuePause.paused_by) == ENVIRONMENT)).scalars():
        session.delete(pause)


def paused_queues(session: Session) -> Sequence[QueuePause]:
    """Pauses that hold now."""
    statement = select(QueuePause).where(pause_holds(database_now(session)))
    return session.execute(statement.order_by(col(QueuePause.queue))).scalars().all()


def find_batch(session: Session, uid_prefix: str) -> Batch:
    """The batch whose uid starts so.

    Raises:
        SpressoError: ``batch_not_found`` (exit 4), ``ambiguous_id`` (exit 2).
    """
    starts = col(Batch.uid).startswith(uid_prefix.lower(), autoescape=True)
    found = session.execute(select(Batch).where(starts).limit(2)).scalars().all()
    if len(found) == 1:
        return found[0]
    raise SpressoError(
        f"{'Several batches have' if found else 'No batch has'} an id that starts with '{uid_prefix}'",
        code="ambiguous_id" if found else "batch_not_found",
        hint="'spresso jobs watch' names the batches that are not done",
        exit_code=ExitCode.USAGE if found else ExitCode.NOT_FOUND,
    )


def pause_batch(session: Session, batch: Batch, by: str, for_s: float | None = None) -> None:
    """Let no more jobs of a batch begin; running ones end normally.

    Raises:
        SpressoError: ``batch_not_running`` if it is still being planned, or was cancelled.
    """
    _require_state(batch, "running", "paused")
    expires_at = None if for_s is None else database_now(session) + int(for_s * 1e6)
    batch.sqlmodel_update({"state": "paused", "paused_by": by, "pause_expires_at": expires_at})
    session.add(batch)


def resume_batch(session: Session, batch: Batch) -> bool:
    """Allow claims again; returns whether the batch was paused.

    Raises:
        SpressoError: as `pause_batch`.
    """
    _require_state(batch, "running", "paused")
    was_paused = batch.state == "paused"
    batch.sqlmodel_update({"state": "running", "paused_by": None, "pause_expires_at": None})
    session.add(batch)
    return was_paused


def cancel_batch(session: Session, batch: Batch) -> tuple[int, int]:
    """Cancel what waits of a batch for good, and stop what runs. Returns both numbers. What is done stays."""
    batch.state = "cancelled"
    session.add(batch)
    return cancel(session, JobFilter(batch_uid=batch.uid))


def _require_state(batch: Batch, *states: str) -> None:
    if batch.state not in states:
        raise SpressoError(
            f"The batch {batch.uid[:8]} is {batch.state}",
            code="batch_not_running",
            hint="'spresso jobs resume --batch' makes its plan whole"
            if batch.state == "planning"
            else "Ask for the work again",
        )


def prune(session: Session, before_us: int) -> int:
    """Forget jobs that succeeded or were cancelled before a moment; failures stay until they are retried."""
    gone = session.connection().execute(
        delete(Job).where(col(Job.status).in_(("succeeded", "cancelled")), col(Job.finished_at) < before_us)
    )
    return gone.rowcount


def _check_queue(queue: str) -> None:
    if queue not in QUEUES:
        raise SpressoError(
            f"There is no queue '{queue}'",
            code="unknown_queue",
            hint=f"Queues: {', '.join(QUEUES)}",
            exit_code=ExitCode.USAGE,
        )
