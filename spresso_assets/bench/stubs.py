"""A codec and a prober that take next to no time: what is left is the handling of jobs."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spresso_assets.catalog.engine import Catalog
from spresso_assets.catalog.profiles import ensure_model, ensure_profiles
from spresso_assets.errors import SpressoError
from spresso_assets.jobs.context import TaskContext

WEIGHTS = hashlib.sha256(b"stub").hexdigest()
PAYLOAD_BYTES = 600  # two seconds at 2.5 kbps
RATE = 48_000


class StubCodec:
    """Answers at once, with bytes of the usual number that belong to nobody else."""

    weights_sha256 = WEIGHTS

    def encode_many(
        self, sounds: Sequence[tuple[NDArray[np.float32], int]], point: str, channel_mode: str = "mono"
    ) -> list[bytes]:
        """Payloads that are different for different sounds."""
        return [hashlib.shake_256(samples.tobytes()).digest(PAYLOAD_BYTES) for samples, _ in sounds]


class StubProber:
    """Takes a path for the sound that lies there."""

    def probe_many(self, paths: Sequence[Path]) -> list[dict[str, Any] | SpressoError]:
        return [_probe(path) for path in paths]

    def close(self) -> None:
        """Nothing to stop."""


def _probe(path: Path) -> dict[str, Any]:
    digest = hashlib.sha256(str(path).encode()).hexdigest()
    frames = max(1, (path.stat().st_size - 44) // 2)
    stated = {"description": path.stem, "keywords": "bench, synthetic", "library": path.parent.name}
    return {
        "audio_hash": f"pcm-sha256:{digest}",
        "file_sha256": digest[::-1],
        "container": "WAV",
        "frames": frames,
        "duration_s": frames / RATE,
        "sample_rate": RATE,
        "channels": 1,
        "bit_depth": 16,
        "flags": [],
        "loudness_db": -20.0,
        "peaks": bytes(1024),
        "fields": [{"field": name, "value": value, "source": "ixml"} for name, value in stated.items()],
        "raw_chunks": [],
    }


def stub_context() -> TaskContext:
    """A worker's context around both."""
    codec = StubCodec()
    return TaskContext(load_codec=lambda: codec, prober=StubProber())


def register_stub(catalog: Catalog) -> None:
    """Let a catalog know the stub as its model."""
    with catalog.session() as session:
        ensure_profiles(session, ensure_model(session, "stub", WEIGHTS))
