"""The one task: wake up the worker of this process.

The work itself is done in a thread beside Celery's, so that a broker that is down, slow or silent for hours while a
long batch runs stops nothing: the worker finds its jobs in the catalog, with a message or without.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from celery.signals import celeryd_after_setup, worker_shutting_down

from workers.app import app
from workers.doorbell import TASK

if TYPE_CHECKING:
    from spresso_assets.jobs.worker import BackgroundWorker

_served: list[BackgroundWorker] = []


def serve(worker: BackgroundWorker) -> None:
    """Let messages of this process wake this worker."""
    _served[:] = [worker]


@app.task(name=TASK)
def look(uid: str) -> None:
    """There is work, for example this job."""
    for worker in _served:
        worker.wake()


@celeryd_after_setup.connect
def _serve_by_default(instance: Any, **_: Any) -> None:
    """Started by Celery's own command line: work with the settings of the environment."""
    if not _served:
        from workers.process import WorkerOptions, make_worker

        queues = tuple(instance.app.amqp.queues.consume_from)
        worker = make_worker(WorkerOptions(queues=queues))
        serve(worker)
        worker.start()


@worker_shutting_down.connect
def _stop(**_: Any) -> None:
    for worker in _served:
        worker.stop()
