"""Encoding within memory: batches are halved, long sounds are streamed, a sound that is too much waits."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
from sqlmodel import select

from spresso_assets.catalog.engine import Catalog
from spresso_assets.catalog.models import Job, Rendition
from spresso_assets.jobs import encode_task
from spresso_assets.jobs.context import Audio, TaskContext
from spresso_assets.jobs.runner import EmbeddedRunner
from tests.jobs.sounds import FakeCodec, InProcessProber, enqueue_files, register, write_sound


class OutOfMemoryError(RuntimeError):
    """As torch calls its own."""


class SmallDevice(FakeCodec):
    """Has room for so many seconds at 48 kHz at once."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self.seconds = seconds

    def encode_many(self, sounds: Sequence[tuple[Audio, int]], point: str, channel_mode: str = "mono") -> list[bytes]:
        if sum(samples.shape[1] for samples, _ in sounds) > self.seconds * 48_000:
            raise OutOfMemoryError("CUDA out of memory")
        return super().encode_many(sounds, point, channel_mode)


class Streaming(FakeCodec):
    """Reads long sounds block by block, twice, and remembers the longest block."""

    longest = 0

    def encode_stream(
        self, open_blocks: Callable[[], Iterable[Audio]], sample_rate: int, point: str, channel_mode: str = "mono"
    ) -> bytes:
        digest = hashlib.sha256(point.encode())
        for _ in range(2):
            for block in open_blocks():
                self.longest = max(self.longest, block.shape[1])
                digest.update(np.ascontiguousarray(block).tobytes())
        return digest.digest()


def encode(catalog: Catalog, folder: Path, codec: FakeCodec) -> tuple[TaskContext, dict[str, dict[str, int]]]:
    enqueue_files(catalog, register(catalog, folder), folder)
    context = TaskContext(load_codec=lambda: codec, prober=InProcessProber())
    return context, EmbeddedRunner(catalog, context).run().outcomes


def encode_jobs(catalog: Catalog) -> list[Job]:
    with catalog.read() as session:
        return list(session.exec(select(Job).where(Job.kind == "encode")))


def test_a_batch_that_does_not_fit_is_halved_and_costs_no_attempt(catalog: Catalog, tmp_path: Path) -> None:
    for number in range(8):
        write_sound(tmp_path / "sfx" / f"{number}.wav", seed=number, frames=4800)
    codec = SmallDevice(seconds=0.25)
    context, outcomes = encode(catalog, tmp_path / "sfx", codec)
    assert outcomes["encode"] == {"encoded": 8}
    assert codec.batches == [2, 2, 2, 2]
    assert {(job.status, job.attempt, job.error_code) for job in encode_jobs(catalog)} == {("succeeded", 1, None)}
    assert context.batch_s <= 0.25, "the next batch begins with what fitted"


def test_a_sound_that_does_not_fit_alone_is_tried_again_later(catalog: Catalog, tmp_path: Path) -> None:
    write_sound(tmp_path / "sfx" / "large.wav", seed=1, frames=48_000)
    write_sound(tmp_path / "sfx" / "small.wav", seed=2, frames=480)
    _, outcomes = encode(catalog, tmp_path / "sfx", SmallDevice(seconds=0.5))
    assert outcomes["encode"] == {"encoded": 1, "retry": 1}
    (waiting,) = [job for job in encode_jobs(catalog) if job.status == "queued"]
    assert (waiting.error_code, waiting.error_kind, waiting.attempt) == ("device_out_of_memory", "retryable", 1)
    assert waiting.not_before > 0


def test_long_sounds_are_read_as_streams(catalog: Catalog, tmp_path: Path, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setattr(encode_task, "STREAM_FROM_S", 2.0)
    write_sound(tmp_path / "sfx" / "long.wav", seed=1, frames=48_000 * 12)
    write_sound(tmp_path / "sfx" / "short.wav", seed=2)
    codec = Streaming()
    _, outcomes = encode(catalog, tmp_path / "sfx", codec)
    assert outcomes["encode"] == {"encoded": 2}
    assert codec.batches == [1], "the short one; the long one went by itself"
    assert 0 < codec.longest < 48_000 * 12, "never the whole sound at once"


def test_time_is_shared_by_length(catalog: Catalog, tmp_path: Path) -> None:
    write_sound(tmp_path / "sfx" / "a.wav", seed=1, frames=4800)
    write_sound(tmp_path / "sfx" / "b.wav", seed=2, frames=14_400)
    encode(catalog, tmp_path / "sfx", FakeCodec())
    short, long = sorted(job.run_s or 0.0 for job in encode_jobs(catalog))
    assert short > 0 and abs(long / short - 3) < 0.01
    with catalog.read() as session:
        assert len(session.exec(select(Rendition)).all()) == 2
