"""The workers, by their own reports: alive, moving, and all of one version and one model."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from spresso_assets.cli.checks.finding import Finding, Level
from spresso_assets.cli.format import length

if TYPE_CHECKING:
    from spresso_assets.catalog.engine import Catalog
    from spresso_assets.jobs.roster import Seen

STUCK_S = 900.0  # a batch is two minutes of sound


def check(catalog: Catalog) -> Iterator[Finding]:
    from spresso_assets.jobs.roster import seen_workers

    with catalog.read() as session:
        seen = list(seen_workers(session))
    alive = [one for one in seen if one.alive and one.worker.state != "stopped"]
    if not seen:
        yield Finding(Level.OK, "workers", "none: commands do the work themselves")
        return
    served = sorted({queue for one in alive for queue in one.worker.queues})
    yield Finding(Level.OK, "workers", f"{len(alive)} alive, serving {', '.join(served) or 'nothing'}")
    for one in seen:
        if not one.alive and one.worker.state != "stopped":
            message = f"last heard of {length(one.beat_age_s)} ago; its jobs go to others"
            hint = "Start it again, or forget it: spresso gc."
            yield Finding(Level.NOTE, f"worker {one.worker.name}", message, hint, "worker_dead")
    yield from _stuck(alive)
    yield from _differing(alive)


def _stuck(alive: list[Seen]) -> Iterator[Finding]:
    for one in alive:
        still = (one.worker.heartbeat_at - one.worker.progress_at) / 1e6
        if one.worker.state == "busy" and still > STUCK_S:
            message = f"alive, but has not moved for {length(still)}"
            hint = "Restart it: its jobs go back to the queue."
            yield Finding(Level.PROBLEM, f"worker {one.worker.name}", message, hint, "worker_stuck")


def _differing(alive: list[Seen]) -> Iterator[Finding]:
    from spresso_assets import __version__

    versions = {one.worker.version for one in alive if one.worker.version} | {__version__}
    if len(versions) > 1:
        message = f"workers and this program differ: {', '.join(sorted(versions))}"
        yield Finding(Level.PROBLEM, "workers", message, "Update all of them together.", "workers_differ")
    weights = {one.worker.weights_sha256 for one in alive if one.worker.weights_sha256}
    if len(weights) > 1:
        message = f"workers have loaded different weights: {', '.join(sorted(one[:12] for one in weights))}"
        hint = "Give all of them the same bundle; 'spresso workers list' shows who has which."
        yield Finding(Level.PROBLEM, "workers", message, hint, "workers_differ")
