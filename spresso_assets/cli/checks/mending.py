"""What `spresso doctor --fix` does: only what any worker or command would do by itself."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from spresso_assets.cli.checks.finding import Finding, Level

if TYPE_CHECKING:
    from spresso_assets.catalog.engine import Catalog


def mend(catalog: Catalog) -> Iterator[Finding]:
    """Free the jobs of dead workers, lift pauses that faults made, fold the log in, refresh the planner's figures."""
    from spresso_assets.jobs.control import lift_environment_pauses, paused_queues
    from spresso_assets.jobs.queue import ENVIRONMENT
    from spresso_assets.jobs.reaper import reap

    with catalog.session() as session:
        reaped = reap(session)
        lifted = [pause.queue for pause in paused_queues(session) if pause.paused_by == ENVIRONMENT]
        lift_environment_pauses(session)
    if reaped.requeued or reaped.failed:
        message = f"{reaped.requeued} jobs of dead workers queued again, {reaped.failed} given up"
        yield Finding(Level.OK, "fixed", message)
    for queue in lifted:
        yield Finding(Level.OK, "fixed", f"queue {queue} may be tried again")
    if catalog.is_sqlite:
        with catalog.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            raw = connection.connection.driver_connection
            assert raw is not None
            connection.rollback()
            raw.execute("PRAGMA analysis_limit=1000")
            raw.execute("PRAGMA optimize(0x10002)")
            busy, _, _ = raw.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        folded = "log folded in" if not busy else "the log is still being read by somebody"
        yield Finding(Level.OK, "fixed", f"database: {folded}, statistics refreshed")
    else:
        with catalog.session() as session:
            session.connection().exec_driver_sql("SET LOCAL statement_timeout = 0")
            session.connection().exec_driver_sql("ANALYZE")
        yield Finding(Level.OK, "fixed", "database: statistics refreshed")
