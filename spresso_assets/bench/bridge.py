"""How long people wait for the bridge: a real server with the real codec, asked over a real socket.

The catalog holds many synthetic sounds, so that looking things up costs what it does in an archive, and some procedural
ones that are decoded. Latencies are those of a client on the same machine, on the wall clock: connection kept open,
answer read by Python. First bytes of sounds are the first bytes of samples, not of the header, which comes at once.
"""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from spresso_assets.bench.bridge_client import Client
from spresso_assets.bench.bridge_load import Load, audition_for
from spresso_assets.bench.figures import Figure, Tell
from spresso_assets.bench.processes import process, resident_bytes, wait_for
from spresso_assets.errors import SpressoError
from spresso_assets.jobs.cores import usable_cores

LOOKUP_MS, CACHED_MS, PREVIEW_P50_MS, PREVIEW_P95_MS, DEFAULT_MS = 50.0, 10.0, 300.0, 600.0, 1500.0
SHORT_S, LONG_S = 3.0, 5.0
RAM_MB, DISK_GB = 64, 0.2  # small, so that the bounds are reached
ROOM_MB = 96.0  # above the model and the cache: sounds on their way to 32 clients, and what Python needs
FORMS: tuple[dict[str, object], ...] = (
    {}, {"q": "preview", "rate": 44_100, "bits": "16"}, {"bits": "24", "ch": "1", "dur": 0.0101},
    {"bits": "32f", "ch": "2", "rate": 96_000}, {"start": 0.05, "gain_db": -6}, {"variation": 1, "rate": 8000},
)  # fmt: skip
WARM_S = 120.0


@dataclass(frozen=True)
class Sounds:
    """Ids of what is asked for: ``many`` that are only looked up, short and long ones that are decoded."""

    many: Sequence[str]
    short: Sequence[str]
    long: Sequence[str]


@dataclass(frozen=True)
class Extent:
    """How much is measured: sounds in the catalog, sounds to decode, requests of each kind, clients, seconds."""

    assets: int = 10_000
    sounds: int = 24
    tries: int = 200
    clients: int = 32
    seconds: float = 60.0


def measure_bridge(folder: Path, bundle: Path, extent: Extent, tell: Tell) -> list[Figure]:
    """Everything that clients of a bridge wait for.

    Args:
        folder: for the catalog and the caches; filled, not emptied.
        bundle: the model that encodes and decodes.
    """
    sounds = _make_catalog(folder, bundle, extent, tell)
    with _served(folder, bundle) as (client, pid):
        tell("waiting for the model")
        client.sound(sounds.short[0], q="preview")
        client.sound(sounds.short[0])
        figures: list[Figure] = []

        def found(some: Sequence[Figure]) -> None:
            figures.extend(some)
            for figure in some:  # it takes minutes: what is known is said
                tell(f"{figure.name}: {figure.value:.4g} {figure.unit}".rstrip())

        found(_lookups(client, pid, sounds, extent, tell))
        found(_sounds(client, pid, sounds, extent, tell))
        found([_lengths(client, sounds, tell)])
        tell(f"{extent.clients} clients for {extent.seconds:.0f} s")
        before = resident_bytes(pid)
        load = audition_for(client.port, client.token, pid, sounds.short, extent.clients, extent.seconds)
        found(_under_load(load, before, extent))
    return figures


