"""Encode at the lowest rate that is good enough: climb a ladder of profiles until the measured quality passes.

Jobs are of the kind ``encode``, with ``{"ladder": [profile names, lowest rate first], "target_quality": 0 … 1}``. The
network runs once per frame rate: rungs of one rate are cut from its highest. A sound that passes nowhere is kept at the
highest rate, and its quality says so (`spresso quality`). Silent and very short sounds are kept at the lowest.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlmodel import Session

from spresso_assets.catalog.columns import now_us
from spresso_assets.catalog.engine import Catalog
from spresso_assets.catalog.models import Asset, CodecModel, EncodeProfile
from spresso_assets.catalog.profiles import get_profile, operating_point
from spresso_assets.catalog.renditions import seed_of_hash, store_rendition
from spresso_assets.codec.bitstream import cut, read_header
from spresso_assets.errors import SpressoError
from spresso_assets.evaluation.judging import SOLVER, judge_stream, quality_record
from spresso_assets.jobs import queue
from spresso_assets.jobs.closing import close_each
from spresso_assets.jobs.context import Audio, TaskContext
from spresso_assets.jobs.keeper import LeaseKeeper
from spresso_assets.jobs.outcome import Outcome
from spresso_assets.jobs.queue import Claim
from spresso_assets.jobs.retire import settle
from spresso_assets.jobs.source import Source, source_of_asset
from spresso_assets.jobs.weights import require_weights

SHORTEST_S = 0.05  # below, no measure says anything


@dataclass
class _Climb:
    """One sound on its way: the rungs, then the one that was kept."""

    asset: Asset
    rungs: list[EncodeProfile]
    weights: str
    source: Source | None = None
    fault: BaseException | None = None
    kept: EncodeProfile | None = None
    payload: bytes = b""
    quality: dict[str, Any] | None = None


def run_ladders(catalog: Catalog, claims: Sequence[Claim], context: TaskContext) -> list[Outcome]:
    """Climb for the sounds of some claimed jobs, one after the other; one outcome per claim, in order."""
    timings = context.timings
    with LeaseKeeper(catalog, claims, context.lease_s) as keeper:
        with timings.measure("database"), catalog.read() as session:
            climbs = [_prepare(session, claim) for claim in claims]
        for claim, climb in zip(claims, climbs, strict=True):
            if climb.fault is not None:
                continue
            try:
                require_weights(climb.rungs[-1], climb.weights, context.codec().weights_sha256)
                with timings.measure("network"):
                    _climb(context, climb, claim.params["target_quality"])
            except Exception as error:
                climb.fault = error

    def write(session: Session, position: int) -> Outcome:
        return _write(session, claims[position], climbs[position], context)

    with timings.measure("database"):
        paths = [str(climb.source.path) if climb.source else "" for climb in climbs]
        return close_each(catalog, claims, keeper, paths, write)


def _prepare(session: Session, claim: Claim) -> _Climb:
    asset = session.get_one(Asset, claim.asset_id)
    climb = _Climb(asset, [], "")
    try:
        climb.rungs = [get_profile(session, name) for name in claim.params["ladder"]]
        climb.weights = session.get_one(CodecModel, climb.rungs[-1].model_id).weights_sha256
        climb.source = source_of_asset(session, asset.id or 0)
    except SpressoError as error:
        climb.fault = error
    return climb


def _climb(context: TaskContext, climb: _Climb, target: float) -> None:
    from spresso_assets.audio.read import iter_blocks

    codec: Any = context.codec()
    _, model = context.entropy()
    asset, source = climb.asset, climb.source
    assert source is not None
    seed = seed_of_hash(asset.audio_hash)

    def sound() -> Iterable[Audio]:
        return iter_blocks(source.path)

    source.check()
    highest: dict[int, bytes] = {}  # by frame rate, encoded with the most codes that any rung asks for
    for rung in climb.rungs:
        pool, books = rung.params["pool"], rung.params["codebooks"]
        if pool not in highest:
            most = max((r for r in climb.rungs if r.params["pool"] == pool), key=lambda r: r.params["codebooks"])
            highest[pool] = codec.encode_stream(sound, asset.sample_rate, operating_point(most), most.channel_mode)
        header = read_header(highest[pool])
        payload = highest[pool] if header.codebooks == books else cut(highest[pool], books, model)
        climb.kept, climb.payload, climb.quality = rung, payload, None
        if header.silent or asset.duration < SHORTEST_S:
            break

        def decoded(payload: bytes = payload) -> Iterable[Audio]:
            found: Iterable[Audio] = codec.decode_stream(payload, seed, quality=SOLVER)
            return found

        value = judge_stream(decoded, sound, asset.sample_rate)
        climb.quality = quality_record(value, seed, now_us(), target=target)
        if value >= target:
            break
    source.check()


def _write(session: Session, claim: Claim, climb: _Climb, context: TaskContext) -> Outcome:
    if climb.fault is not None:
        raise climb.fault
    asset, profile = climb.asset, climb.kept
    assert profile is not None
    rendition = store_rendition(
        session,
        asset,
        profile,
        climb.payload,
        job_id=claim.id,
        channels=1 if profile.channel_mode == "mono" else min(asset.channels, 2),
        quality=climb.quality,
    )
    rendition.quality = climb.quality  # also of one that was there with these very bytes
    session.add(rendition)
    session.flush()
    settle(session, claim, asset, profile, context)
    result = {"outcome": "encoded", "bytes": len(climb.payload), "rendition": rendition.uid, "profile": profile.name}
    queue.finish(session, claim, result | {"quality": climb.quality})
    path = str(climb.source.path) if climb.source else ""
    return Outcome(claim.uid, claim.kind, "succeeded", "encoded", path, asset.uid, asset.duration, len(climb.payload))
