"""The life of a job: enqueue, claim, heartbeat, finish, fail, release.

    queued -> running -> succeeded | failed | cancelled, and back to queued by a retry, a release or the reaper.

Every change is one guarded statement in the caller's transaction. A result is written in the transaction that
finishes its job, so a killed worker leaves either both or neither: execution is at least once, the result exactly once.
"""

import random
import traceback as tracebacks
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from sqlalchemy import ColumnElement, CursorResult, Update, bindparam, or_, select, text, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlmodel import Session, SQLModel, col

from spresso_assets.catalog.columns import new_uid, now_us
from spresso_assets.catalog.engine import database_now
from spresso_assets.catalog.models import Batch, Job, QueuePause
from spresso_assets.catalog.tables_work import ACTIVE_JOB
from spresso_assets.errors import FaultKind, SpressoError
from spresso_assets.jobs.faults import as_spresso_error

# In the order in which a worker serves them: a person waits for a decode, nobody for a file to be read.
QUEUES = ("decode", "encode", "io")
INTERACTIVE = "decode"
QUEUE_OF_KIND = {
    "decode": "decode",  # a sound that somebody wants to hear now
    "probe": "io",  # look at a file
    "cut": "io",  # renditions with fewer codes out of stored ones; no network
    "encode": "encode",  # a sound from its file
    "quantise": "encode",  # stored continuous latents into codes
    "transcode": "encode",  # a decoded rendition encoded again: second generation
}
ACTIVE = ("queued", "running")
LEASE_S = 120.0
BACKOFF_BASE_S, BACKOFF_FACTOR, BACKOFF_CAP_S = 5.0, 4.0, 3600.0
ENVIRONMENT_PAUSE_S = 300.0
# Faults that are nobody's and pass by themselves: such jobs wait as long as it takes, and no attempt is counted.
WAITED_OUT = frozenset({"root_offline"})
WAIT_S = 300.0
# Ready jobs that a claim looks at for each that it may take, to find some that run together.
WINDOW = 4
ENVIRONMENT = "environment"  # who paused a queue because no job could have worked
TRACEBACK_CHARACTERS = 5000
# Every column's default, and statements: made once, as making them takes longer than running them.
NEW_JOB = Job(kind="", dedupe_key="", queue="").model_dump(exclude={"id"})
JOBS = SQLModel.metadata.tables["job"]
ADD_JOB = {
    dialect.name: module.insert(JOBS)
    .on_conflict_do_nothing(index_elements=["dedupe_key"], index_where=text(ACTIVE_JOB))
    .returning(JOBS.c.uid)
    for dialect, module in ((sqlite.dialect, sqlite), (postgresql.dialect, postgresql))
}


@dataclass(frozen=True)
class Claim:
    """A job that this worker holds until its lease ends; ``fence`` proves it."""

    id: int
    uid: str
    kind: str
    fence: int
    owner: str
    attempt: int
    crashes: int
    asset_id: int | None
    source_file_id: int | None
    profile_id: int | None
    batch_id: int | None
    cost_s: float
    trigger: str
    params: dict[str, Any]


@dataclass(frozen=True)
class Heartbeat:
    """Which jobs of a worker are still its own, and which of them somebody wants stopped."""

    held: frozenset[int]
    cancel: frozenset[int]


def enqueue(
    session: Session,
    kind: str,
    dedupe_key: str,
    *,
    asset_id: int | None = None,
    source_file_id: int | None = None,
    profile_id: int | None = None,
    batch_id: int | None = None,
    params: dict[str, Any] | None = None,
    priority: int = 0,
    cost_s: float = 0.0,
    trigger: str = "cli",
) -> str | None:
    """Ask for work, unless the same work is already queued or running.

    Args:
        kind: a key of `QUEUE_OF_KIND`.
        dedupe_key: names the work and everything that its result depends on.
        cost_s: seconds of sound.

    Returns:
        the new job's uid, None if an active job has the same ``dedupe_key``.
    """
    values = NEW_JOB | {
        "uid": new_uid(),
        "kind": kind,
        "dedupe_key": dedupe_key,
        "asset_id": asset_id,
        "source_file_id": source_file_id,
        "profile_id": profile_id,
        "batch_id": batch_id,
        "params": params or {},
        "queue": QUEUE_OF_KIND[kind],
        "priority": priority,
        "cost_s": cost_s,
        "trigger": trigger,
        "created_at": now_us(),
    }
    return session.connection().execute(ADD_JOB[session.get_bind().dialect.name], values).scalar_one_or_none()


