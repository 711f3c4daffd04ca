"""Many people who audition at the same time: half of what they want they had before, some hang up half way."""

from __future__ import annotations

import http.client
import random
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from spresso_assets.bench.bridge_client import Client
from spresso_assets.bench.processes import resident_bytes

KNOWN_SEEDS = 2  # of each sound, wanted again and again
NEW = 0.5  # share of auditions with a seed that nobody has asked for
LEAVING = 0.1  # share of auditions that are given up after their first samples
MOST_WAIT_S = 2.0  # nobody waits longer than this after a 429
LOOK_S = 0.1


@dataclass
class Load:
    """What came of it; ``broken`` counts connections that ended before their answer did."""

    statuses: Counter[int] = field(default_factory=Counter)
    broken: int = 0
    left: int = 0
    peak_bytes: int = 0
    seconds: float = 0.0
    first_s: list[float] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    @property
    def rate(self) -> float:
        """Sounds that were heard, per second."""
        return round(self.statuses[200] / self.seconds, 1) if self.seconds else 0.0


def audition_for(port: int, token: str, pid: int, uids: Sequence[str], clients: int, seconds: float) -> Load:
    """So many clients, each asking as soon as it has heard.

    Args:
        pid: of the server, whose memory is watched.
    """
    load, lock, end = Load(), threading.Lock(), time.monotonic() + seconds
    began = time.monotonic()
    threads = [
        threading.Thread(target=_listen, args=(Client(port, token), uids, n, end, load, lock)) for n in range(clients)
    ]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        load.peak_bytes = max(load.peak_bytes, resident_bytes(pid))
        time.sleep(LOOK_S)
    load.seconds = time.monotonic() - began
    return load


def _listen(client: Client, uids: Sequence[str], number: int, end: float, load: Load, lock: threading.Lock) -> None:
    rng = random.Random(number)
    while time.monotonic() < end:
        seed = rng.randrange(1 << 31) if rng.random() < NEW else rng.randrange(KNOWN_SEEDS)
        leaving = rng.random() < LEAVING
        form: dict[str, object] = {"q": "preview", "seed": seed, "group": f"client {number}"}
        try:
            heard = client.audition(rng.choice(uids), form, leave_after=1 if leaving else None)
        except (OSError, http.client.HTTPException) as error:
            client.close()
            with lock:
                load.broken += 1
                load.errors.append(repr(error))
            continue
        with lock:
            load.statuses[heard.status] += 1
            load.left += leaving and heard.status == 200
            if heard.first_s:
                load.first_s.append(heard.first_s)
        if heard.status == 429:
            time.sleep(min(heard.retry_after_s, MOST_WAIT_S))
    client.close()
