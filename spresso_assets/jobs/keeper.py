"""Keeps leases alive while the work goes on outside of any transaction."""

import threading
import time
from collections.abc import Sequence
from types import TracebackType

from spresso_assets.catalog.engine import Catalog
from spresso_assets.errors import SpressoError
from spresso_assets.jobs.queue import LEASE_S, Claim, heartbeat


class LeaseKeeper:
    """Beats every third of the lease; knows which jobs were lost or are to be stopped.

    Use as ``with LeaseKeeper(catalog, claims) as keeper: …`` and look at ``lost`` and ``cancelled`` between steps.
    """

    def __init__(self, catalog: Catalog, claims: Sequence[Claim], lease_s: float = LEASE_S) -> None:
        self.catalog, self.claims, self.lease_s = catalog, claims, lease_s
        self.lost: frozenset[int] = frozenset()
        self.cancelled: frozenset[int] = frozenset()
        self._began = time.perf_counter()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run, name="leases", daemon=True)

    @property
    def elapsed_s(self) -> float:
        """Seconds since the work on these jobs began."""
        return time.perf_counter() - self._began

    def beat(self) -> None:
        """Extend all leases now."""
        try:
            with self.catalog.session() as session:
                beat = heartbeat(session, self.claims, self.lease_s)
        except SpressoError:
            return  # the next beat may get through; if none does, the fence keeps a late result out
        self.lost = frozenset(claim.id for claim in self.claims) - beat.held
        self.cancelled = beat.cancel

    def _run(self) -> None:
        while not self._done.wait(self.lease_s / 3):
            self.beat()

    def __enter__(self) -> "LeaseKeeper":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._done.set()
        self._thread.join()