def claim(
    session: Session, owner: str, lease_s: float = LEASE_S, queues: Sequence[str] = ("io", "encode")
) -> Claim | None:
    """Take the next ready job; None if there is none."""
    return next(iter(claim_batch(session, owner, lease_s=lease_s, queues=queues, limit=1)), None)


def pause_holds(now: int) -> ColumnElement[bool]:
    """Condition on pauses of queues that have not run out."""
    return or_(col(QueuePause.expires_at).is_(None), col(QueuePause.expires_at) > now)


def is_paused(session: Session, queue: str) -> bool:
    """Whether nothing of a queue may begin now."""
    pause = select(col(QueuePause.queue)).where(col(QueuePause.queue) == queue, pause_holds(database_now(session)))
    return session.connection().execute(pause).first() is not None


def may_begin(now: int) -> list[ColumnElement[bool]]:
    """Conditions on jobs that anybody may claim at `now`: waiting, due, and neither queue nor batch is paused."""
    paused_queues = select(col(QueuePause.queue)).where(pause_holds(now))
    stopped_batches = select(col(Batch.id)).where(
        col(Batch.state) == "paused",
        or_(col(Batch.pause_expires_at).is_(None), col(Batch.pause_expires_at) > now),
    )
    return [
        col(Job.status) == "queued",
        col(Job.not_before) <= now,
        col(Job.queue).not_in(paused_queues),
        or_(col(Job.batch_id).is_(None), col(Job.batch_id).not_in(stopped_batches)),
    ]


def claim_batch(
    session: Session,
    owner: str,
    *,
    lease_s: float = LEASE_S,
    queues: Sequence[str] = ("io", "encode"),
    limit: int = 16,
    max_cost_s: float = 120.0,
) -> list[Claim]:
    """Take ready jobs that can run together: same kind and profile, at most ``limit`` and ``max_cost_s`` of sound.

    The first queue that has a ready job is served; decodes are taken one by one. Jobs that were running when a worker
    died come last, and alone: what kills workers then harms nothing else. A first job longer than ``max_cost_s`` is
    taken alone.
    """
    now = database_now(session)
    for queue in queues:
        most = 1 if queue == INTERACTIVE else limit  # the next one is for the next free worker
        candidates = (
            select(col(Job.id), col(Job.kind), col(Job.profile_id), col(Job.cost_s), col(Job.crashes))
            .where(col(Job.queue) == queue, *may_begin(now))
            .order_by(col(Job.crashes), col(Job.priority), col(Job.id))
            .limit(WINDOW * most if most > 1 else 1)
            .with_for_update(skip_locked=True, of=Job)
        )
        rows = session.connection().execute(candidates).all()
        if rows:
            return _take(session, owner, _together(rows, most, max_cost_s), lease_s, now)
    return []


def _together(rows: Sequence[Any], limit: int, max_cost_s: float) -> list[int]:
    """Ids of the first job and of those that fit to it."""
    head, *others = rows
    chosen, cost_s = [head.id], head.cost_s
    for row in others if head.crashes == 0 else ():
        alike = (row.kind, row.profile_id, row.crashes) == (head.kind, head.profile_id, 0)
        if alike and len(chosen) < limit and cost_s + row.cost_s <= max_cost_s:
            chosen.append(row.id)
            cost_s += row.cost_s
    return chosen


