"""Renditions: an asset encoded under a profile, payload and facts in one row."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, bindparam, exists, literal_column, select, text, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import defer
from sqlmodel import Session, SQLModel, col

from spresso_assets.catalog.columns import new_uid, now_us
from spresso_assets.catalog.models import Asset, CodecModel, EncodeProfile, Rendition, SourceFile
from spresso_assets.errors import ExitCode, SpressoError

# Spelt out in statements: SQLite takes the index of ready renditions only where it sees the word, not a parameter.
READY: ColumnElement[str] = literal_column("'ready'")
FORMER = select(Rendition).where(
    col(Rendition.asset_id) == bindparam("asset"),
    col(Rendition.profile_id) == bindparam("profile"),
    col(Rendition.status) == READY,
)
# The newest weights first, and then the highest rate.
PAYLOAD = (
    select(Rendition, col(EncodeProfile.name), col(CodecModel.weights_sha256))
    .join(EncodeProfile, col(Rendition.profile_id) == col(EncodeProfile.id))
    .join(CodecModel, col(EncodeProfile.model_id) == col(CodecModel.id))
    .where(col(Rendition.asset_id) == bindparam("asset"), col(Rendition.status) == READY)
    .order_by(col(EncodeProfile.state), col(EncodeProfile.nominal_kbps).desc(), col(Rendition.id).desc())
    .limit(1)
)
PAYLOAD_OF_PROFILE = PAYLOAD.where(col(EncodeProfile.name) == bindparam("profile"))


@dataclass(frozen=True)
class Payload:
    """What a decoder needs: the bytes, the weights that made them, and the seed that everybody hears first."""

    payload: bytes
    profile: str
    weights_sha256: str
    decode_seed: int
    rendition_uid: str
    generation: int = 1


def seed_of_hash(audio_hash: str) -> int:
    """The seed of a sound's first variation, 0 … 2^31-1: from its identity, so that two editors hear the same."""
    return int(audio_hash.rpartition(":")[2][:8], 16) & 0x7FFF_FFFF


def store_rendition(
    session: Session,
    asset: Asset,
    profile: EncodeProfile,
    payload: bytes,
    *,
    job_id: int | None = None,
    channels: int = 1,
    quality: dict[str, Any] | None = None,
    encoder_build: str = "",
    decode_seed: int | None = None,
    origin: str = "source",
    parent_uid: str | None = None,
    generation: int = 1,
) -> Rendition:
    """Keep a payload as the ready rendition of an asset and profile; a former one becomes ``superseded``.

    Call it in the transaction that finishes the job. Other profiles' renditions are never touched.
    """
    assert asset.id is not None and profile.id is not None
    digest = hashlib.sha256(payload).hexdigest()
    former = session.execute(FORMER, {"asset": asset.id, "profile": profile.id}).scalar_one_or_none()
    if former is not None:
        if former.payload_sha256 == digest:
            return former
        former.status = "superseded"
        session.add(former)
        session.flush()  # before its place as the ready one is taken
    rendition = Rendition(
        asset_id=asset.id,
        profile_id=profile.id,
        job_id=job_id,
        encoder_build=encoder_build,
        payload_sha256=digest,
        payload_bytes=len(payload),
        channels=channels,
        actual_kbps=len(payload) * 8 / 1000 / asset.duration if asset.duration > 0 else 0.0,
        decode_seed=seed_of_hash(asset.audio_hash) if decode_seed is None else decode_seed,
        quality=quality,
        origin=origin,
        parent_uid=parent_uid,
        generation=generation,
        payload=payload,
    )
    session.add(rendition)
    session.flush()
    return rendition


def get_payload(session: Session, asset: Asset, profile: str | None = None) -> Payload:
    """The ready payload of an asset, checked against its hash.

    Args:
        profile: a profile's name; None takes the newest weights and then the highest rate that there is.

    Raises:
        SpressoError: ``not_encoded`` (exit 4), ``payload_corrupt``.
    """
    statement, asked = (PAYLOAD, {}) if profile is None else (PAYLOAD_OF_PROFILE, {"profile": profile})
    row = session.execute(statement, {"asset": asset.id, **asked}).first()
    if row is None:
        under = f" under the profile '{profile}'" if profile else ""
        raise SpressoError(
            f"The sound {asset.uid[:8]} is not encoded{under} yet",
            code="not_encoded",
            hint=f"Run: spresso encode id:{asset.uid[:8]}" + (f" --profile {profile}" if profile else ""),
            exit_code=ExitCode.NOT_FOUND,
        )
    rendition, name, weights = row
    if hashlib.sha256(rendition.payload).hexdigest() != rendition.payload_sha256:
        raise SpressoError(
            f"The stored payload of {asset.uid[:8]} ({name}) is damaged",
            code="payload_corrupt",
            hint="Restore a backup of the catalog, or encode the sound again",
        )
    return Payload(rendition.payload, name, weights, rendition.decode_seed, rendition.uid, rendition.generation)


