"""Decodes for others: one job and one result for whoever asks for the same, and clear ends for those that fail."""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator

import numpy as np
import pytest
import soundfile
from sqlmodel import Session, select

from spresso_assets.catalog.engine import Catalog
from spresso_assets.catalog.models import Asset, Delivery, Job
from spresso_assets.catalog.profiles import ensure_model, ensure_profiles, get_profile
from spresso_assets.catalog.renditions import store_rendition
from spresso_assets.codec.bitstream import SprHeader, pack
from spresso_assets.errors import SpressoError
from spresso_assets.jobs import deliver
from spresso_assets.jobs.context import Audio, TaskContext
from spresso_assets.jobs.control import JobFilter, cancel
from spresso_assets.jobs.deliver import Waiting, delivered, request_decode, wait_for_delivery
from spresso_assets.jobs.loop import WorkLoop
from tests.jobs.sounds import WEIGHTS, FakeCodec, InProcessProber

RATE = 16_000


class Decoder(FakeCodec):
    """Says its seed: every sample is a function of it."""

    name = "fake"

    def __init__(self, weights: str = WEIGHTS) -> None:
        super().__init__()
        self.weights_sha256 = weights
        self.decodes = 0

    def decode_stream(
        self, payload: bytes, seed: int = 0, steps: int | None = None, quality: str = "default"
    ) -> Iterator[Audio]:
        self.decodes += 1
        rng = np.random.default_rng(seed)
        for _ in range(4):
            yield rng.uniform(-0.5, 0.5, (1, RATE // 4)).astype(np.float32)


@pytest.fixture
def sound(catalog: Catalog) -> str:
    """A one-second sound that is encoded; its uid."""
    header = SprHeader(
        model_id=WEIGHTS[:6], pool=4, codebooks=None, bits=None, dim=64, sample_rate=RATE, samples=RATE, channels=1,
        channel_mode="mono", gain_db=0.0, silent=True,
    )  # fmt: skip
    with catalog.session() as session:
        ensure_profiles(session, ensure_model(session, "fake", WEIGHTS))
        asset = Asset(
            uid="12" * 16,
            audio_hash="pcm-sha256:" + "12" * 32,
            frames=RATE,
            duration=1.0,
            sample_rate=RATE,
            channels=1,
            fx_name="Door",
        )
        session.add(asset)
        session.flush()
        store_rendition(session, asset, get_profile(session, "25hz"), pack(header))
        _index(session, asset)
        return asset.uid


def _index(session: Session, asset: Asset) -> None:
    from spresso_assets.catalog.asset_text import refresh_text

    assert asset.id is not None
    refresh_text(session, asset.id)


def worker(catalog: Catalog, codec: Decoder) -> WorkLoop:
    return WorkLoop(catalog, TaskContext(lambda: codec, InProcessProber()), ("decode",))


def test_the_same_wish_is_one_job_and_one_result(catalog: Catalog, sound: str) -> None:
    codec = Decoder()
    first = request_decode(catalog, sound, seed=7)
    assert request_decode(catalog, sound[:12], seed=7) == first, "on its way already"
    other = request_decode(catalog, sound, seed=7, variation=1)
    assert other.key != first.key and other.seed == 8
    work = worker(catalog, codec)
    assert [len(work.next_batch()) for _ in range(3)] == [1, 1, 0]
    found = wait_for_delivery(catalog, first)
    samples, rate = soundfile.read(io.BytesIO(found.content), dtype="float32")
    expected = np.concatenate(list(Decoder().decode_stream(b"", seed=7)), axis=1)[0]
    assert (rate, found.media_type, found.frames) == (RATE, "audio/flac", RATE)
    assert np.abs(samples - expected).max() < 2**-22, "24 bits of it"
    again = request_decode(catalog, sound, seed=7)
    assert again.job_uid == "" and work.next_batch() == [] and codec.decodes == 2


def test_formats_are_what_they_say(catalog: Catalog, sound: str) -> None:
    work = worker(catalog, Decoder())
    for name, subtype in (("flac16", "PCM_16"), ("flac24", "PCM_24"), ("wav32", "FLOAT")):
        request = request_decode(catalog, sound, format=name)
        assert work.next_batch()[0].status == "succeeded"
        assert soundfile.info(io.BytesIO(wait_for_delivery(catalog, request).content)).subtype == subtype
    with pytest.raises(SpressoError, match="bad_format"):
        request_decode(catalog, sound, format="mp3")


def test_progress_is_seen_while_it_decodes(catalog: Catalog, sound: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("spresso_assets.jobs.decode_task.TELL_EVERY_S", 0.0)
    seen: list[float] = []

    class Watched(Decoder):
        def decode_stream(self, payload, seed=0, steps=None, quality="default"):  # type: ignore[no-untyped-def]
            for block in super().decode_stream(payload, seed, steps, quality):
                with catalog.read() as session:
                    seen.append(session.exec(select(Job.progress)).one())
                yield block

    request_decode(catalog, sound)
    worker(catalog, Watched()).next_batch()
    assert seen == [0.0, 0.25, 0.5, 0.75]


def test_what_goes_wrong_reaches_whoever_waits(catalog: Catalog, sound: str) -> None:
    request = request_decode(catalog, sound)
    (outcome,) = worker(catalog, Decoder(weights="cd" * 32)).next_batch()
    assert outcome.status == "failed", "a sound of other weights pauses no queue"
    with pytest.raises(SpressoError, match="wrong_model"):
        wait_for_delivery(catalog, request)


def test_a_cancelled_decode_ends_the_waiting(catalog: Catalog, sound: str) -> None:
    request = request_decode(catalog, sound)
    with catalog.session() as session:
        cancel(session, JobFilter(kind="decode"))
    with pytest.raises(SpressoError, match="job_cancelled"):
        wait_for_delivery(catalog, request)


def test_a_decode_is_cancelled_while_it_runs(catalog: Catalog, sound: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("spresso_assets.jobs.decode_task.TELL_EVERY_S", 0.0)
    blocks = []

    class Cancelling(Decoder):
        def decode_stream(self, payload, seed=0, steps=None, quality="default"):  # type: ignore[no-untyped-def]
            for block in super().decode_stream(payload, seed, steps, quality):
                blocks.append(block)
                yield block
                with catalog.session() as session:
                    cancel(session, JobFilter(kind="decode"))

    request_decode(catalog, sound)
    (outcome,) = worker(catalog, Cancelling()).next_batch()
    assert (outcome.status, len(blocks)) == ("cancelled", 2)


def test_whoever_waits_learns_that_nobody_serves(catalog: Catalog, sound: str) -> None:
    request = request_decode(catalog, sound)
    said: list[Waiting] = []
    with pytest.raises(SpressoError, match="decode_timeout"):
        wait_for_delivery(catalog, request, patience_s=0.2, on_waiting=said.append)
    assert said[0].status == "queued" and "No worker serves" in said[0].hindrance


def test_somebody_waits_while_a_worker_decodes(catalog: Catalog, sound: str) -> None:
    request = request_decode(catalog, sound)
    work = threading.Thread(target=worker(catalog, Decoder()).next_batch)
    work.start()
    assert wait_for_delivery(catalog, request, patience_s=30).key == request.key
    work.join()


def test_too_long_sounds_are_not_passed_through_the_catalog(
    catalog: Catalog, sound: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deliver, "LARGEST_BYTES", 3 * RATE - 1)
    with pytest.raises(SpressoError, match="delivery_too_long"):
        request_decode(catalog, sound)
    assert request_decode(catalog, sound, format="flac16").job_uid


def test_an_expired_delivery_is_made_anew(catalog: Catalog, sound: str) -> None:
    work = worker(catalog, Decoder())
    request = request_decode(catalog, sound)
    work.next_batch()
    with catalog.session() as session:
        session.get_one(Delivery, request.key).expires_at = 1
    assert delivered(catalog, request.key) is None
    assert request_decode(catalog, sound).job_uid not in ("", request.job_uid)
    work.next_batch()
    assert delivered(catalog, request.key) is not None
