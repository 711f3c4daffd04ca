"""Cut: renditions with fewer codes out of stored ones, some hundreds per job. No network and no torch.

A job names its parents: ``{"renditions": [ids], "retire": [profile ids], "again": bool}``. A sound that has a rendition
of the profile already is passed over, so a job may run any number of times. What cannot be cut is encoded from its file
by a job of its own; where there is no file, the job's result says so.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import select
from sqlmodel import Session, SQLModel

from spresso_assets.catalog.columns import now_us
from spresso_assets.catalog.engine import Catalog
from spresso_assets.catalog.models import Asset, CodecModel, EncodeProfile
from spresso_assets.catalog.renditions import READY, NewRendition, store_renditions
from spresso_assets.codec.bitstream import EntropyModel, read_header
from spresso_assets.codec.cutting import cut_many
from spresso_assets.errors import SpressoError
from spresso_assets.jobs import queue
from spresso_assets.jobs.closing import close_each
from spresso_assets.jobs.context import TaskContext
from spresso_assets.jobs.keeper import LeaseKeeper
from spresso_assets.jobs.outcome import Outcome
from spresso_assets.jobs.queue import Claim
from spresso_assets.jobs.retire import PROFILE, Wanted, check_header, check_stream, retire, verify_stored
from spresso_assets.jobs.source import source_of_asset
from spresso_assets.jobs.weights import require_weights

RENDITIONS = SQLModel.metadata.tables["rendition"]
ASSETS = SQLModel.metadata.tables["asset"]
CHUNK = 500
SHOWN_FAILURES = 50  # in a job's result; the rest is counted


@dataclass(slots=True)
class Parent:
    """A stored stream that others are made of, and the sound that it holds."""

    id: int
    uid: str
    asset_id: int
    asset_uid: str
    payload: bytes
    sha256: str
    decode_seed: int
    generation: int
    frames: int
    sample_rate: int
    channels: int
    duration_s: float

    def check(self) -> None:
        """Raises SpressoError ``payload_corrupt``."""
        if hashlib.sha256(self.payload).hexdigest() != self.sha256:
            raise SpressoError(
                f"The stored payload of {self.asset_uid[:8]} is damaged",
                code="payload_corrupt",
                hint="Restore a backup of the catalog, or encode the sound again",
            )


@dataclass
class Chunk:
    """One job on its way: its parents, then what came of each."""

    claim: Claim
    wanted: Wanted
    parents: list[Parent]
    had: list[int] = field(default_factory=list)  # sounds that have a rendition of the profile already
    made: list[tuple[Parent, bytes]] = field(default_factory=list)
    failed: list[tuple[Parent, SpressoError]] = field(default_factory=list)
    fault: BaseException | None = None

    def keep(self, parent: Parent, result: bytes | SpressoError, model: EntropyModel | None = None) -> None:
        """Take a new stream, or the reason why there is none. With a model the stream is parsed first."""
        if not isinstance(result, SpressoError):
            facts = (self.wanted, parent.frames, parent.sample_rate, parent.channels)
            try:
                if model is None:
                    check_header(read_header(result), *facts)
                else:
                    check_stream(result, *facts, model)
            except SpressoError as error:
                result = error
        if isinstance(result, SpressoError):
            self.failed.append((parent, result))
        else:
            self.made.append((parent, result))


def run_cuts(catalog: Catalog, claims: Sequence[Claim], context: TaskContext) -> list[Outcome]:
    """Cut the renditions of some claimed jobs, all to one profile; one outcome per claim, in order."""
    timings = context.timings
    with LeaseKeeper(catalog, claims, context.lease_s) as keeper:
        with timings.measure("database"), catalog.read() as session:
            profile, weights = profile_of(session, claims[0])
            chunks = [open_chunk(session, claim, profile) for claim in claims]
        model: EntropyModel = {}
        try:
            found, model = context.entropy()
            require_weights(profile, weights, found)
            with timings.measure("cutting"):
                for chunk in chunks:
                    _cut(chunk, model)
        except SpressoError as error:
            for chunk in chunks:
                chunk.fault = chunk.fault or error

    def write(session: Session, position: int) -> Outcome:
        return write_chunk(session, chunks[position], profile, model, "cut")

    with timings.measure("database"):
        return close_each(catalog, claims, keeper, ["" for _ in claims], write)


def _cut(chunk: Chunk, model: EntropyModel) -> None:
    assert chunk.wanted.codebooks is not None
    whole: list[Parent] = []
    for parent in chunk.parents:
        try:
            parent.check()
            whole.append(parent)
        except SpressoError as error:
            chunk.failed.append((parent, error))
    results = cut_many([parent.payload for parent in whole], chunk.wanted.codebooks, model)
    for parent, result in zip(whole, results, strict=True):
        chunk.keep(parent, result)  # `cut_many` has read it again


def profile_of(session: Session, claim: Claim) -> tuple[EncodeProfile, str]:
    """The profile of a job and the hash of its weights."""
    profile = session.get_one(EncodeProfile, claim.profile_id)
    return profile, session.get_one(CodecModel, profile.model_id).weights_sha256


def open_chunk(session: Session, claim: Claim, profile: EncodeProfile) -> Chunk:
    """Read a job's parents, but for those whose sound has what is wanted."""
    ids: list[int] = claim.params["renditions"]
    chunk = Chunk(claim, Wanted.of(session, profile), [])
    r, a = RENDITIONS.c, ASSETS.c
    for at in range(0, len(ids), CHUNK):
        statement = (
            select(r.id, r.uid, r.asset_id, a.uid, r.payload, r.payload_sha256, r.decode_seed, r.generation,
                   a.frames, a.sample_rate, a.channels, a.duration)
            .join(ASSETS, a.id == r.asset_id)
            .where(r.id.in_(ids[at : at + CHUNK]))
        )  # fmt: skip
        chunk.parents += [Parent(*tuple(row)) for row in session.connection().execute(statement)]
    if not claim.params.get("again"):
        have = ready_assets(session, profile, [parent.asset_id for parent in chunk.parents])
        chunk.had = sorted(have)
        chunk.parents = [parent for parent in chunk.parents if parent.asset_id not in have]
    return chunk