def list_renditions(
    session: Session, asset_id: int, every_status: bool = False
) -> list[tuple[Rendition, EncodeProfile]]:
    """Renditions of an asset with their profiles, highest rate first, without loading the payloads."""
    statement = (
        select(Rendition, EncodeProfile)
        .join(EncodeProfile, col(Rendition.profile_id) == col(EncodeProfile.id))
        .where(col(Rendition.asset_id) == asset_id)
        .order_by(col(EncodeProfile.nominal_kbps).desc(), col(Rendition.id))
        .options(defer(Rendition.payload))  # type: ignore[arg-type]
    )
    if not every_status:
        statement = statement.where(col(Rendition.status) == READY)
    return [(rendition, profile) for rendition, profile in session.execute(statement)]


def missing_assets(session: Session, profile: EncodeProfile) -> list[Asset]:
    """Assets without a ready rendition under a profile that still have a file to encode from."""
    ready = exists().where(
        col(Rendition.asset_id) == col(Asset.id),
        col(Rendition.profile_id) == profile.id,
        col(Rendition.status) == READY,
    )
    readable = exists().where(col(SourceFile.asset_id) == col(Asset.id), col(SourceFile.state) == "present")
    statement = select(Asset).where(~ready, readable, col(Asset.deleted_at).is_(None)).order_by(col(Asset.id))
    return list(session.execute(statement.options(defer(Asset.peaks))).scalars())  # type: ignore[arg-type]


def has_rendition(session: Session, asset_id: int, profile_id: int) -> bool:
    """Whether a ready rendition is there."""
    statement = select(col(Rendition.id)).where(
        col(Rendition.asset_id) == asset_id, col(Rendition.profile_id) == profile_id, col(Rendition.status) == READY
    )
    return session.connection().execute(statement).first() is not None


@dataclass(frozen=True)
class NewRendition:
    """A payload to be stored, and how it was made; see `Rendition`."""

    asset_id: int
    payload: bytes
    duration_s: float
    channels: int
    decode_seed: int
    origin: str
    parent_uid: str | None = None
    generation: int = 1
    quality: dict[str, Any] | None = None
    encoder_build: str = ""
    verified_at: int | None = None


def store_renditions(
    session: Session, profile_id: int, new: Sequence[NewRendition], *, job_id: int | None = None, again: bool = False
) -> None:
    """Keep payloads as the ready renditions of their assets and a profile, many in few statements.

    Args:
        again: former renditions of the profile become ``superseded``; else whoever has one keeps it.
    """
    if not new:
        return
    connection = session.connection()
    table = SQLModel.metadata.tables["rendition"]
    if again:
        former = (table.c.profile_id + 0 == profile_id, table.c.status == READY)
        for at in range(0, len(new), 500):
            ids = [item.asset_id for item in new[at : at + 500]]
            connection.execute(update(table).where(*former, table.c.asset_id.in_(ids)).values(status="superseded"))
    dialect = sqlite if connection.dialect.name == "sqlite" else postgresql
    statement = dialect.insert(table).on_conflict_do_nothing(
        index_elements=["asset_id", "profile_id"], index_where=text("status = 'ready'")
    )
    now = now_us()
    connection.execute(
        statement,
        [
            {
                "uid": new_uid(),
                "asset_id": item.asset_id,
                "profile_id": profile_id,
                "job_id": job_id,
                "status": "ready",
                "encoder_build": item.encoder_build,
                "payload_sha256": hashlib.sha256(item.payload).hexdigest(),
                "payload_bytes": len(item.payload),
                "channels": item.channels,
                "actual_kbps": len(item.payload) / 125 / item.duration_s if item.duration_s > 0 else 0.0,
                "decode_seed": item.decode_seed,
                "origin": item.origin,
                "parent_uid": item.parent_uid,
                "generation": item.generation,
                "quality": item.quality,
                "created_at": now,
                "verified_at": item.verified_at,
                "payload": item.payload,
            }
            for item in new
        ],
    )
