"""Encode: read sounds, run the codec over all of them, keep each payload in the transaction that ends its job."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

from sqlmodel import Session

from spresso_assets.catalog.engine import Catalog
from spresso_assets.catalog.models import Asset, CodecModel, EncodeProfile
from spresso_assets.catalog.profiles import operating_point
from spresso_assets.catalog.renditions import has_rendition, store_rendition
from spresso_assets.errors import ExitCode, FaultKind, SpressoError
from spresso_assets.jobs import queue
from spresso_assets.jobs.closing import close_each
from spresso_assets.jobs.context import Audio, TaskContext
from spresso_assets.jobs.faults import about_the_model, as_spresso_error
from spresso_assets.jobs.keeper import LeaseKeeper
from spresso_assets.jobs.outcome import Outcome
from spresso_assets.jobs.queue import Claim
from spresso_assets.jobs.source import Source, source_of_asset

ALREADY = "already"


@dataclass
class _Work:
    """One job on its way: what it needs, then what came of it."""

    asset: Asset
    source: Source | None = None
    audio: tuple[Audio, int] | None = None
    payload: bytes | None = None
    fault: BaseException | None = None
    done_before: bool = False

    @property
    def alive(self) -> bool:
        return self.fault is None and not self.done_before


def run_encodes(catalog: Catalog, claims: Sequence[Claim], context: TaskContext) -> list[Outcome]:
    """Encode the sounds of some claimed jobs, all of one profile; one outcome per claim, in order."""
    timings = context.timings
    with LeaseKeeper(catalog, claims, context.lease_s) as keeper:
        with timings.measure("database"), catalog.read() as session:
            profile = session.get_one(EncodeProfile, claims[0].profile_id)
            weights = session.get_one(CodecModel, profile.model_id).weights_sha256
            works = [_work_of(session, claim, profile) for claim in claims]
        try:
            if any(work.alive for work in works):
                _require_weights(context, profile, weights)
            with timings.measure("reading"):
                _read(works)
            _encode(context, profile, works)
        except SpressoError as error:
            for work in works:
                work.fault = work.fault or error

    def write(session: Session, position: int) -> Outcome:
        return _write(session, claims[position], works[position], profile)

    with timings.measure("database"):
        paths = [str(work.source.path) if work.source else "" for work in works]
        return close_each(catalog, claims, keeper, paths, write)


def _work_of(session: Session, claim: Claim, profile: EncodeProfile) -> _Work:
    work = _Work(session.get_one(Asset, claim.asset_id))
    assert claim.asset_id is not None and profile.id is not None
    if has_rendition(session, claim.asset_id, profile.id):
        work.done_before = True
        return work
    try:
        work.source = source_of_asset(session, claim.asset_id)
    except SpressoError as error:
        work.fault = error
    return work


def _require_weights(context: TaskContext, profile: EncodeProfile, weights: str) -> None:
    """A profile belongs to weights: with others the bytes would decode to noise."""
    found = context.codec().weights_sha256
    if found != weights:
        raise SpressoError(
            f"The profile '{profile.name}' belongs to the weights {weights[:8]}; the loaded ones are {found[:8]}",
            code="weights_mismatch",
            hint="Name the right bundle with --bundle, or register the new one with 'spresso init'",
            exit_code=ExitCode.MODEL_MISSING,
            kind=FaultKind.ENVIRONMENT,
        )


def _read(works: Sequence[_Work]) -> None:
    """Read each file, in this process: its probe has decoded every one of these samples in a child before."""
    from spresso_assets.audio.read import read_audio

    for work in works:
        if not work.alive:
            continue
        assert work.source is not None
        try:
            work.source.check()
            sound = read_audio(work.source.path)
            work.source.check()
            work.audio = (sound.samples, sound.sample_rate)
        except (SpressoError, OSError, MemoryError) as error:
            work.fault = error


def _encode(context: TaskContext, profile: EncodeProfile, works: Sequence[_Work]) -> None:
    """One call for the batch. Where that fails, one call each: a sound that cannot be encoded harms no other."""
    ready = [work for work in works if work.audio is not None]
    if not ready:
        return
    try:
        _encode_together(context, profile, ready)
    except Exception as error:
        fault = about_the_model(as_spresso_error(error))
        if fault.kind is FaultKind.ENVIRONMENT or len(ready) == 1:
            for work in ready:
                work.fault = fault if fault.kind is FaultKind.ENVIRONMENT else error
            return
        for work in ready:
            try:
                _encode_together(context, profile, [work])
            except Exception as own_error:
                work.fault = own_error
    finally:
        for work in works:
            work.audio = None


def _encode_together(context: TaskContext, profile: EncodeProfile, works: Sequence[_Work]) -> None:
    codec = context.codec()
    sounds = [work.audio for work in works if work.audio is not None]
    before = dict(getattr(codec, "timings", {}))
    started = time.perf_counter()
    payloads = codec.encode_many(sounds, operating_point(profile), profile.channel_mode)
    elapsed = time.perf_counter() - started
    # a codec that keeps its own times tells resampling apart; the rest of the call is the network
    resampling = getattr(codec, "timings", {}).get("resampling", 0.0) - before.get("resampling", 0.0)
    context.timings.add("resampling", resampling)
    context.timings.add("network", elapsed - resampling)
    for work, payload in zip(works, payloads, strict=True):
        work.payload = payload


def _write(session: Session, claim: Claim, work: _Work, profile: EncodeProfile) -> Outcome:
    if work.fault is not None:
        raise work.fault
    path = str(work.source.path) if work.source else ""
    asset = work.asset
    if work.done_before:
        queue.finish(session, claim, {"outcome": ALREADY})
        return Outcome(claim.uid, claim.kind, "succeeded", ALREADY, path, asset.uid, asset.duration)
    assert work.payload is not None
    rendition = store_rendition(
        session,
        asset,
        profile,
        work.payload,
        job_id=claim.id,
        channels=1 if profile.channel_mode == "mono" else min(asset.channels, 2),
    )
    queue.finish(session, claim, {"outcome": "encoded", "bytes": len(work.payload), "rendition": rendition.uid})
    return Outcome(claim.uid, claim.kind, "succeeded", "encoded", path, asset.uid, asset.duration, len(work.payload))
