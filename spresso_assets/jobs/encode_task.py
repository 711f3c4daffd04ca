"""Encode: read sounds, run the codec over them, keep each payload in the transaction that ends its job."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from sqlalchemy import select
from sqlmodel import Session, col

from spresso_assets.catalog.engine import Catalog
from spresso_assets.catalog.models import Asset, CodecModel, EncodeProfile
from spresso_assets.catalog.profiles import operating_point
from spresso_assets.catalog.renditions import store_rendition
from spresso_assets.errors import FaultKind, SpressoError
from spresso_assets.jobs import queue
from spresso_assets.jobs.closing import close_each
from spresso_assets.jobs.context import Audio, TaskContext
from spresso_assets.jobs.cut_task import ready_assets
from spresso_assets.jobs.faults import about_the_model, as_spresso_error
from spresso_assets.jobs.keeper import LeaseKeeper
from spresso_assets.jobs.memory import fill, free_device_memory, out_of_memory
from spresso_assets.jobs.outcome import Outcome
from spresso_assets.jobs.queue import Claim
from spresso_assets.jobs.retire import settle
from spresso_assets.jobs.source import Source, no_source, sources_of_assets
from spresso_assets.jobs.weights import require_weights

ALREADY = "already"
# From here on a sound is read twice, block by block, instead of once as a whole: long before it hurts.
STREAM_FROM_S = 30.0
STREAM_FROM_SAMPLES = 1 << 24  # of all channels: 64 MB


@dataclass
class _Work:
    """One job on its way: what it needs, then what came of it."""

    asset: Asset
    source: Source | None = None
    payload: bytes | None = None
    fault: BaseException | None = None
    done_before: bool = False

    @property
    def alive(self) -> bool:
        return self.fault is None and not self.done_before


Encode = Callable[[TaskContext, EncodeProfile, Sequence[_Work]], None]


def run_encodes(catalog: Catalog, claims: Sequence[Claim], context: TaskContext) -> list[Outcome]:
    """Encode the sounds of some claimed jobs, all of one profile; one outcome per claim, in order."""
    if "ladder" in claims[0].params:  # no profile: these are claimed among themselves
        from spresso_assets.jobs.ladder_task import run_ladders

        return run_ladders(catalog, claims, context)
    timings = context.timings
    with LeaseKeeper(catalog, claims, context.lease_s) as keeper:
        with timings.measure("database"), catalog.read() as session:
            profile = session.get_one(EncodeProfile, claims[0].profile_id)
            weights = session.get_one(CodecModel, profile.model_id).weights_sha256
            works = _works_of(session, claims, profile)
        try:
            if any(work.alive for work in works):
                require_weights(profile, weights, context.codec().weights_sha256)
                _encode(context, profile, works)
        except SpressoError as error:
            for work in works:
                work.fault = work.fault or error

    def write(session: Session, position: int) -> Outcome:
        return _write(session, claims[position], works[position], profile, context)

    with timings.measure("database"):
        paths = [str(work.source.path) if work.source else "" for work in works]
        return close_each(catalog, claims, keeper, paths, write)


def _works_of(session: Session, claims: Sequence[Claim], profile: EncodeProfile) -> list[_Work]:
    ids = [claim.asset_id for claim in claims if claim.asset_id is not None]
    assets = {asset.id: asset for asset in session.execute(select(Asset).where(col(Asset.id).in_(ids))).scalars()}
    done = ready_assets(session, profile, ids)
    sources = sources_of_assets(session, ids)
    works = []
    again = {claim.asset_id for claim in claims if claim.params.get("again")}  # though they are done
    for asset_id in ids:
        source = sources.get(asset_id)
        work = _Work(assets[asset_id], source, done_before=asset_id in done - again)
        if source is None and not work.done_before:
            work.fault = no_source(session, work.asset.id or 0)
        works.append(work)
    return works


def _encode(context: TaskContext, profile: EncodeProfile, works: Sequence[_Work]) -> None:
    """Long sounds one by one as streams, the others in groups that fit into memory, similar lengths together."""
    alive = [work for work in works if work.alive]
    streams = getattr(context.codec(), "encode_stream", None) is not None
    long = [work for work in alive if streams and _is_long(work.asset)]
    for work in long:
        _encode_group(context, profile, [work], _encode_stream)
    short = [work for work in alive if work not in long]
    for group in fill([work.asset.duration for work in short], context.batch_s):
        _encode_group(context, profile, [short[at] for at in group], _encode_together)


def _is_long(asset: Asset) -> bool:
    """Whether a sound is better not held in memory as a whole."""
    return asset.duration > STREAM_FROM_S or asset.frames * asset.channels > STREAM_FROM_SAMPLES


def _encode_group(context: TaskContext, profile: EncodeProfile, works: Sequence[_Work], encode: Encode) -> None:
    """Encode together; where that fails, in halves or alone: a sound that cannot be encoded harms no other."""
    ready = [work for work in works if work.alive]
    if not ready:
        return
    error = _attempt(context, profile, ready, encode)
    if error is None:
        return
    fault = about_the_model(as_spresso_error(error))
    if fault.kind is FaultKind.ENVIRONMENT:
        for work in ready:
            work.fault = fault
    elif len(ready) == 1:
        ready[0].fault = error
    elif out_of_memory(error):
        free_device_memory()
        middle = len(ready) // 2
        # what did not fit now will not fit in the next batch either
        context.batch_s = min(context.batch_s, max(work.asset.duration for work in ready) * middle)
        _encode_group(context, profile, ready[:middle], encode)
        _encode_group(context, profile, ready[middle:], encode)
    else:
        for work in ready:
            _encode_group(context, profile, [work], encode)


def _attempt(
    context: TaskContext, profile: EncodeProfile, works: Sequence[_Work], encode: Encode
) -> BaseException | None:
    """What went wrong, if anything. It is returned to be dealt with when all that it refers to is free again."""
    try:
        encode(context, profile, works)
    except Exception as error:
        return error.with_traceback(None) if out_of_memory(error) else error
    return None


def _encode_together(context: TaskContext, profile: EncodeProfile, works: Sequence[_Work]) -> None:
    sounds: list[tuple[Audio, int]] = []
    ready: list[_Work] = []
    with context.timings.measure("reading"):
        for work in works:
            if (sound := _read(work)) is not None:
                sounds.append(sound)
                ready.append(work)
    if not ready:
        return
    with _network_time(context):
        payloads = context.codec().encode_many(sounds, operating_point(profile), profile.channel_mode)
    for work, payload in zip(ready, payloads, strict=True):
        work.payload = payload


def _read(work: _Work) -> tuple[Audio, int] | None:
    """A whole sound, in this process: its probe has decoded every one of these samples in a child before."""
    from spresso_assets.audio.read import read_audio

    assert work.source is not None
    try:
        work.source.check()
        sound = read_audio(work.source.path)
        work.source.check()
    except (SpressoError, OSError) as error:
        work.fault = error
        return None
    return sound.samples, sound.sample_rate


def _encode_stream(context: TaskContext, profile: EncodeProfile, works: Sequence[_Work]) -> None:
    from spresso_assets.audio.read import iter_blocks

    (work,) = works
    assert work.source is not None
    source = work.source

    def blocks() -> Iterator[Audio]:
        opened = iter_blocks(source.path)
        while True:
            with context.timings.measure("reading"):
                block = next(opened, None)
            if block is None:
                return
            yield block

    source.check()
    encode_stream = context.codec().encode_stream  # type: ignore[attr-defined]
    with _network_time(context):
        payload = encode_stream(blocks, work.asset.sample_rate, operating_point(profile), profile.channel_mode)
    source.check()
    work.payload = payload


@contextmanager
def _network_time(context: TaskContext) -> Iterator[None]:
    """Book the block's time as that of the network, but for resampling and reading that happen within."""
    codec, timings = context.codec(), context.timings

    def elsewhere() -> tuple[float, float]:
        return getattr(codec, "timings", {}).get("resampling", 0.0), timings.seconds.get("reading", 0.0)

    resampling, reading = elsewhere()
    started = time.perf_counter()
    try:
        yield
    finally:
        elapsed = time.perf_counter() - started
        resampled, read = elsewhere()
        timings.add("resampling", resampled - resampling)
        timings.add("network", elapsed - (resampled - resampling) - (read - reading))


def _write(session: Session, claim: Claim, work: _Work, profile: EncodeProfile, context: TaskContext) -> Outcome:
    if work.fault is not None:
        raise work.fault
    path = str(work.source.path) if work.source else ""
    asset = work.asset
    if work.done_before:
        settle(session, claim, asset, profile, context)
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
    settle(session, claim, asset, profile, context)
    queue.finish(session, claim, {"outcome": "encoded", "bytes": len(work.payload), "rendition": rendition.uid})
    return Outcome(claim.uid, claim.kind, "succeeded", "encoded", path, asset.uid, asset.duration, len(work.payload))
