"""Folders of small real sounds, a fake codec, and a worker's context around both."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import soundfile

from spresso_assets.catalog.engine import Catalog
from spresso_assets.catalog.models import SourceFile, WatchRoot
from spresso_assets.catalog.profiles import ensure_model, ensure_profiles
from spresso_assets.errors import SpressoError
from spresso_assets.jobs.context import Audio, TaskContext
from spresso_assets.jobs.plan import enqueue_probe
from spresso_assets.jobs.sandbox import ProbeResult

WEIGHTS = "ab" * 32


class FakeCodec:
    """Payloads are hashes of the samples; a sound that starts with -1 cannot be encoded."""

    weights_sha256 = WEIGHTS

    def __init__(self) -> None:
        self.batches: list[int] = []
        self.timings = {"resampling": 0.0}

    def encode_many(self, sounds: Sequence[tuple[Audio, int]], point: str, channel_mode: str = "mono") -> list[bytes]:
        self.batches.append(len(sounds))
        if any(samples[0, 0] == -1.0 for samples, _ in sounds):
            raise SpressoError("This sound cannot be encoded", code="cannot_encode")
        return [hashlib.sha256(point.encode() + samples.tobytes()).digest() for samples, _ in sounds]


class InProcessProber:
    """Probes without children, for tests that are not about them."""

    def probe_many(self, paths: Sequence[Path]) -> list[ProbeResult | SpressoError]:
        from spresso_assets.audio.probe import probe

        results: list[ProbeResult | SpressoError] = []
        for path in paths:
            try:
                results.append(probe(path).as_record())
            except SpressoError as error:
                results.append(error)
        return results

    def close(self) -> None:
        pass


def a_context(codec: FakeCodec | None = None) -> TaskContext:
    made = codec or FakeCodec()
    return TaskContext(load_codec=lambda: made, prober=InProcessProber())


def write_sound(path: Path, seed: int, frames: int = 2400, first: float | None = None) -> Path:
    """A little noise, different for every seed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    samples = np.random.default_rng(seed).uniform(-0.5, 0.5, frames).astype(np.float32)
    if first is not None:
        samples[0] = first
    with path.open("wb") as file:
        kind = path.suffix[1:].upper()
        soundfile.write(file, samples, 48_000, format=kind, subtype="FLOAT" if kind == "WAV" else "PCM_16")
    return path


def register(catalog: Catalog, folder: Path) -> int:
    """A model with its profiles, and a root; returns the root's row id."""
    with catalog.session() as session:
        ensure_profiles(session, ensure_model(session, "fake", WEIGHTS))
        root = WatchRoot(name=folder.name, path=str(folder))
        session.add(root)
        session.flush()
        assert root.id is not None
        return root.id


def enqueue_files(catalog: Catalog, root_id: int, folder: Path) -> int:
    """What a scan does, in small: rows for new and changed files, and their jobs; returns the number of new jobs."""
    from sqlmodel import select

    new = 0
    with catalog.session() as session:
        rows = {row.rel_path: row for row in session.exec(select(SourceFile).where(SourceFile.root_id == root_id))}
        for path in sorted(item for item in folder.rglob("*") if item.is_file()):
            rel_path, status = str(path.relative_to(folder)), path.stat()
            row = rows.get(rel_path) or SourceFile(
                root_id=root_id, rel_path=rel_path, path_key=rel_path.casefold(), size=0, mtime_ns=0
            )
            if row.probed_mtime_ns == status.st_mtime_ns and row.probed_size == status.st_size:
                continue
            row.size, row.mtime_ns, row.state = status.st_size, status.st_mtime_ns, "present"
            session.add(row)
            session.flush()
            new += enqueue_probe(session, row) is not None
    return new