def ready_assets(session: Session, profile: EncodeProfile, asset_ids: Sequence[int]) -> set[int]:
    """Those assets that have a ready rendition of a profile."""
    have: set[int] = set()
    for at in range(0, len(asset_ids), CHUNK):
        statement = select(RENDITIONS.c.asset_id).where(
            PROFILE.in_([profile.id]),
            RENDITIONS.c.status == READY,
            RENDITIONS.c.asset_id.in_(asset_ids[at : at + CHUNK]),
        )
        have.update(session.connection().execute(statement).scalars())
    return have


def write_chunk(session: Session, chunk: Chunk, profile: EncodeProfile, model: EntropyModel, what: str) -> Outcome:
    """Store what was made, read it back, retire what it replaces, and end the job: all or nothing."""
    if chunk.fault is not None:
        raise chunk.fault
    claim = chunk.claim
    assert profile.id is not None
    now = now_us()
    store_renditions(
        session,
        profile.id,
        [
            NewRendition(
                asset_id=parent.asset_id,
                payload=payload,
                duration_s=parent.duration_s,
                channels=1 if profile.channel_mode == "mono" else min(parent.channels, 2),
                decode_seed=parent.decode_seed,
                origin="quantised" if what == "quantised" else "cut",
                parent_uid=parent.uid,
                generation=parent.generation,
                # true if this transaction ends well: it is read back below
                verified_at=now,
            )
            for parent, payload in chunk.made
        ],
        job_id=claim.id,
        again=bool(claim.params.get("again")),
    )
    checked = {hashlib.sha256(payload).hexdigest() for _, payload in chunk.made}
    old = claim.params.get("retire", [])
    looked_at = [parent.asset_id for parent, _ in chunk.made] + (chunk.had if old else [])
    stored = verify_stored(session, chunk.wanted, looked_at, model, checked)
    for parent, _ in chunk.made:
        if (fault := stored[parent.asset_id]) is not None:  # a row that does not say what was written into it
            raise fault
    retired = retire(session, [asset_id for asset_id, fault in stored.items() if fault is None], old)
    result: dict[str, Any] = {"outcome": what, what: len(chunk.made), "already": len(chunk.had), "retired": retired}
    result |= {"bytes": sum(len(payload) for _, payload in chunk.made)}
    result |= _pass_on(session, chunk, profile)
    queue.finish(session, claim, result)
    seconds = sum(parent.duration_s for parent, _ in chunk.made)
    return Outcome(claim.uid, claim.kind, "succeeded", what, "", "", seconds, result["bytes"])


def _pass_on(session: Session, chunk: Chunk, profile: EncodeProfile) -> dict[str, Any]:
    """Jobs that encode from the file what could not be made of its stored stream; and what cannot be helped."""
    from spresso_assets.jobs.reencode_jobs import enqueue_one_encode

    encoded, lost = 0, []
    for parent, error in chunk.failed:
        record = {"asset": parent.asset_uid, "rendition": parent.uid, "code": error.code, "message": error.message}
        try:
            source_of_asset(session, parent.asset_id)
        except SpressoError:
            lost.append(record)
            continue
        enqueue_one_encode(session, session.get_one(Asset, parent.asset_id), profile, chunk.claim)
        encoded += 1
    if not chunk.failed:
        return {}
    return {"encode_instead": encoded, "failed": len(lost), "failures": lost[:SHOWN_FAILURES]}
