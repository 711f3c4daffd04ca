"""The tasks: claim the job that a message names, run it, and nothing else."""

from __future__ import annotations

import logging
import threading
from functools import cache
from typing import TYPE_CHECKING, Any

from celery.signals import worker_ready, worker_shutdown

from spresso_assets.config import load_settings
from workers.app import app
from workers.doorbell import TASK, ring_waiting

if TYPE_CHECKING:
    from spresso_assets.catalog.engine import Catalog
    from spresso_assets.codec.codec import SPresso
    from spresso_assets.jobs.context import TaskContext

SWEEP_S = 5.0
log = logging.getLogger(__name__)
_stopping = threading.Event()


@app.task(name=TASK)
def run_job(uid: str) -> str:
    """Run one job if it still waits; returns its status for the worker's log."""
    from spresso_assets.jobs.tasks import execute

    outcome = execute(_catalog(), uid, _context())
    log.info("%s %s %s", outcome.kind, uid, outcome.status)
    return outcome.status


@cache
def _catalog() -> Catalog:
    from spresso_assets.catalog.engine import open_catalog

    return open_catalog(load_settings().catalog)


@cache
def _context() -> TaskContext:
    from spresso_assets.jobs.context import TaskContext

    return TaskContext(_load_codec, probe_workers=load_settings().workers)


def _load_codec() -> SPresso:
    # torch comes in with the first encode job, after the worker process has started.
    from spresso_assets.codec.bundle import default_bundle, load_bundle

    return load_bundle(load_settings().bundle or default_bundle())


@worker_ready.connect
def _start_sweeper(**_: Any) -> None:
    threading.Thread(target=_sweep, name="sweeper", daemon=True).start()


@worker_shutdown.connect
def _stop_sweeper(**_: Any) -> None:
    _stopping.set()
    if _context.cache_info().currsize:
        _context().close()


def _sweep() -> None:
    """Free what dead workers held, and ring again for what waits: the broker may have lost every message."""
    from spresso_assets.jobs.reaper import reap

    while not _stopping.wait(SWEEP_S):
        try:
            with _catalog().session() as session:
                reap(session)
            ring_waiting(_catalog())
        except Exception:
            log.exception("sweep failed; the next one tries again")
