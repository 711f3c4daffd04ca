"""Quantise: stored continuous latents into codes, many sounds per job. Only the quantizer runs.

Jobs and their ends are those of `cut_task`.
"""

from collections.abc import Sequence

from sqlmodel import Session

from spresso_assets.catalog.engine import Catalog
from spresso_assets.catalog.models import EncodeProfile
from spresso_assets.catalog.profiles import operating_point
from spresso_assets.codec.bitstream import EntropyModel
from spresso_assets.errors import SpressoError
from spresso_assets.jobs.closing import close_each
from spresso_assets.jobs.context import TaskContext
from spresso_assets.jobs.cut_task import Chunk, Parent, open_chunk, profile_of, write_chunk
from spresso_assets.jobs.faults import as_spresso_error
from spresso_assets.jobs.keeper import LeaseKeeper
from spresso_assets.jobs.memory import free_device_memory, out_of_memory
from spresso_assets.jobs.outcome import Outcome
from spresso_assets.jobs.queue import Claim
from spresso_assets.jobs.weights import require_weights


def run_quantises(catalog: Catalog, claims: Sequence[Claim], context: TaskContext) -> list[Outcome]:
    """Quantise the renditions of some claimed jobs, all to one profile; one outcome per claim, in order."""
    timings = context.timings
    with LeaseKeeper(catalog, claims, context.lease_s) as keeper:
        with timings.measure("database"), catalog.read() as session:
            profile, weights = profile_of(session, claims[0])
            chunks = [open_chunk(session, claim, profile) for claim in claims]
        model: EntropyModel = {}
        try:
            codec = context.codec()
            require_weights(profile, weights, codec.weights_sha256)
            _, model = context.entropy()
            with timings.measure("network"):
                for chunk in chunks:
                    _quantise(context, chunk, profile, chunk.parents, model)
        except Exception as error:
            for chunk in chunks:
                chunk.fault = chunk.fault or error

    def write(session: Session, position: int) -> Outcome:
        return write_chunk(session, chunks[position], profile, model, "quantised")

    with timings.measure("database"):
        return close_each(catalog, claims, keeper, ["" for _ in claims], write)


def _quantise(
    context: TaskContext, chunk: Chunk, profile: EncodeProfile, parents: Sequence[Parent], model: EntropyModel
) -> None:
    """Together; where that fails, in halves: a damaged stream harms no other."""
    if not parents:
        return
    error: Exception
    try:
        for parent in parents:
            parent.check()
        payloads = [parent.payload for parent in parents]
        made = context.codec().requantise(payloads, operating_point(profile))  # type: ignore[attr-defined]
    except Exception as caught:
        error = caught.with_traceback(None)
    else:
        for parent, payload in zip(parents, made, strict=True):
            chunk.keep(parent, payload, model)
        return
    short_of_memory = out_of_memory(error)
    if not short_of_memory and not isinstance(error, SpressoError):
        raise error
    if len(parents) == 1:
        chunk.failed.append((parents[0], as_spresso_error(error)))
        return
    if short_of_memory:
        free_device_memory()
    middle = len(parents) // 2
    _quantise(context, chunk, profile, parents[:middle], model)
    _quantise(context, chunk, profile, parents[middle:], model)
