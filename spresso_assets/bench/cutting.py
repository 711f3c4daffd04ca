"""How many stored renditions a second are cut to fewer codebooks: planned, cut, checked and written by one process."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from spresso_assets.bench.figures import Figure, Tell
from spresso_assets.errors import SpressoError

if TYPE_CHECKING:
    from sqlalchemy import Row

    from spresso_assets.catalog.engine import Catalog

AT_LEAST_PER_S = 2000.0
FROM, TO = "0.3kbps", "0.096kbps"
CHUNK = 10_000
DIFFERENT = 64  # messages of each length; sounds of one length share them


def fill_with_streams(catalog: Catalog, bundle: Path, sounds: int, profile: str = FROM, seed: int = 0) -> None:
    """Synthetic sounds of 1 to 5 s, each with a stream under a profile of this bundle as its encoder writes them.

    Codes are drawn as often as the bundle's entropy tables say that they come, so streams have the usual sizes.
    """
    from sqlalchemy import text

    from spresso_assets.bench.synthetic import fill
    from spresso_assets.catalog.profiles import ensure_model, ensure_profiles, get_profile
    from spresso_assets.catalog.renditions import NewRendition, seed_of_hash, store_renditions
    from spresso_assets.codec.bundle import read_entropy

    weights, model = read_entropy(bundle)
    with catalog.session() as session:
        wanted = ensure_profiles(session, ensure_model(session, bundle.name, weights))[profile]
        params, profile_id = wanted.params, wanted.id
    assert profile_id is not None
    fill(catalog, sounds, seed=seed, profiles=())
    streams = _Streams(weights[:6], params, model, seed)
    with catalog.session() as session:
        session.connection().execute(
            text("UPDATE asset SET frames = sample_rate + (id * 7919) % (4 * sample_rate)")
        )  # as good as random
        session.connection().execute(text("UPDATE asset SET duration = frames * 1.0 / sample_rate"))
        assert get_profile(session, profile).id == profile_id
    page = text(
        "SELECT id, frames, sample_rate, channels, duration, audio_hash FROM asset WHERE id > :after "
        f"ORDER BY id LIMIT {CHUNK}"
    )
    after = 0
    while True:
        with catalog.session() as session:
            rows = session.connection().execute(page, {"after": after}).all()
            if not rows:
                return
            new = [
                NewRendition(row.id, payload, row.duration, 1, seed_of_hash(row.audio_hash), "source")
                for row, payload in zip(rows, streams.of(rows), strict=True)
            ]
            store_renditions(session, profile_id, new)
            after = rows[-1].id


class _Streams:
    """Streams of any length, out of a few messages for each number of frames."""

    def __init__(self, model_id: str, params: dict[str, object], model: object, seed: int) -> None:
        self.model_id, self.params, self.model = model_id, params, model
        self.random = np.random.default_rng(seed)
        self.messages: dict[int, list[bytes]] = {}

    def of(self, rows: Sequence[Row[Any]]) -> Iterator[bytes]:
        """A stream for each sound."""
        from spresso_assets.codec.bitstream import SprHeader, checked
        from spresso_assets.codec.bitstream_header import write_header

        for row in rows:
            header = SprHeader(
                self.model_id, self.params["pool"], self.params["codebooks"], self.params["bits"],  # type: ignore[arg-type]
                row.sample_rate, row.frames, row.channels, coded=True,
            )  # fmt: skip
            some = self.messages.get(header.frames)
            if some is None:
                some = self.messages[header.frames] = self._make(header.frames)
            yield checked(write_header(header) + some[row.id % len(some)])

    def _make(self, frames: int) -> list[bytes]:
        from spresso_assets.codec.entropy import encode_codes

        tables = self.model[self.params["pool"]]  # type: ignore[index]
        share_MK = tables.frequency_MK / tables.frequency_MK.sum(1, keepdims=True)
        books: int = self.params["codebooks"]  # type: ignore[assignment]
        plain = frames * books * self.params["bits"] / 8  # type: ignore[operator]
        made: list[bytes] = []
        while len(made) < DIFFERENT:
            codes = [self.random.choice(tables.entries, frames, p=share_MK[m]) for m in range(books)]
            message = encode_codes(np.stack(codes, 1)[:, None], tables)
            if len(message) < plain:  # others would not have been coded
                made.append(message)
        return made


def measure_cutting(folder: Path, bundle: Path, renditions: int, tell: Tell) -> Figure:
    """Renditions per second of ``spresso reencode``, from its start to its end, on SQLite.

    Raises:
        SpressoError: ``bench_failed`` if the command failed or made another number of renditions.
    """
    from spresso_assets.catalog.engine import open_catalog

    location = folder / "catalog.db"
    tell(f"making {renditions} sounds with streams of {FROM}")
    catalog = open_catalog(location, create=True)
    fill_with_streams(catalog, bundle, renditions)
    catalog.close()
    tell(f"cutting {renditions} renditions to {TO}")
    environment = os.environ | {"SPRESSO_CATALOG": str(location), "SPRESSO_BUNDLE": str(bundle)}
    command = [sys.executable, "-m", "spresso_assets.cli.main", "reencode", "--profile", TO, "-y", "--quiet"]
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    ended = subprocess.run(command, env=environment, capture_output=True, text=True)
    elapsed_s, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    catalog = open_catalog(location)
    with catalog.read() as session:
        counted = "SELECT count(*), sum(r.payload_bytes), sum(r.verified_at > 0) FROM rendition r JOIN encode_profile p"
        done, size, verified = (
            session.connection()
            .exec_driver_sql(f"{counted} ON p.id = r.profile_id WHERE p.name = '{TO}' AND r.status = 'ready'")
            .one()
        )
    catalog.close()
    if ended.returncode != 0 or (done, verified) != (renditions, renditions):
        raise SpressoError(
            f"spresso reencode ended with {ended.returncode} after {done} of {renditions} renditions",
            code="bench_failed",
            hint=ended.stderr.strip().splitlines()[-1] if ended.stderr.strip() else "It said nothing",
        )
    return Figure(
        f"renditions cut from {FROM} to {TO}",
        done / elapsed_s,
        "1/s",
        at_least=AT_LEAST_PER_S,
        facts={
            "renditions": done,
            "seconds": round(elapsed_s, 1),
            "cpu_seconds": round(cpu_s, 1),
            "per_cpu_second": round(done / cpu_s),
            "bytes_each": round(size / done, 1),
            "catalog_bytes": location.stat().st_size,
        },
    )
