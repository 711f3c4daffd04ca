"""A worker process with a fake codec: `python -m tests.workers.worker_process CATALOG SEAT LEASE_S SLOW_S`.

Another seat makes it a worker of another machine, whose processes cannot be seen from here.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from spresso_assets.catalog import owner
from spresso_assets.catalog.engine import open_catalog
from spresso_assets.errors import SpressoError
from spresso_assets.jobs.context import Audio, TaskContext
from spresso_assets.jobs.queue import QUEUES
from spresso_assets.jobs.sandbox import ProbeResult
from spresso_assets.jobs.worker import BackgroundWorker
from tests.jobs.sounds import FakeCodec, InProcessProber


class Slow(FakeCodec):
    """Takes its time, and says when it has begun."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self.seconds = seconds

    def encode_many(self, sounds: Sequence[tuple[Audio, int]], point: str, channel_mode: str = "mono") -> list[bytes]:
        print("encoding", flush=True)
        time.sleep(self.seconds)
        return super().encode_many(sounds, point, channel_mode)


class Prober(InProcessProber):
    def probe_many(self, paths: Sequence[Path]) -> list[ProbeResult | SpressoError]:
        print("probing", flush=True)
        return super().probe_many(paths)


if __name__ == "__main__":
    location, seat, lease_s, slow_s = sys.argv[1], sys.argv[2], float(sys.argv[3]), float(sys.argv[4])
    if seat != "here":
        owner.seat = lambda: seat  # type: ignore[assignment]
    codec = Slow(slow_s)
    context = TaskContext(lambda: codec, Prober(), lease_s=lease_s)
    worker = BackgroundWorker(
        open_catalog(location), context, QUEUES, name=f"{seat}-{os.getpid()}", poll_s=0.05, batch=4
    )
    thread = worker.start()
    threading.Thread(target=lambda: (sys.stdin.read(), worker.stop()), daemon=True).start()  # ends with its parent
    thread.join()
