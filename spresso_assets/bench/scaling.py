"""How much faster two worker processes of one thread each encode than one: a ratio taken in one run."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import func, select
from sqlmodel import col

from spresso_assets.bench.archive import Archive, make_archive
from spresso_assets.bench.figures import Figure, Tell
from spresso_assets.bench.processes import jobs_left, process, wait_for
from spresso_assets.catalog.columns import now_us
from spresso_assets.catalog.engine import Catalog
from spresso_assets.catalog.models import Job
from spresso_assets.jobs.cores import usable_cores

AT_LEAST = 1.8
PATIENCE_S = 1800.0
BATCH_S = 10.0  # small ones: what is in work at the end is not counted
LOOK_S = 0.5


def measure_scaling(folder: Path, bundle: Path, sounds: int, tell: Tell) -> Figure | None:
    """Sound per second of two one-threaded workers over that of one; None on a machine with one core."""
    if usable_cores() < 2:
        tell("there is one core here: the scaling over two processes is left out")
        return None
    speeds = {}
    for processes in (1, 2):
        place = folder / str(processes)
        place.mkdir(parents=True)
        tell(f"writing {sounds} sounds")
        archive = make_archive(place, bundle, sounds, longest_s=3.0, probed=True)
        tell(f"encoding {archive.seconds:.0f} s of sound with {processes} worker process{'es' * (processes > 1)}")
        speeds[processes] = _speed(place, bundle, archive, processes)
        archive.catalog.close()
    return Figure(
        "encoding with two worker processes over one",
        speeds[2] / speeds[1],
        "times",
        at_least=AT_LEAST,
        facts={
            "sounds": sounds,
            "one_process_x_realtime": round(speeds[1], 1),
            "two_processes_x_realtime": round(speeds[2], 1),
        },
    )


def _speed(folder: Path, bundle: Path, archive: Archive, processes: int) -> float:
    """Seconds of sound per second, from the moment that all models are loaded until no job waits any more."""
    catalog = archive.catalog
    options = {"--queues": "encode", "--processes": processes, "--threads": 1, "--batch-seconds": BATCH_S}
    args = ["worker", *(str(word) for option in options.items() for word in option)]
    environment = {"SPRESSO_CATALOG": archive.location, "SPRESSO_BUNDLE": str(bundle), "SPRESSO_BROKER_URL": ""}
    log = folder / "worker.log"
    with process("spresso_assets.cli.main", *args, environment=environment, log=log):
        wait_for(lambda: _busy(catalog) == processes, 120, f"the workers to begin; their log is {log}")
        began = now_us()
        wait_for(lambda: _waiting(catalog) == 0, PATIENCE_S, "the last job to begin", LOOK_S)
        ended = now_us()
        wait_for(lambda: jobs_left(catalog) == 0, PATIENCE_S, "the last job to end")
    done = select(func.sum(col(Job.cost_s))).where(
        col(Job.kind) == "encode", col(Job.finished_at) > began, col(Job.finished_at) <= ended
    )
    with catalog.read() as session:
        seconds = session.connection().execute(done).scalar_one() or 0.0
    return float(seconds) / ((ended - began) / 1e6)


def _busy(catalog: Catalog) -> int:
    """Workers with a job in hand; a worker loads its model before it takes one."""
    running = select(func.count(func.distinct(col(Job.lease_owner)))).where(col(Job.status) == "running")
    with catalog.read() as session:
        return session.connection().execute(running).scalar_one()


def _waiting(catalog: Catalog) -> int:
    with catalog.read() as session:
        return session.connection().execute(select(func.count()).where(col(Job.status) == "queued")).scalar_one()
