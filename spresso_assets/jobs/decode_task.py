"""Decode: regenerate a sound for somebody who waits for it, and lay it where they find it."""

import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from sqlmodel import Session

from spresso_assets.catalog.engine import Catalog
from spresso_assets.catalog.models import Delivery
from spresso_assets.errors import FaultKind, SpressoError
from spresso_assets.export.decode import decode_asset, write_decoded
from spresso_assets.jobs import queue
from spresso_assets.jobs.closing import close_each
from spresso_assets.jobs.context import Audio, TaskContext
from spresso_assets.jobs.deliver import FORMATS, MEDIA_TYPES, keep
from spresso_assets.jobs.keeper import LeaseKeeper
from spresso_assets.jobs.outcome import Outcome
from spresso_assets.jobs.queue import Claim

TELL_EVERY_S = 0.5


def run_decodes(catalog: Catalog, claims: Sequence[Claim], context: TaskContext) -> list[Outcome]:
    """Decode the sounds of some claimed jobs, one after the other; one outcome per claim, in order."""
    with LeaseKeeper(catalog, claims, context.lease_s) as keeper:
        found = [_decode(catalog, claim, context, keeper) for claim in claims]

    def write(session: Session, position: int) -> Outcome:
        return _write(session, claims[position], found[position])

    with context.timings.measure("database"):
        return close_each(catalog, claims, keeper, ["" for _ in claims], write)


def _decode(catalog: Catalog, claim: Claim, context: TaskContext, keeper: LeaseKeeper) -> Delivery | Exception:
    wanted = claim.params
    try:
        codec = context.codec()
        with context.timings.measure("network"):
            decoded = decode_asset(
                catalog,
                codec,  # type: ignore[arg-type]
                wanted["asset_uid"],
                profile=wanted["profile"],
                seed=wanted["seed"],
                quality=wanted["quality"],
                steps=wanted.get("steps"),
            )
            decoded.blocks = _told(catalog, claim, keeper, decoded.blocks, decoded.frames)
            suffix, bits = FORMATS[wanted["format"]]
            with tempfile.TemporaryDirectory(prefix="spresso-") as folder:
                target = Path(folder) / f"sound{suffix}"
                write_decoded(decoded, target, bit_depth=bits)
                content = target.read_bytes()
    except SpressoError as error:
        return _of_this_job(error)
    except Exception as error:
        return error
    return Delivery(
        key=wanted["key"],
        media_type=MEDIA_TYPES[suffix],
        sample_rate=decoded.sample_rate,
        channels=decoded.channels,
        frames=decoded.frames,
        expires_at=0,
        content=content,
    )


def _told(catalog: Catalog, claim: Claim, keeper: LeaseKeeper, blocks: Iterator[Audio], frames: int) -> Iterator[Audio]:
    """The blocks; whoever waits sees how far they are, and may stop them."""
    done, told_at = 0, time.monotonic()
    for block in blocks:
        yield block
        done += block.shape[1]
        if time.monotonic() - told_at < TELL_EVERY_S:
            continue
        told_at = time.monotonic()
        with catalog.session() as session:
            wanted = queue.report_progress(session, claim, done / max(frames, 1))
        if not wanted:
            keeper.beat()  # it learns whether the job was cancelled or lost, and the job is closed accordingly
            raise SpressoError("the decode is not wanted any more", code="job_cancelled", hint="Ask again.")


def _of_this_job(error: SpressoError) -> SpressoError:
    """A sound of other weights is this job's fault alone: the next one may be of those that are loaded."""
    if error.code != "wrong_model":
        return error
    return SpressoError(error.message, code=error.code, hint=error.hint, kind=FaultKind.PERMANENT)


def _write(session: Session, claim: Claim, found: Delivery | Exception) -> Outcome:
    if isinstance(found, Exception):
        raise found
    keep(session, found)
    queue.finish(session, claim, {"key": found.key, "bytes": len(found.content)})
    seconds = found.frames / found.sample_rate
    return Outcome(claim.uid, claim.kind, "succeeded", "decoded", "", claim.params["asset_uid"], seconds)
