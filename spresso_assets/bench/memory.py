"""Whether a worker's memory stays where it is over thousands of sounds."""

from __future__ import annotations

import statistics
import time
from pathlib import Path

from spresso_assets.bench.archive import make_archive
from spresso_assets.bench.figures import Figure, Tell
from spresso_assets.bench.processes import jobs_left, process, resident_bytes

AT_MOST_PERCENT = 5.0
LOOK_S = 0.5
MEBIBYTE = 1 << 20


def measure_memory(folder: Path, bundle: Path, sounds: int, tell: Tell) -> Figure:
    """Growth in percent from the third tenth of the work, when a worker has met all lengths, to its last tenth."""
    tell(f"writing {sounds} sounds")
    archive = make_archive(folder, bundle, sounds, longest_s=1.0, probed=False)
    tell(f"reading and encoding {sounds} sounds ({archive.seconds:.0f} s) in one worker")
    args = ("worker", "--queues", "encode,io", "--threads", "1")
    environment = {"SPRESSO_CATALOG": archive.location, "SPRESSO_BUNDLE": str(bundle), "SPRESSO_BROKER_URL": ""}
    samples: list[tuple[int, int]] = []  # jobs left, bytes
    with process("spresso_assets.cli.main", *args, environment=environment, log=folder / "worker.log") as worker:
        while left := jobs_left(archive.catalog):
            samples.append((left, resident_bytes(worker.pid)))
            time.sleep(LOOK_S)
    archive.catalog.close()
    count = len(samples)
    tenths = [[size for _, size in samples[count * n // 10 : count * (n + 1) // 10]] for n in range(10)]
    warm, last = statistics.median(tenths[2]), statistics.median(tenths[9])
    return Figure(
        "growth of a worker's memory",
        100 * (last / warm - 1),
        "%",
        at_most=AT_MOST_PERCENT,
        facts={
            "sounds": sounds,
            "mebibytes": [round(statistics.median(tenth) / MEBIBYTE) for tenth in tenths],
            "largest_mebibytes": round(max(size for _, size in samples) / MEBIBYTE),
        },
    )
