"""Tell the workers that there is work. Nothing depends on it: what is not heard is found by the sweeper."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from spresso_assets.catalog.engine import Catalog

TASK = "spresso.run_job"
# A message that nobody took within a minute says nothing new: the sweeper rings again.
EXPIRES_S = 60
MOST_AT_ONCE = 200


def ring(jobs: Iterable[tuple[str, str]]) -> int:
    """Send one message per (job uid, queue), after the rows were committed.

    Returns:
        how many were sent; fewer than asked when the broker does not answer, which is not an error.
    """
    from kombu.exceptions import OperationalError

    from workers.app import app

    sent = 0
    # Without these limits a publisher waits six seconds for a broker that is down.
    patience = {"max_retries": 1, "interval_start": 0, "interval_step": 0, "interval_max": 0}
    try:
        with app.connection_for_write(connect_timeout=2, transport_options=None) as connection:
            connection.ensure_connection(**patience)
            for uid, queue in jobs:
                app.send_task(TASK, [uid], queue=queue, expires=EXPIRES_S, retry=False, connection=connection)
                sent += 1
    except (OperationalError, OSError):
        pass
    return sent


def ring_waiting(catalog: Catalog, *, limit: int = MOST_AT_ONCE) -> tuple[int, int]:
    """Send messages for the jobs that wait and may begin; returns how many were sent, of how many.

    Raises:
        SpressoError: `broker_unset`.
    """
    from sqlmodel import col, select

    from spresso_assets.catalog.engine import database_now
    from spresso_assets.catalog.models import Job
    from spresso_assets.jobs.queue import may_begin

    with catalog.read() as session:
        waiting = session.exec(
            select(Job.uid, Job.queue)
            .where(*may_begin(database_now(session)))
            .order_by(col(Job.crashes), col(Job.priority), col(Job.id))
            .limit(limit)
        ).all()
    return ring(waiting), len(waiting)