def _make_catalog(folder: Path, bundle: Path, extent: Extent, tell: Tell) -> Sounds:
    """Encode procedural sounds through the commands that people use, then add synthetic ones around them."""
    from sqlalchemy import text

    from spresso_assets.bench.synthetic import fill
    from spresso_assets.catalog.engine import open_catalog

    tell(f"making and encoding {extent.sounds} sounds")
    lengths = _write_sounds(folder / "sfx", extent.sounds)
    location = folder / "catalog.db"
    for args in (["init"], ["ingest", "--settle", "0", str(folder / "sfx")]):
        command = [sys.executable, "-m", "spresso_assets.cli.main", "--quiet", "--catalog", str(location)]
        done = subprocess.run([*command, "--bundle", str(bundle), *args], capture_output=True, text=True)
        if done.returncode:
            raise SpressoError(f"spresso {args[0]} failed: {done.stderr.strip()}", code="bench_failed")
    catalog = open_catalog(location)
    with catalog.read() as session:
        rows = session.connection().execute(text("SELECT uid, duration FROM asset ORDER BY id")).all()
        payload = session.connection().execute(text("SELECT payload FROM rendition ORDER BY id LIMIT 1")).scalar_one()
    tell(f"adding {extent.assets} synthetic sounds")
    fill(catalog, extent.assets, payload=lambda n: payload)
    with catalog.read() as session:
        many = session.connection().execute(text("SELECT uid FROM asset ORDER BY id DESC LIMIT 5000")).scalars().all()
    catalog.close()
    assert len(rows) == len(lengths)
    return Sounds(
        many,
        [uid for uid, seconds in rows if seconds <= SHORT_S],
        [uid for uid, seconds in rows if seconds > SHORT_S],
    )


def _write_sounds(folder: Path, number: int) -> list[float]:
    """Two thirds up to three seconds long, evenly spread, the others five seconds."""
    from spresso_assets.audio.procedural import CATALOGUE, synthesise
    from spresso_assets.audio.write import write_wav

    folder.mkdir(parents=True)
    names = sorted(CATALOGUE)
    short = max(2, number * 2 // 3)
    lengths = [*np.linspace(0.3, SHORT_S, short), *[LONG_S] * max(2, number - short)]
    for n, seconds in enumerate(lengths):
        name = names[n % len(names)]
        write_wav(folder / f"{name} {n:03d}.wav", synthesise(name, n, float(seconds)), 48_000)
    return [float(seconds) for seconds in lengths]


@contextmanager
def _served(folder: Path, bundle: Path) -> Iterator[tuple[Client, int]]:
    """A server in a process of its own, as `spresso serve` starts it."""
    found = folder / "state" / "bridge.json"
    environment = {
        "SPRESSO_CATALOG": str(folder / "catalog.db"),
        "SPRESSO_BUNDLE": str(bundle),
        "SPRESSO_BRIDGE": str(found),
        "SPRESSO_BROKER_URL": "",
        "XDG_STATE_HOME": str(folder / "state"),
        "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", str(usable_cores())),
    }
    bounds = ("--cache", str(folder / "cache"), "--ram-mb", str(RAM_MB), "--cache-gb", str(DISK_GB))
    log = folder / "serve.log"
    with process(
        "spresso_assets.cli.main", "serve", "--port", "0", *bounds, environment=environment, log=log
    ) as server:
        wait_for(lambda: found.exists() or server.poll() is not None, WARM_S, "the bridge")
        if server.poll() is not None:
            raise SpressoError(f"spresso serve failed: {log.read_text(encoding='utf-8')[-500:]}", code="bench_failed")
        yield Client.of(found), server.pid
    shutil.rmtree(folder / "cache", ignore_errors=True)


def _lookups(client: Client, pid: int, sounds: Sounds, extent: Extent, tell: Tell) -> list[Figure]:
    from spresso_assets.bench.catalog_scale import queries

    tell("HEAD, peaks, search")
    rng = random.Random(0)
    queries_ = [query for _, query, sort in queries() if sort is None]
    asked: dict[str, Callable[[], object]] = {
        "HEAD of a sound": lambda: client.head(rng.choice(sounds.many)),
        "waveform": lambda: client.get_json(f"/v1/sounds/{rng.choice(sounds.many)}/peaks?n=800"),
        "search": lambda: client.search(rng.choice(queries_)),
    }
    figures = []
    for name, ask in asked.items():
        ask()
        began = _cpu_s(pid)
        spent = [_timed(ask) for _ in range(extent.tries)]
        cpu = {"server_cpu_ms_each": round(1000 * (_cpu_s(pid) - began) / extent.tries, 1)}
        figures.append(_latency(f"{name}, {extent.assets} sounds", spent, 95, LOOKUP_MS, **cpu))
    return figures


