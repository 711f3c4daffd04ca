"""A watcher in a process of its own, so that it can be stopped while events pile up.

Run as ``python -m tests.ingest.watch_process CATALOG``. It prints "listening", and when it is told to end a JSON line
with what it heard: distinct files, and warnings about lost events.
"""

from __future__ import annotations

import hashlib
import json
import logging
import signal
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from spresso_assets.catalog.engine import open_catalog
from spresso_assets.errors import SpressoError
from spresso_assets.ingest import events
from spresso_assets.ingest.watcher import Watcher
from spresso_assets.jobs.context import TaskContext
from spresso_assets.jobs.plan import enqueue_probe
from spresso_assets.jobs.sandbox import ProbeResult
from spresso_assets.jobs.worker import BackgroundWorker


class Glance:
    """Takes a file's bytes for its sound: the flood is about files, not about decoding."""

    def probe_many(self, paths: Sequence[Path]) -> list[ProbeResult | SpressoError]:
        return [self._probe(path) for path in paths]

    def _probe(self, path: Path) -> ProbeResult:
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        sound = {"frames": 240, "duration_s": 0.005, "sample_rate": 48_000, "channels": 1}
        return {"audio_hash": f"pcm-sha256:{digest}", "file_sha256": digest, **sound}

    def close(self) -> None:
        pass


def main() -> None:
    catalog = open_catalog(sys.argv[1])
    heard: set[str] = set()
    overflows: list[str] = []
    honest = events.Hints.add

    def add(self: events.Hints, root_id: int, rel_path: str) -> None:
        if rel_path.endswith(".wav"):
            heard.add(rel_path)
        honest(self, root_id, rel_path)

    events.Hints.add = add  # type: ignore[method-assign]

    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            overflows.append(record.getMessage())

    logging.getLogger("watchdog").addHandler(Listener())
    reports: list[dict[str, Any]] = []
    watcher = Watcher(
        catalog,
        lambda session, row: enqueue_probe(session, row, encode=False),
        on_report=lambda report: reports.append({"quick": report.quick, **report.counts}),
        on_problem=lambda root, error: sys.stderr.write(f"{root}: {error}\n"),
        work=lambda: worker.wake(),
    )
    worker = BackgroundWorker(catalog, TaskContext(prober=Glance()), ("io",), batch=64, poll_s=0.1)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: (watcher.stop(), worker.stop()))
    thread = worker.start()

    def tell() -> None:
        while not (watcher._listening() and all(w.next_scan > time.monotonic() for w in watcher._watched.values())):
            time.sleep(0.02)
        print("listening", flush=True)

    threading.Thread(target=tell, daemon=True).start()
    watcher.run()
    thread.join()
    print(json.dumps({"heard": len(heard), "overflows": len(overflows), "reports": reports}), flush=True)


if __name__ == "__main__":
    main()
