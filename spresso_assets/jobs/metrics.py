"""What Prometheus sees of a catalog. All of it comes from the database, so that one exporter sees every worker."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from sqlalchemy import func, select
from sqlmodel import Session, col

from spresso_assets import __version__
from spresso_assets.catalog.engine import Catalog, database_now
from spresso_assets.catalog.models import Asset, EncodeProfile, Job, Rendition, SourceFile, WatchRoot
from spresso_assets.catalog.revision import HEAD
from spresso_assets.errors import SpressoError
from spresso_assets.jobs.control import paused_queues
from spresso_assets.jobs.queue import QUEUES, may_begin
from spresso_assets.jobs.roster import seen_workers

if TYPE_CHECKING:
    from prometheus_client.core import Metric

KEPT_S = 60.0
# Counting a catalog of millions may take a twentieth of the time, however often somebody asks.
SHARE = 20.0
WORKER_STATES = ("idle", "busy", "draining", "dead")
JOB_STATES = ("queued", "running", "succeeded", "failed", "cancelled")


class CatalogCollector:
    """A collector for `prometheus_client`.

    Queues and workers are counted at every scrape; what takes a look at every row is counted once a minute at most.
    """

    def __init__(self, open_catalog: Callable[[], Catalog]) -> None:
        self._open = open_catalog
        self._catalog: Catalog | None = None
        self._slow: list[Metric] = []
        self._slow_until = 0.0

    def collect(self) -> Iterator[Metric]:
        """Everything; of a catalog that does not answer only that it does not."""
        from prometheus_client.core import GaugeMetricFamily

        info = GaugeMetricFamily("spresso_build_info", "Version of the program.", labels=["version", "schema"])
        info.add_metric([__version__, HEAD], 1)
        yield info
        found: list[Metric] = []
        try:
            self._catalog = self._catalog or self._open()
            with self._catalog.read() as session:
                found = [*_queues(session), *_workers(session), *_roots(session)]
            found += self._counted(self._catalog)
        except SpressoError:
            found = []
        yield GaugeMetricFamily("spresso_catalog_up", "1 if the catalog answers.", value=float(bool(found)))
        yield from found

    def _counted(self, catalog: Catalog) -> list[Metric]:
        began = time.monotonic()
        if began >= self._slow_until:
            with catalog.read() as session:
                self._slow = [*_jobs(session), *_archive(session), *_files(session)]
            took = time.monotonic() - began
            self._slow_until = began + max(KEPT_S, SHARE * took)
        return self._slow


def _gauge(name: str, about: str, labels: list[str], values: dict[tuple[str, ...], float]) -> Metric:
    from prometheus_client.core import GaugeMetricFamily

    family = GaugeMetricFamily(name, about, labels=labels)
    for key, value in values.items():
        family.add_metric(list(key), value)
    return family


def _queues(session: Session) -> Iterator[Metric]:
    now = database_now(session)
    ready: dict[tuple[str, ...], float] = {}
    oldest: dict[tuple[str, ...], float] = {}
    for queue in QUEUES:
        waiting = (col(Job.queue) == queue, *may_begin(now))
        number, since = session.connection().execute(
            select(func.count(), func.min(col(Job.created_at))).where(*waiting)
        ).one()  # fmt: skip
        ready[queue,] = number
        oldest[queue,] = 0.0 if since is None else max(0.0, (now - since) / 1e6)
    paused = {pause.queue for pause in paused_queues(session)}
    yield _gauge("spresso_queue_ready", "Jobs that a worker could begin now.", ["queue"], ready)
    yield _gauge("spresso_queue_oldest_seconds", "Age of the oldest ready job.", ["queue"], oldest)
    yield _gauge(
        "spresso_queue_paused", "1 if nothing may begin.", ["queue"], {(q,): float(q in paused) for q in QUEUES}
    )


def _workers(session: Session) -> Iterator[Metric]:
    states: dict[tuple[str, ...], float] = {(queue, state): 0.0 for queue in QUEUES for state in WORKER_STATES}
    ages: dict[tuple[str, ...], float] = {}
    memory: dict[tuple[str, ...], float] = {}
    for seen in seen_workers(session):
        for queue in seen.worker.queues:
            states[queue, seen.state] = states.get((queue, seen.state), 0.0) + 1
        ages[seen.worker.name,] = seen.beat_age_s
        if seen.alive and seen.worker.memory_bytes is not None:
            memory[seen.worker.name,] = seen.worker.memory_bytes
    yield _gauge("spresso_workers", "Workers by queue and state.", ["queue", "state"], states)
    yield _gauge("spresso_worker_heartbeat_age_seconds", "Since a worker's last report.", ["worker"], ages)
    yield _gauge("spresso_worker_memory_bytes", "Memory that a worker occupies.", ["worker"], memory)


def _roots(session: Session) -> Iterator[Metric]:
    online: dict[tuple[str, ...], float] = {}
    scanned: dict[tuple[str, ...], float] = {}
    for root in session.execute(select(WatchRoot)).scalars():
        online[root.name,] = float(root.state != "offline")
        if root.last_scan_at is not None:
            scanned[root.name,] = root.last_scan_at / 1e6
    yield _gauge("spresso_root_online", "0 if the folder of a root is not there.", ["root"], online)
    yield _gauge("spresso_root_last_scan_timestamp_seconds", "When a root was scanned.", ["root"], scanned)


def _jobs(session: Session) -> Iterator[Metric]:
    from prometheus_client.core import SummaryMetricFamily

    connection = session.connection()
    kind, status, took = col(Job.kind), col(Job.status), col(Job.run_s)
    kinds = connection.execute(
        select(kind, status, func.count(), func.count(took), func.sum(took)).group_by(kind, status)
    ).all()  # fmt: skip
    counts: dict[tuple[str, ...], float] = {(row[0], state): 0.0 for row in kinds for state in JOB_STATES}
    times: dict[str, tuple[int, float]] = {}
    for name, state, number, timed, seconds in kinds:
        counts[name, state] = number
        before = times.get(name, (0, 0.0))
        times[name] = (before[0] + timed, before[1] + float(seconds or 0.0))
    yield _gauge("spresso_jobs", "Jobs by kind and status.", ["kind", "status"], counts)
    code = col(Job.error_code)
    failed = connection.execute(select(code, func.count()).where(status == "failed").group_by(code))
    by_code: dict[tuple[str, ...], float] = {(name or "",): number for name, number in failed}
    yield _gauge("spresso_jobs_failed", "Failed jobs by error code.", ["code"], by_code)
    summary = SummaryMetricFamily("spresso_job_seconds", "Time that jobs took, of those not pruned.", labels=["kind"])
    for name, (timed, seconds) in times.items():
        summary.add_metric([name], timed, seconds)
    yield summary


def _archive(session: Session) -> Iterator[Metric]:
    number, seconds = session.connection().execute(
        select(func.count(), func.sum(col(Asset.duration))).where(col(Asset.deleted_at).is_(None))
    ).one()  # fmt: skip
    yield _gauge("spresso_assets", "Sounds in the catalog.", [], {(): number})
    yield _gauge("spresso_audio_seconds", "Their length.", [], {(): float(seconds or 0.0)})
    rows = session.connection().execute(
        select(col(EncodeProfile.name), func.count(), func.sum(col(Rendition.payload_bytes)))
        .join(Rendition, col(Rendition.profile_id) == col(EncodeProfile.id))
        .where(col(Rendition.status) == "ready")
        .group_by(col(EncodeProfile.name))
    ).all()  # fmt: skip
    counts: dict[tuple[str, ...], float] = {(name,): count for name, count, _ in rows}
    sizes: dict[tuple[str, ...], float] = {(name,): float(size or 0) for name, _, size in rows}
    yield _gauge("spresso_renditions", "Encoded sounds.", ["profile"], counts)
    yield _gauge("spresso_payload_bytes", "Their latents.", ["profile"], sizes)


def _files(session: Session) -> Iterator[Metric]:
    rows = session.connection().execute(
        select(col(WatchRoot.name), col(SourceFile.state), func.count())
        .join(SourceFile, col(SourceFile.root_id) == col(WatchRoot.id))
        .group_by(col(WatchRoot.name), col(SourceFile.state))
    )
    yield _gauge(
        "spresso_root_files", "Files of a root.", ["root", "state"], {(name, state): n for name, state, n in rows}
    )