def _sounds(client: Client, pid: int, sounds: Sounds, extent: Extent, tell: Tell) -> list[Figure]:
    rng = random.Random(1)
    tell("sounds that are cached")
    for uid in sounds.short:
        client.sound(uid, q="preview")
    began = _cpu_s(pid)
    cached = [client.sound(rng.choice(sounds.short), q="preview").first_s for _ in range(extent.tries)]
    cpu = {"server_cpu_ms_each": round(1000 * (_cpu_s(pid) - began) / extent.tries, 1)}
    figures = [_latency("cached sound, first samples", cached, 95, CACHED_MS, **cpu)]
    tell("previews that are not")
    number = max(10, extent.tries // 2)
    began = _cpu_s(pid)
    preview = [client.sound(sounds.short[n % len(sounds.short)], q="preview", seed=n).first_s for n in range(number)]
    cpu = {"server_cpu_ms_each": round(1000 * (_cpu_s(pid) - began) / number)}
    name = f"new preview of up to {SHORT_S:g} s, first samples"
    figures.append(_latency(f"{name}, median", preview, 50, PREVIEW_P50_MS, **cpu))
    figures.append(_latency(name, preview, 95, PREVIEW_P95_MS))
    tell("whole sounds in default quality")
    number = max(10, extent.tries // 4)
    began = _cpu_s(pid)
    whole = [client.sound(sounds.long[n % len(sounds.long)], seed=n).whole_s for n in range(number)]
    cpu = {"server_cpu_ms_each": round(1000 * (_cpu_s(pid) - began) / number)}
    figures.append(_latency(f"new sound of {LONG_S:g} s, default quality, complete", whole, 95, DEFAULT_MS, **cpu))
    return figures


def _lengths(client: Client, sounds: Sounds, tell: Tell) -> Figure:
    """Bodies whose length is not the one that HEAD promised."""
    tell("lengths")
    wrong, checked = [], 0
    for uid in (*sounds.short, *sounds.long):
        for form in FORMS:
            checked += 1
            promised, got = client.head(uid, **form), client.sound(uid, **form).size
            if promised != got:
                wrong.append(f"{uid[:8]} {form}: {got} instead of {promised}")
    return Figure(
        "bodies of another length than promised", len(wrong), at_most=0, facts={"checked": checked, "wrong": wrong}
    )


def _under_load(load: Load, before: int, extent: Extent) -> list[Figure]:
    limit = before / 1e6 + RAM_MB + ROOM_MB
    statuses = {str(status): number for status, number in sorted(load.statuses.items())}
    facts = {"statuses": statuses, "broken": load.broken, "left_early": load.left, "first_errors": load.errors[:3]}
    wrong = load.broken + sum(number for status, number in load.statuses.items() if status not in (200, 429))
    name = f"{extent.clients} clients for {extent.seconds:.0f} s"
    figures = [
        Figure(f"{name}: errors other than 429", wrong, at_most=0, facts=facts),
        Figure(
            f"{name}: most memory",
            load.peak_bytes / 1e6,
            "MB",
            at_most=round(limit),
            facts={"before_mb": round(before / 1e6), "cache_mb": RAM_MB, "room_mb": ROOM_MB},
        ),
    ]
    if load.first_s:
        figures.append(_latency(f"{name}: first samples", load.first_s, 95, None, sounds_a_second=load.rate))
    return figures


def _timed(what: Callable[[], object]) -> float:
    began = time.perf_counter()
    what()
    return time.perf_counter() - began


def _latency(name: str, spent_s: Sequence[float], percentile: int, at_most: float | None, **facts: object) -> Figure:
    """A percentile by nearest rank, in milliseconds, with the others beside it."""
    ordered = sorted(1000 * one for one in spent_s)
    at: Callable[[int], float] = lambda p: ordered[max(0, -(-p * len(ordered) // 100) - 1)]  # noqa: E731
    beside = {f"p{p}": round(at(p), 1) for p in (50, 95, 99)}
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    return Figure(
        name, at(percentile), "ms", at_most=at_most,
        facts={"percentile": percentile, **beside, "n": len(ordered), "machine_load": round(load, 1), **facts},
    )  # fmt: skip


def _cpu_s(pid: int) -> float:
    """Processor time of a process so far, all threads (Linux)."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
