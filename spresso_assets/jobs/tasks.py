"""The task functions: the only code that does a job's work, whoever claimed it."""

from collections.abc import Callable, Sequence
from importlib import import_module

from spresso_assets.catalog.engine import Catalog
from spresso_assets.jobs import queue
from spresso_assets.jobs.context import TaskContext
from spresso_assets.jobs.outcome import Outcome
from spresso_assets.jobs.queue import Claim

Task = Callable[[Catalog, Sequence[Claim], TaskContext], list[Outcome]]
# Kind -> module and function of its `Task`, imported when the first such job is there.
TASKS = {
    "probe": ("probe_task", "run_probes"),
    "encode": ("encode_task", "run_encodes"),
    "decode": ("decode_task", "run_decodes"),
    "cut": ("cut_task", "run_cuts"),
    "quantise": ("quantise_task", "run_quantises"),
    "transcode": ("transcode_task", "run_transcodes"),
}


def task_of(kind: str) -> Task:
    """The function that does jobs of a kind."""
    module, name = TASKS[kind]
    task: Task = getattr(import_module(f"spresso_assets.jobs.{module}"), name)
    return task


def execute_claims(catalog: Catalog, claims: Sequence[Claim], context: TaskContext) -> list[Outcome]:
    """Do claimed jobs of one kind and profile together. If the worker is interrupted, they go back to the queue.

    Returns:
        one outcome per claim, in order; faults of the work are outcomes, only faults of the catalog raise.
    """
    if not claims:
        return []
    try:
        return task_of(claims[0].kind)(catalog, claims, context)
    except BaseException:
        with catalog.session() as session:
            queue.release(session, claims)
        raise
