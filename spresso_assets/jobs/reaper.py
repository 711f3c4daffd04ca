"""Frees jobs whose worker died: at once if that can be seen from here, else when the lease is over."""

from dataclasses import dataclass

from sqlalchemy import select, update
from sqlmodel import Session, col

from spresso_assets.catalog.engine import database_now
from spresso_assets.catalog.models import Job
from spresso_assets.catalog.owner import is_gone

# How often a worker may die over one job. High, because most kills are not the job's fault: people end programs.
# A real poison job is claimed alone and last after its first crash, so that it costs little until it is given up.
MAX_CRASHES = 8


@dataclass(frozen=True)
class Reaped:
    requeued: int
    failed: int


def reap(session: Session) -> Reaped:
    """Put jobs of dead workers back; give up those that keep killing workers."""
    now = database_now(session)
    connection = session.connection()
    running = connection.execute(
        select(col(Job.id), col(Job.fence), col(Job.lease_owner), col(Job.lease_until), col(Job.crashes))
        .where(col(Job.status) == "running")
        .with_for_update(skip_locked=True)
    ).all()
    gone: dict[str, bool] = {}
    requeued = failed = 0
    for row in running:
        if row.lease_owner not in gone:
            gone[row.lease_owner] = is_gone(row.lease_owner)
        if row.lease_until >= now and not gone[row.lease_owner]:
            continue
        values = {"lease_owner": None, "lease_until": None, "crashes": row.crashes + 1}
        if row.crashes + 1 >= MAX_CRASHES:
            values |= {
                "status": "failed",
                "finished_at": now,
                "error_code": "worker_crashed",
                "error_kind": "permanent",
                "message": f"The worker died {row.crashes + 1} times over this job",
                "hint": "If you ended it yourself: spresso jobs retry; else report the sound",
            }
            failed += 1
        else:
            # the attempt did not fail, it was cut short: it is counted as a crash instead
            values |= {"status": "queued", "attempt": col(Job.attempt) - 1}
            requeued += 1
        connection.execute(update(Job).where(col(Job.id) == row.id, col(Job.fence) == row.fence).values(**values))
    return Reaped(requeued, failed)
