"""Transcode: a stored rendition is decoded, and what is heard is encoded again. Only where a person allowed it.

Such a rendition is of a later generation than its parent: it has the losses of both. One sound per job; the parent
is named by ``{"renditions": [id]}``.
"""

from collections.abc import Callable, Iterable, Sequence

from sqlmodel import Session

from spresso_assets.catalog.engine import Catalog
from spresso_assets.catalog.models import Asset, EncodeProfile
from spresso_assets.catalog.profiles import operating_point
from spresso_assets.catalog.renditions import store_rendition
from spresso_assets.errors import SpressoError
from spresso_assets.jobs import queue
from spresso_assets.jobs.closing import close_each
from spresso_assets.jobs.context import Audio, TaskContext
from spresso_assets.jobs.cut_task import Chunk, Parent, open_chunk, profile_of
from spresso_assets.jobs.keeper import LeaseKeeper
from spresso_assets.jobs.outcome import Outcome
from spresso_assets.jobs.queue import Claim
from spresso_assets.jobs.retire import settle
from spresso_assets.jobs.weights import require_weights

TRANSCODED = "transcoded"


def run_transcodes(catalog: Catalog, claims: Sequence[Claim], context: TaskContext) -> list[Outcome]:
    """Decode and encode the sounds of some claimed jobs, one after the other; one outcome per claim, in order."""
    timings = context.timings
    with LeaseKeeper(catalog, claims, context.lease_s) as keeper:
        with timings.measure("database"), catalog.read() as session:
            profile, weights = profile_of(session, claims[0])
            chunks = [open_chunk(session, claim, profile) for claim in claims]
        try:
            require_weights(profile, weights, context.codec().weights_sha256)
            for chunk in chunks:
                _transcode(context, chunk, profile)
        except SpressoError as error:
            for chunk in chunks:
                chunk.fault = chunk.fault or error

    def write(session: Session, position: int) -> Outcome:
        return _write(session, chunks[position], profile, context)

    with timings.measure("database"):
        return close_each(catalog, claims, keeper, ["" for _ in claims], write)


def _transcode(context: TaskContext, chunk: Chunk, profile: EncodeProfile) -> None:
    for parent in chunk.parents:
        try:
            parent.check()
            with context.timings.measure("network"):
                chunk.made.append((parent, _again(context, parent, profile)))
        except Exception as error:
            chunk.fault = error


def _again(context: TaskContext, parent: Parent, profile: EncodeProfile) -> bytes:
    codec = context.codec()

    def blocks() -> Iterable[Audio]:
        found: Iterable[Audio] = codec.decode_stream(parent.payload, parent.decode_seed)  # type: ignore[attr-defined]
        return found

    # decoded twice rather than held: a sound may last four hours
    encode: Callable[..., bytes] = codec.encode_stream  # type: ignore[attr-defined]
    return encode(blocks, parent.sample_rate, operating_point(profile), profile.channel_mode)


def _write(session: Session, chunk: Chunk, profile: EncodeProfile, context: TaskContext) -> Outcome:
    if chunk.fault is not None:
        raise chunk.fault
    claim = chunk.claim
    if not chunk.made:
        if not chunk.had:
            raise SpressoError("The rendition to transcode is gone", code="parent_gone", hint="Plan again")
        queue.finish(session, claim, {"outcome": "already", "already": 1})
        return Outcome(claim.uid, claim.kind, "succeeded", "already")
    ((parent, payload),) = chunk.made
    asset = session.get_one(Asset, parent.asset_id)
    rendition = store_rendition(
        session,
        asset,
        profile,
        payload,
        job_id=claim.id,
        channels=1 if profile.channel_mode == "mono" else min(asset.channels, 2),
        decode_seed=parent.decode_seed,
        origin=TRANSCODED,
        parent_uid=parent.uid,
        generation=parent.generation + 1,
    )
    settle(session, claim, asset, profile, context)
    result = {"outcome": TRANSCODED, TRANSCODED: 1, "bytes": len(payload), "rendition": rendition.uid}
    queue.finish(session, claim, result)
    return Outcome(claim.uid, claim.kind, "succeeded", TRANSCODED, "", asset.uid, asset.duration, len(payload))
