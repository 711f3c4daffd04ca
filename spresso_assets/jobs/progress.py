"""How far the work is: counts, speed, and what stands in its way."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import func, or_, select
from sqlmodel import Session, col

from spresso_assets.catalog.engine import database_now
from spresso_assets.catalog.models import Batch, Job
from spresso_assets.jobs.queue import ACTIVE, QUEUES, may_begin
from spresso_assets.jobs.roster import seen_workers, served_queues

LONELY_AFTER_S = 120.0
SPEED_OVER_S = 60.0


@dataclass
class Kind:
    """Jobs of one kind, and the seconds of sound in them."""

    waiting: int = 0
    running: int = 0
    succeeded: int = 0
    failed: int = 0
    cancelled: int = 0
    sound_done_s: float = 0.0
    sound_left_s: float = 0.0

    @property
    def left(self) -> int:
        return self.waiting + self.running

    @property
    def ended(self) -> int:
        return self.succeeded + self.failed + self.cancelled


@dataclass(frozen=True)
class Snapshot:
    """The work at one moment.

    Attributes:
        batch: of one batch, or None for everything that the table holds.
        workers: that live, by the queue that they serve.
        batches: that are not done, if everything is counted.
    """

    at: int
    kinds: dict[str, Kind]
    batch: Batch | None = None
    workers: dict[str, int] = field(default_factory=dict)
    hindrances: Sequence[str] = ()
    batches: Sequence[Batch] = ()

    @property
    def left(self) -> int:
        return sum(kind.left for kind in self.kinds.values())

    @property
    def failed(self) -> int:
        return sum(kind.failed for kind in self.kinds.values())

    @property
    def done(self) -> bool:
        """Whether nothing is left, and nothing is about to be added."""
        return self.left == 0 and (self.batch is None or self.batch.state != "planning")


@dataclass(frozen=True)
class Lonely:
    """A queue with jobs that nobody takes."""

    queue: str
    jobs: int
    oldest_s: float

    def __str__(self) -> str:
        minutes = self.oldest_s / 60
        return (
            f"{self.jobs} jobs wait in the queue {self.queue}, the first for {minutes:.0f} minutes, and no worker "
            f"serves it: spresso worker --queues {self.queue}"
        )


def snapshot(session: Session, batch: Batch | None = None) -> Snapshot:
    """Count. Reads every job of the batch, or every job that there is: not for ten times a second."""
    statement = select(col(Job.kind), col(Job.status), func.count(), func.sum(col(Job.cost_s)))
    if batch is not None:
        statement = statement.where(col(Job.batch_id) == batch.id)
    kinds: dict[str, Kind] = {}
    for name, status, number, sound_s in session.connection().execute(
        statement.group_by(col(Job.kind), col(Job.status))
    ):
        kind = kinds.setdefault(name, Kind())
        setattr(kind, "waiting" if status == "queued" else status, number)
        if status in ACTIVE:
            kind.sound_left_s += sound_s or 0.0
        elif status == "succeeded":
            kind.sound_done_s += sound_s or 0.0
    workers = dict.fromkeys(QUEUES, 0)
    for seen in seen_workers(session):
        for queue in seen.worker.queues if seen.alive else ():
            workers[queue] = workers.get(queue, 0) + 1
    lonely = [str(queue) for queue in lonely_queues(session)]
    batches = _unfinished(session) if batch is None else ()
    return Snapshot(database_now(session), kinds, batch, workers, lonely, batches)


def _unfinished(session: Session) -> Sequence[Batch]:
    active = select(col(Job.batch_id)).where(col(Job.status).in_(ACTIVE), col(Job.batch_id).is_not(None))
    unfinished = select(Batch).where(or_(col(Batch.state) == "planning", col(Batch.id).in_(active)))
    return session.execute(unfinished.order_by(col(Batch.id))).scalars().all()


def lonely_queues(session: Session, after_s: float = LONELY_AFTER_S) -> list[Lonely]:
    """Queues whose first ready job has waited for minutes, and that neither a worker nor a command works on."""
    now = database_now(session)
    served = served_queues(session)
    found = []
    for queue in QUEUES:
        if queue in served:
            continue
        ready = (col(Job.queue) == queue, *may_begin(now))
        first = select(col(Job.created_at), col(Job.not_before)).where(*ready)
        head = session.connection().execute(
            first.order_by(col(Job.crashes), col(Job.priority), col(Job.id)).limit(1)
        ).first()  # fmt: skip
        if head is None or (waited_s := (now - max(head.created_at, head.not_before)) / 1e6) < after_s:
            continue
        running = select(col(Job.id)).where(
            col(Job.queue) == queue, col(Job.status) == "running", col(Job.lease_until) > now
        )
        if session.connection().execute(running.limit(1)).first() is None:
            number = session.connection().execute(select(func.count()).where(*ready)).scalar_one()
            found.append(Lonely(queue, number, waited_s))
    return found


@dataclass(frozen=True)
class Speed:
    """Per second, over the last minute; `eta_s` is None while nothing ends."""

    jobs: float
    sound_s: float
    eta_s: float | None


class Pace:
    """Speed by kind, from snapshots as they come."""

    def __init__(self) -> None:
        self._seen: deque[Snapshot] = deque()

    def add(self, snapshot: Snapshot) -> None:
        """The newest snapshot; what is older than a minute is forgotten."""
        self._seen.append(snapshot)
        while len(self._seen) > 2 and snapshot.at - self._seen[0].at > SPEED_OVER_S * 1e6:
            self._seen.popleft()

    def of(self, name: str) -> Speed:
        """Speed of a kind."""
        first, last = self._seen[0], self._seen[-1]
        seconds = (last.at - first.at) / 1e6
        now, before = last.kinds[name], first.kinds.get(name, Kind())
        if seconds <= 0:
            return Speed(0.0, 0.0, None)
        jobs = max(0.0, (now.ended - before.ended) / seconds)
        sound_s = max(0.0, (now.sound_done_s - before.sound_done_s) / seconds)
        if sound_s > 0 and now.sound_left_s > 0:
            eta_s: float | None = now.sound_left_s / sound_s
        else:
            eta_s = now.left / jobs if jobs > 0 else None
        return Speed(jobs, sound_s, eta_s)


def record(snapshot: Snapshot, pace: Pace) -> dict[str, Any]:
    """JSON form of a snapshot and the speed at it."""
    kinds = {}
    for name, kind in sorted(snapshot.kinds.items()):
        speed = pace.of(name)
        eta_s = None if speed.eta_s is None else round(speed.eta_s)
        kinds[name] = {
            **vars(kind),
            "jobs_per_s": round(speed.jobs, 3),
            "sound_s_per_s": round(speed.sound_s, 3),
            "eta_s": eta_s,
        }
    return {
        "batch": None if snapshot.batch is None else snapshot.batch.uid,
        "batch_state": None if snapshot.batch is None else snapshot.batch.state,
        "left": snapshot.left,
        "failed": snapshot.failed,
        "kinds": kinds,
        "workers": snapshot.workers,
        "hindrances": list(snapshot.hindrances),
        "batches": [{"uid": batch.uid, "kind": batch.kind, "state": batch.state} for batch in snapshot.batches],
    }
