"""The step that every worker repeats, in a command or in the background: claim jobs that fit together, do them."""

import time
from collections.abc import Sequence

from spresso_assets.catalog.engine import Catalog
from spresso_assets.catalog.owner import new_owner
from spresso_assets.errors import SpressoError
from spresso_assets.jobs import queue
from spresso_assets.jobs.context import TaskContext
from spresso_assets.jobs.deliver import forget_expired
from spresso_assets.jobs.outcome import Outcome
from spresso_assets.jobs.queue import Claim
from spresso_assets.jobs.reaper import reap
from spresso_assets.jobs.roster import forget_dead
from spresso_assets.jobs.tasks import execute_claims

BATCH = 16
REAP_EVERY_S = 5.0
TIDY_EVERY_S = 60.0
CODEC_RETRY_S = 60.0
NEED_CODEC = frozenset({"decode", "encode"})  # queues
# Who waits for a decode waits for one batch of other work at most: so long may it take, once its speed is known.
TURN_S = 2.0
FIRST_TURN_S = 10.0  # seconds of sound in the first batch


class WorkLoop:
    """One worker's way through the queues.

    Args:
        queues: in the order in which they are served; of those that need a codec only if the context can load one.
        batch: most jobs that are taken at once. How much sound, the context says.
    """

    def __init__(
        self,
        catalog: Catalog,
        context: TaskContext,
        queues: Sequence[str],
        *,
        owner: str | None = None,
        batch: int = BATCH,
    ) -> None:
        self.catalog, self.context, self.batch = catalog, context, batch
        self.queues = tuple(name for name in queues if context.can_encode or name not in NEED_CODEC)
        self.owner = owner or new_owner()
        self.no_codec: SpressoError | None = None  # why encoding and decoding wait, if they do
        self._no_codec_until = 0.0
        self._reaped_at = self._tidied_at = 0.0
        self._turn_s = FIRST_TURN_S

    def next_batch(self, limit: int | None = None) -> list[Outcome]:
        """Do what is ready and fits together; [] if nothing is ready.

        Args:
            limit: take no more jobs than this.

        Raises:
            SpressoError: faults of the catalog itself.
        """
        self._reap()
        claims = self._claim(self.batch if limit is None else min(self.batch, limit))
        if not claims:
            return []
        began = time.perf_counter()
        outcomes = execute_claims(self.catalog, claims, self.context)
        self._learn(claims, time.perf_counter() - began)
        return outcomes

    def anything_ready(self) -> bool:
        """Whether `next_batch` may find something. Only reads: idle workers ask this all the time.

        Raises:
            SpressoError: faults of the catalog itself.
        """
        self._reap()
        with self.catalog.read() as session:
            return queue.is_ready(session, self.queues)

    def _claim(self, limit: int) -> list[Claim]:
        if self.context.loaded is not None or NEED_CODEC.isdisjoint(self.queues):
            return self._claim_from(self.queues, limit)
        for name in self.queues:
            if (name not in NEED_CODEC or self._codec_for(name)) and (claims := self._claim_from([name], limit)):
                return claims
        return []

    def _claim_from(self, queues: Sequence[str], limit: int) -> list[Claim]:
        with self.context.timings.measure("database"), self.catalog.session() as session:
            return queue.claim_batch(
                session,
                self.owner,
                lease_s=self.context.lease_s,
                queues=queues,
                limit=limit,
                max_cost_s=self._budget_s(),
            )

    def _codec_for(self, name: str) -> bool:
        """Load the codec before claiming, not after: whoever is killed while loading then held no job.

        It is loaded only if there is something to do with it; a failure is remembered for a minute.
        """
        if time.monotonic() < self._no_codec_until:
            return False
        with self.context.timings.measure("database"), self.catalog.read() as session:
            if not queue.is_ready(session, [name]):
                return False
        try:
            self.context.codec()
        except SpressoError as error:
            self.no_codec, self._no_codec_until = error, time.monotonic() + CODEC_RETRY_S
            return False
        self.no_codec = None
        return True

    def _budget_s(self) -> float:
        """Seconds of sound in the next batch."""
        return min(self.context.batch_s, self._turn_s) if queue.INTERACTIVE in self.queues else self.context.batch_s

    def _learn(self, claims: Sequence[Claim], seconds: float) -> None:
        """How much sound this machine gets done in a turn: half from the last batch, half from those before."""
        sound_s = sum(claim.cost_s for claim in claims)
        if claims[0].kind == "encode" and sound_s > 0:
            self._turn_s = (self._turn_s + TURN_S * sound_s / max(seconds, 1e-3)) / 2

    def _reap(self) -> None:
        now = time.monotonic()
        if self._reaped_at and now - self._reaped_at < REAP_EVERY_S:
            return
        self._reaped_at = now
        with self.context.timings.measure("database"), self.catalog.session() as session:
            reap(session)
            if now - self._tidied_at > TIDY_EVERY_S:
                self._tidied_at = now
                forget_dead(session)
                forget_expired(session)
