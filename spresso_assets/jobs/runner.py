"""The embedded runner: one process, no services. It takes jobs from the same table as any team of workers."""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import func, select
from sqlmodel import col

from spresso_assets.catalog.engine import Catalog, database_now
from spresso_assets.catalog.models import Job
from spresso_assets.errors import SpressoError
from spresso_assets.jobs import queue
from spresso_assets.jobs.context import TaskContext
from spresso_assets.jobs.control import lift_environment_pauses, paused_queues
from spresso_assets.jobs.loop import BATCH, WorkLoop
from spresso_assets.jobs.outcome import Outcome

# Above so many jobs what is left is not counted after every batch: counting may take a fiftieth of the time.
COUNT_ALWAYS = 2000
COUNT_COST = 50.0


@dataclass(frozen=True)
class Backlog:
    """Jobs of one kind that are waiting or running, and the seconds of sound in them (known for encoding only)."""

    jobs: int
    seconds: float


@dataclass(frozen=True)
class Event:
    """What a progress display needs after each batch: what ended, and what is left by kind."""

    outcomes: Sequence[Outcome]
    backlog: dict[str, Backlog]
    summary: "Summary"


@dataclass
class Summary:
    """What a run did. ``timings`` are seconds: reading, resampling, network, database, load_model and probe_* parts."""

    outcomes: dict[str, dict[str, int]] = field(default_factory=dict)  # kind -> new, linked, encoded, failed, …
    seconds_probed: float = 0.0
    seconds_encoded: float = 0.0
    payload_bytes: int = 0
    elapsed_s: float = 0.0
    timings: dict[str, float] = field(default_factory=dict)
    failures: list[Outcome] = field(default_factory=list)
    waiting: int = 0  # jobs that will be tried again later
    blocked: SpressoError | None = None  # what keeps a queue from working until a person acts

    def count(self, outcome: Outcome) -> None:
        by_kind = self.outcomes.setdefault(outcome.kind, {})
        name = outcome.what or ("retry" if outcome.status == "queued" else outcome.status)
        by_kind[name] = by_kind.get(name, 0) + 1
        if outcome.status == "failed":
            self.failures.append(outcome)
        if outcome.kind == "probe":
            self.seconds_probed += outcome.seconds
        elif outcome.what == "encoded":
            self.seconds_encoded += outcome.seconds
            self.payload_bytes += outcome.payload_bytes

    def shares(self) -> dict[str, float]:
        """Share of the elapsed time by activity, 0 … 1; ``other`` is the rest."""
        main = {name: self.timings.get(name, 0.0) for name in ("reading", "resampling", "network", "database")}
        main["loading"] = self.timings.get("load_model", 0.0)
        total = max(self.elapsed_s, 1e-9)
        shares = {name: seconds / total for name, seconds in main.items()}
        return {**shares, "other": max(0.0, 1.0 - sum(shares.values()))}

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        blocked = None if self.blocked is None else {"code": self.blocked.code, "message": self.blocked.message}
        return {
            "jobs": self.outcomes,
            "seconds_probed": round(self.seconds_probed, 3),
            "seconds_encoded": round(self.seconds_encoded, 3),
            "payload_bytes": self.payload_bytes,
            "elapsed_s": round(self.elapsed_s, 3),
            "shares": {name: round(share, 4) for name, share in self.shares().items()},
            "timings": {name: round(seconds, 3) for name, seconds in sorted(self.timings.items())},
            "failures": [outcome.as_dict() for outcome in self.failures],
            "waiting": self.waiting,
            "blocked": blocked,
        }


class EmbeddedRunner:
    """Works the queue off in this process.

    Args:
        context: without a codec, encode jobs are left for others.
        batch: most jobs that are taken at once.
        limit: end after so many jobs.
    """

    def __init__(self, catalog: Catalog, context: TaskContext, *, batch: int = BATCH, limit: int | None = None) -> None:
        self.catalog, self.context, self.limit = catalog, context, limit
        # all probes before any encode: sounds are searchable before they are encoded
        self.loop = WorkLoop(catalog, context, ("io", "encode"), batch=batch)
        self._stop = threading.Event()
        self._backlog: dict[str, Backlog] = {}
        self._count_again_at = 0.0

    def stop(self) -> None:
        """End after the batch that is in work; callable from a signal handler or another thread."""
        self._stop.set()

    def run(self, on_event: Callable[[Event], None] | None = None) -> Summary:
        """Do what is ready, until nothing is or `stop` is called.

        Args:
            on_event: called after every batch, outside of any transaction.

        Raises:
            KeyboardInterrupt: after the claimed jobs went back to the queue.
            SpressoError: faults of the catalog itself.
        """
        started = time.perf_counter()
        before = dict(self.context.timings.seconds)
        summary = Summary()
        with self.catalog.session() as session:
            lift_environment_pauses(session)
        done = 0
        while not self._stop.is_set() and (self.limit is None or done < self.limit):
            outcomes = self.loop.next_batch(None if self.limit is None else self.limit - done)
            if not outcomes:
                break
            done += len(outcomes)
            for outcome in outcomes:
                summary.count(outcome)
            summary.elapsed_s = time.perf_counter() - started
            summary.timings = _since(before, self.context.timings.seconds)
            if on_event is not None:
                on_event(Event(outcomes, self.backlog(), summary))
        self._conclude(summary)
        summary.elapsed_s = time.perf_counter() - started
        return summary

    def backlog(self) -> dict[str, Backlog]:
        """What is waiting or running, by kind. Of very many jobs not the latest number: counting must stay cheap."""
        began = time.monotonic()
        if began < self._count_again_at:
            return self._backlog
        statement = (
            select(col(Job.kind), func.count(), func.sum(col(Job.cost_s)))
            .where(col(Job.status).in_(("queued", "running")))
            .group_by(col(Job.kind))
        )
        with self.context.timings.measure("database"), self.catalog.read() as session:
            rows = session.connection().execute(statement).all()
        self._backlog = {kind: Backlog(number, float(seconds or 0.0)) for kind, number, seconds in rows}
        if sum(left.jobs for left in self._backlog.values()) > COUNT_ALWAYS:
            self._count_again_at = began + COUNT_COST * (time.monotonic() - began)
        return self._backlog

    def _conclude(self, summary: Summary) -> None:
        with self.catalog.read() as session:
            later = select(func.count()).where(col(Job.status) == "queued", col(Job.not_before) > database_now(session))
            summary.waiting = session.connection().execute(later).scalar_one()
            pauses = [pause for pause in paused_queues(session) if pause.paused_by == queue.ENVIRONMENT]
        summary.blocked = self.loop.no_codec
        if summary.blocked is None and pauses:
            code, _, message = pauses[0].reason.partition(": ")
            summary.blocked = SpressoError(message, code=code)


def _since(before: dict[str, float], now: dict[str, float]) -> dict[str, float]:
    return {name: seconds - before.get(name, 0.0) for name, seconds in now.items()}