def is_ready(session: Session, queues: Sequence[str]) -> bool:
    """Whether a claim from these queues would find something; cheap enough to ask several times a second."""
    ready = select(col(Job.id)).where(*may_begin(database_now(session))).limit(1)
    return any(session.connection().execute(ready.where(col(Job.queue) == queue)).first() for queue in queues)


def _take(session: Session, owner: str, job_ids: list[int], lease_s: float, now: int) -> list[Claim]:
    statement = (
        update(Job)
        .where(col(Job.id).in_(job_ids), col(Job.status) == "queued")
        .values(
            status="running",
            lease_owner=owner,
            lease_until=now + int(lease_s * 1e6),
            fence=col(Job.fence) + 1,
            attempt=col(Job.attempt) + 1,
            started_at=now,
            progress=0.0,
        )
        .returning(
            col(Job.id), col(Job.uid), col(Job.kind), col(Job.fence), col(Job.lease_owner), col(Job.attempt),
            col(Job.crashes), col(Job.asset_id), col(Job.source_file_id), col(Job.profile_id), col(Job.batch_id),
            col(Job.cost_s), col(Job.trigger), col(Job.params),
        )
    )  # fmt: skip
    claims = [Claim(*tuple(row)) for row in session.connection().execute(statement)]
    return sorted(claims, key=lambda claim: job_ids.index(claim.id))


def heartbeat(session: Session, claims: Sequence[Claim], lease_s: float = LEASE_S) -> Heartbeat:
    """Extend the leases of jobs that are still ours. Call it every third of the lease."""
    if not claims:
        return Heartbeat(frozenset(), frozenset())
    fences = {claim.id: claim.fence for claim in claims}
    statement = (
        update(Job)
        .where(col(Job.id).in_(fences), col(Job.status) == "running", col(Job.lease_owner) == claims[0].owner)
        .values(lease_until=database_now(session) + int(lease_s * 1e6))
        .returning(col(Job.id), col(Job.fence), col(Job.cancel_requested))
    )
    rows = session.connection().execute(statement).all()
    held = [row for row in rows if fences[row.id] == row.fence]
    return Heartbeat(frozenset(row.id for row in held), frozenset(row.id for row in held if row.cancel_requested))


def finish(session: Session, claim: Claim, result: dict[str, Any] | None = None) -> None:
    """Mark a job done; write its result in the same transaction, after this.

    Raises:
        SpressoError: ``lease_lost`` if another worker took over meanwhile; roll back, its result is not ours to write.
    """
    _close(session, claim, status="succeeded", result=result or {}, progress=1.0, error_code=None, error_kind=None,
           message=None, hint=None, traceback=None)  # fmt: skip


def cancelled(session: Session, claim: Claim) -> None:
    """Close a job that was running when somebody asked to stop it."""
    _close(session, claim, status="cancelled")


def fail(session: Session, claim: Claim, error: BaseException) -> str:
    """Record what went wrong and decide what happens next.

    Retryable faults go back to the queue with a growing pause until the attempts are used up; permanent ones fail;
    faults of the environment put the job back uncounted and pause its queue: one report, not ten thousand failures.
    What waits for a root to come back waits uncounted, too.

    Returns:
        the job's new status: ``queued`` or ``failed``.

    Raises:
        SpressoError: ``lease_lost``.
    """
    fault = as_spresso_error(error)
    now = database_now(session)
    limits = session.connection().execute(
        select(col(Job.max_attempts), col(Job.queue)).where(col(Job.id) == claim.id)
    ).one()  # fmt: skip
    report = {
        "error_code": fault.code,
        "error_kind": fault.kind.value,
        "message": fault.message,
        "hint": fault.hint,
        "traceback": None if fault is error else "".join(tracebacks.format_exception(error))[-TRACEBACK_CHARACTERS:],
    }
    if fault.kind is FaultKind.ENVIRONMENT:
        _close(session, claim, status="queued", attempt=claim.attempt - 1, **report)
        pause_until = now + int(ENVIRONMENT_PAUSE_S * 1e6)
        pause = QueuePause(
            queue=limits.queue, paused_by=ENVIRONMENT, reason=str(fault), paused_at=now, expires_at=pause_until
        )
        if session.get(QueuePause, limits.queue) is None:  # a person's pause stays as it is
            session.add(pause)
            session.flush()
        return "queued"
    if fault.code in WAITED_OUT:
        wait_s = WAIT_S * random.uniform(0.5, 1.5)
        _close(session, claim, status="queued", attempt=claim.attempt - 1, not_before=now + int(wait_s * 1e6), **report)
        return "queued"
    if fault.kind is FaultKind.RETRYABLE and claim.attempt < limits.max_attempts:
        _close(session, claim, status="queued", not_before=now + int(backoff_s(claim.attempt) * 1e6), **report)
        return "queued"
    _close(session, claim, status="failed", **report)
    return "failed"


