"""What the handling of jobs costs per sound: everything but reading files and running networks.

A sound is two jobs, one that looks at its file and one that encodes it. Both are done by stubs, so that rows, claims,
leases, results and messages are what takes the time; reading the file once for encoding is taken off.
"""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

from sqlmodel import col, select

from spresso_assets.bench.figures import Figure, Tell
from spresso_assets.bench.folders import write_folder
from spresso_assets.bench.processes import free_port, jobs_left, living_workers, process, redis_server, wait_for
from spresso_assets.bench.stubs import register_stub, stub_context
from spresso_assets.catalog.engine import Catalog, open_catalog
from spresso_assets.catalog.models import Rendition, SourceFile
from spresso_assets.ingest.reconcile import reconcile
from spresso_assets.ingest.roots import add_root
from spresso_assets.jobs.plan import enqueue_probe
from spresso_assets.jobs.runner import EmbeddedRunner

EMBEDDED_MS, REDIS_MS = 10.0, 15.0
PATIENCE_S = 600.0


def measure_overhead(folder: Path, sounds: int, tell: Tell) -> list[Figure | None]:
    """Both, the second less the reading that the first has measured."""
    for name in ("embedded", "redis"):
        (folder / name).mkdir()
    embedded = measure_embedded(folder / "embedded", sounds, tell)
    return [embedded, measure_through_redis(folder / "redis", sounds, tell, embedded.facts["reading_ms"])]


def measure_embedded(folder: Path, sounds: int, tell: Tell) -> Figure:
    """Milliseconds per sound of a command that does its work itself, on SQLite."""
    catalog, _ = _archive(folder, sounds, tell)
    _enqueue(catalog)
    tell(f"handling {sounds} sounds in one process")
    summary = EmbeddedRunner(catalog, stub_context()).run()
    _check(catalog, sounds)
    reading_s = summary.timings.get("reading", 0.0) + summary.timings.get("network", 0.0)
    return Figure(
        "overhead per sound, embedded",
        1000 * (summary.elapsed_s - reading_s) / sounds,
        "ms",
        at_most=EMBEDDED_MS,
        facts={"sounds": sounds, "jobs": 2 * sounds, "reading_ms": round(1000 * reading_s / sounds, 3)},
    )


def measure_through_redis(folder: Path, sounds: int, tell: Tell, reading_ms: float = 0.0) -> Figure | None:
    """Milliseconds per sound of a worker process that Redis wakes up, on SQLite; None without a redis-server program.

    The clock runs from the first message to the last result, with a worker that is up and waiting.

    Args:
        reading_ms: what reading a file takes, from the embedded measurement; taken off.
    """
    if shutil.which("redis-server") is None:
        tell("there is no redis-server program here: the overhead through Redis is left out")
        return None
    from workers.doorbell import ring_waiting

    catalog, location = _archive(folder, sounds, tell)
    port = free_port()
    environment = {"SPRESSO_CATALOG": location, "SPRESSO_BROKER_URL": f"redis://127.0.0.1:{port}/0"}
    tell(f"handling {sounds} sounds through Redis")
    os.environ.update(environment)  # where the Celery app of this process finds its broker, too
    log = folder / "worker.log"
    with redis_server(folder, port), process("spresso_assets.bench.stub_worker", environment=environment, log=log):
        wait_for(lambda: living_workers(catalog) > 0, 60, f"the worker; its log is {log}")
        started = time.perf_counter()
        _enqueue(catalog)
        enqueued_s = time.perf_counter() - started
        ring_waiting(catalog)
        wait_for(lambda: jobs_left(catalog) == 0, PATIENCE_S, "the worker to end its jobs")
        elapsed_s = time.perf_counter() - started
    _check(catalog, sounds)
    return Figure(
        "overhead per sound, through Redis",
        1000 * elapsed_s / sounds - reading_ms,
        "ms",
        at_most=REDIS_MS,
        facts={"sounds": sounds, "jobs": 2 * sounds, "enqueueing_ms": round(1000 * enqueued_s / sounds, 3)},
    )


def _archive(folder: Path, sounds: int, tell: Tell) -> tuple[Catalog, str]:
    """A folder of small sounds that a fresh catalog knows and has not looked at; the catalog and where it lies."""
    tell(f"writing {sounds} small sounds")
    write_folder(folder / "sounds", sounds, shortest_s=0.05, longest_s=0.1)
    location = str(folder / "catalog.db")
    catalog = open_catalog(location, create=True)
    register_stub(catalog)
    with catalog.session() as session:
        root = add_root(session, folder / "sounds", mode="scan")
        assert root.id is not None
    reconcile(catalog, root.id, lambda session, file: None, settle_s=0.0)
    return catalog, location


def _enqueue(catalog: Catalog) -> None:
    """What a scan does with files that may be read: rows and jobs in transactions of some hundred."""
    with catalog.read() as session:
        ids = session.exec(select(SourceFile.id).order_by(col(SourceFile.id))).all()
    for at in range(0, len(ids), 400):
        with catalog.session() as session:
            for file in session.exec(select(SourceFile).where(col(SourceFile.id).in_(ids[at : at + 400]))):
                enqueue_probe(session, file)


def _check(catalog: Catalog, sounds: int) -> None:
    with catalog.read() as session:
        made = len(session.exec(select(Rendition.id)).all())
    catalog.close()
    assert made == sounds, f"{made} of {sounds} sounds were encoded"
