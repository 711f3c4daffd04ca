"""Who works here: the workers' own reports, for people. Nothing is claimed or freed by them; leases do that."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import delete, select, update
from sqlmodel import Session, col

from spresso_assets.catalog.engine import database_now
from spresso_assets.catalog.models import Worker
from spresso_assets.catalog.owner import is_gone
from spresso_assets.errors import ExitCode, SpressoError

BEAT_S = 10.0
DEAD_AFTER_S = 4 * BEAT_S
FORGET_AFTER_S = 86_400.0


@dataclass(frozen=True)
class Report:
    """What a worker says of itself at every beat."""

    state: str  # idle, busy, draining, stopped
    progress_at: int  # microseconds: when its loop last moved
    jobs_done: int = 0
    jobs_failed: int = 0
    memory_bytes: int | None = None
    device_memory_bytes: int | None = None
    weights_sha256: str | None = None


@dataclass(frozen=True)
class Seen:
    """A worker as the others see it."""

    worker: Worker
    beat_age_s: float
    alive: bool

    @property
    def state(self) -> str:
        """Its own word, or `dead` if it went without one."""
        return self.worker.state if self.alive or self.worker.state == "stopped" else "dead"


def sign_on(session: Session, worker: Worker) -> None:
    """Enter a worker that starts."""
    now = database_now(session)
    session.merge(worker.model_copy(update={"started_at": now, "heartbeat_at": now, "progress_at": now}))


def beat(session: Session, owner: str, report: Report) -> bool | None:
    """Keep a worker's row up to date.

    Returns:
        whether it is to drain; None if the row is gone, for example because a backup was restored.
    """
    statement = (
        update(Worker)
        .where(col(Worker.owner) == owner)
        .values(heartbeat_at=database_now(session), **vars(report))
        .returning(col(Worker.drain_requested))
    )
    return session.connection().execute(statement).scalar_one_or_none()


def seen_workers(session: Session, *, stopped: bool = False) -> list[Seen]:
    """All workers that live or died within a day, by name; on request those that ended in order, too."""
    now = database_now(session)
    statement = select(Worker).order_by(col(Worker.name), col(Worker.started_at))
    if not stopped:
        statement = statement.where(col(Worker.state) != "stopped")
    found = []
    for worker in session.execute(statement).scalars():
        age_s = max(now - worker.heartbeat_at, 0) / 1e6
        alive = worker.state != "stopped" and age_s < DEAD_AFTER_S and not is_gone(worker.owner)
        found.append(Seen(worker, age_s, alive))
    return found


def request_drain(session: Session, name: str | None) -> list[str]:
    """Ask living workers to finish what is in work and end; returns their owners.

    Args:
        name: of one worker, or of several that run under one supervisor: the part in front of the last dash; None
            for all.

    Raises:
        SpressoError: ``worker_unknown`` (exit 4).
    """
    chosen = [
        seen.worker.owner
        for seen in seen_workers(session)
        if seen.alive and (name is None or seen.worker.name == name or seen.worker.name.rpartition("-")[0] == name)
    ]
    if name is not None and not chosen:
        raise SpressoError(
            f"No living worker is called '{name}'",
            code="worker_unknown",
            hint="'spresso workers list' shows their names",
            exit_code=ExitCode.NOT_FOUND,
        )
    session.connection().execute(update(Worker).where(col(Worker.owner).in_(chosen)).values(drain_requested=True))
    return chosen


def still_there(session: Session, owners: Sequence[str]) -> list[str]:
    """Which of these workers have neither ended nor died."""
    return [seen.worker.owner for seen in seen_workers(session) if seen.alive and seen.worker.owner in owners]


def forget_dead(session: Session) -> int:
    """Delete rows that nobody looks at any more: of workers that were last heard of a day ago."""
    before = database_now(session) - int(FORGET_AFTER_S * 1e6)
    return session.connection().execute(delete(Worker).where(col(Worker.heartbeat_at) < before)).rowcount


def served_queues(session: Session) -> set[str]:
    """Queues that some living worker takes jobs from."""
    return {queue for seen in seen_workers(session) if seen.alive for queue in seen.worker.queues}


def memory_bytes() -> int | None:
    """Memory that this process occupies; None where the system does not say."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except OSError:
        return None
    return pages * os.sysconf("SC_PAGE_SIZE")
