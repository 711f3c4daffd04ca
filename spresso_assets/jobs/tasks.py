"""The task functions: the only code that does a job's work, whether the embedded runner or a Celery worker calls it."""

from collections.abc import Callable, Sequence

from spresso_assets.catalog.engine import Catalog
from spresso_assets.jobs import queue
from spresso_assets.jobs.context import TaskContext
from spresso_assets.jobs.encode_task import run_encodes
from spresso_assets.jobs.outcome import Outcome
from spresso_assets.jobs.owner import new_owner
from spresso_assets.jobs.probe_task import run_probes
from spresso_assets.jobs.queue import Claim

Task = Callable[[Catalog, Sequence[Claim], TaskContext], list[Outcome]]
TASKS: dict[str, Task] = {"probe": run_probes, "encode": run_encodes}


def execute(catalog: Catalog, job_uid: str, context: TaskContext, owner: str | None = None) -> Outcome:
    """Claim one job and do it. A job that is not waiting (done, or running elsewhere) is a no-op, so that a message
    that is delivered twice does no harm.
    """
    with catalog.session() as session:
        claim = queue.claim_uid(session, owner or new_owner(), job_uid)
    if claim is None:
        return Outcome(job_uid, "", "skipped")
    return execute_claims(catalog, [claim], context)[0]


def execute_claims(catalog: Catalog, claims: Sequence[Claim], context: TaskContext) -> list[Outcome]:
    """Do claimed jobs of one kind and profile together. If the worker is interrupted, they go back to the queue.

    Returns:
        one outcome per claim, in order; faults of the work are outcomes, only faults of the catalog raise.
    """
    if not claims:
        return []
    try:
        return TASKS[claims[0].kind](catalog, claims, context)
    except BaseException:
        with catalog.session() as session:
            queue.release(session, claims)
        raise