def release(session: Session, claims: Sequence[Claim]) -> None:
    """Give jobs back untouched and uncounted, for a worker that is told to stop. Jobs already lost are left alone."""
    for claim in claims:
        _guarded_update(session, claim, status="queued", attempt=claim.attempt - 1)


def report_progress(session: Session, claim: Claim, progress: float) -> bool:
    """Let people see how far a long job is, 0 … 1.

    Returns:
        whether to go on: the job is still ours, and nobody wants it stopped.
    """
    statement = (
        update(Job)
        .where(col(Job.id) == claim.id, col(Job.status) == "running", col(Job.fence) == claim.fence)
        .values(progress=progress)
        .returning(col(Job.cancel_requested))
    )
    return session.connection().execute(statement).scalar_one_or_none() is False


def share_time(session: Session, claims: Sequence[Claim], done: Sequence[Claim], seconds: float) -> None:
    """Record how long jobs took that ran together: each its share of ``seconds``, by cost. Estimates are made of it.

    Args:
        claims: all that ran. done: those of them whose time is worth remembering.
    """
    cost_s = sum(claim.cost_s for claim in claims)
    share = col(Job.cost_s) * (seconds / cost_s) if cost_s > 0 else seconds / max(len(claims), 1)
    session.connection().execute(update(Job).where(col(Job.id).in_([claim.id for claim in done])).values(run_s=share))


def backoff_s(attempt: int) -> float:
    """Pause before the next attempt: 5, 20, 80 s … at most an hour, spread so that failures do not march in step."""
    return min(BACKOFF_BASE_S * BACKOFF_FACTOR ** (attempt - 1), BACKOFF_CAP_S) * random.uniform(0.5, 1.5)


def _close(session: Session, claim: Claim, **values: Any) -> None:
    if not _guarded_update(session, claim, **values):
        raise SpressoError(
            f"Job {claim.uid} was taken over by another worker",
            code="lease_lost",
            hint="Nothing to do: the other worker's result counts",
            kind=FaultKind.RETRYABLE,
        )


def _guarded_update(session: Session, claim: Claim, **values: Any) -> bool:
    if values["status"] != "queued":
        values["finished_at"] = database_now(session)
    guard = {"its_id": claim.id, "its_fence": claim.fence, "its_owner": claim.owner}
    values |= {"lease_owner": None, "lease_until": None}
    result: CursorResult[Any] = session.connection().execute(_guarded(tuple(values)), guard | values)
    return result.rowcount == 1


@cache
def _guarded(columns: tuple[str, ...]) -> Update:
    """Change these columns of a job, if it is still ours."""
    ours = (
        JOBS.c.id == bindparam("its_id"),
        JOBS.c.status == "running",
        JOBS.c.fence == bindparam("its_fence"),
        JOBS.c.lease_owner == bindparam("its_owner"),
    )
    return update(JOBS).where(*ours).values({name: bindparam(name) for name in columns})
