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
from spresso_assets.jobs.outcome import Outcome
from spresso_assets.jobs.owner import new_owner
from spresso_assets.jobs.reaper import reap
from spresso_assets.jobs.tasks import execute_claims

POLL_S = 0.25
REAP_EVERY_S = 5.0
CODEC_RETRY_S = 60.0


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
        batch_s: most seconds of sound that are encoded at once.
        lease_s: time after which others may take over if this process hangs.
    """

    def __init__(
        self,
        catalog: Catalog,
        context: TaskContext,
        *,
        batch: int = 16,
        batch_s: float = 120.0,
        lease_s: float = queue.LEASE_S,
        limit: int | None = None,
    ) -> None:
        self.catalog, self.context = catalog, context
        self.batch, self.batch_s, self.lease_s, self.limit = batch, batch_s, lease_s, limit
        self.owner = new_owner()
        self._stop = threading.Event()
        self._reaped_at = 0.0
        self._no_codec: SpressoError | None = None
        self._no_codec_until = 0.0

    def stop(self) -> None:
        """End after the batch that is in work; callable from a signal handler or another thread."""
        self._stop.set()

    def run(self, until_idle: bool = True, on_event: Callable[[Event], None] | None = None) -> Summary:
        """Do what is ready, all probes before any encode: sounds are searchable before they are encoded.

        Args:
            until_idle: return when nothing is ready; else go on until `stop`.
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
            self._reap()
            claims = self._claim(self.batch if self.limit is None else min(self.batch, self.limit - done))
            if not claims:
                if until_idle:
                    break
                self._stop.wait(POLL_S)
                continue
            outcomes = execute_claims(self.catalog, claims, self.context)
            done += len(claims)
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
        """What is waiting or running, by kind."""
        statement = (
            select(col(Job.kind), func.count(), func.sum(col(Job.cost_s)))
            .where(col(Job.status).in_(("queued", "running")))
            .group_by(col(Job.kind))
        )
        with self.context.timings.measure("database"), self.catalog.read() as session:
            rows = session.connection().execute(statement).all()
        return {kind: Backlog(number, float(seconds or 0.0)) for kind, number, seconds in rows}

    def _claim(self, limit: int) -> list[queue.Claim]:
        claims = self._claim_from("io", limit)
        if claims or not self.context.can_encode:
            return claims
        return self._claim_from("encode", limit) if self._codec_is_loaded() else []

    def _codec_is_loaded(self) -> bool:
        """Load the codec before claiming, not after: whoever is killed while loading then held no job.

        It is loaded only if there is something to encode; a failure is remembered for a minute.
        """
        if time.monotonic() < self._no_codec_until or not self._encodes_are_queued():
            return False
        try:
            self.context.codec()
        except SpressoError as error:
            self._no_codec, self._no_codec_until = error, time.monotonic() + CODEC_RETRY_S
            return False
        self._no_codec = None
        return True

    def _encodes_are_queued(self) -> bool:
        statement = select(col(Job.id)).where(col(Job.status) == "queued", col(Job.queue) == "encode").limit(1)
        with self.context.timings.measure("database"), self.catalog.read() as session:
            return session.connection().execute(statement).first() is not None

    def _claim_from(self, name: str, limit: int) -> list[queue.Claim]:
        with self.context.timings.measure("database"), self.catalog.session() as session:
            return queue.claim_batch(
                session, self.owner, lease_s=self.lease_s, queues=(name,), limit=limit, max_cost_s=self.batch_s
            )

    def _reap(self) -> None:
        now = time.monotonic()
        if self._reaped_at and now - self._reaped_at < REAP_EVERY_S:
            return
        self._reaped_at = now
        with self.context.timings.measure("database"), self.catalog.session() as session:
            reap(session)

    def _conclude(self, summary: Summary) -> None:
        with self.catalog.read() as session:
            later = select(func.count()).where(col(Job.status) == "queued", col(Job.not_before) > database_now(session))
            summary.waiting = session.connection().execute(later).scalar_one()
            pauses = [pause for pause in paused_queues(session) if pause.paused_by == queue.ENVIRONMENT]
        summary.blocked = self._no_codec
        if summary.blocked is None and pauses:
            code, _, message = pauses[0].reason.partition(": ")
            summary.blocked = SpressoError(message, code=code)


def _since(before: dict[str, float], now: dict[str, float]) -> dict[str, float]:
    return {name: seconds - before.get(name, 0.0) for name, seconds in now.items()}
