"""An old rendition gives way only to a new one that was read back from the catalog and found sound.

Everything here happens in the transaction that stores the new rendition: a kill leaves the old one ready.
"""

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, select, update
from sqlmodel import Session, SQLModel

from spresso_assets.catalog.columns import now_us
from spresso_assets.catalog.models import Asset, CodecModel, EncodeProfile
from spresso_assets.catalog.renditions import READY
from spresso_assets.codec.bitstream import EntropyModel, SprHeader, unpack
from spresso_assets.errors import SpressoError
from spresso_assets.jobs.context import TaskContext
from spresso_assets.jobs.queue import Claim

RENDITIONS = SQLModel.metadata.tables["rendition"]
# A sum, so that some hundred sounds are looked up by the index of their ready renditions: SQLite would go through all
# renditions of the profile instead.
PROFILE: ColumnElement[int] = RENDITIONS.c.profile_id + 0
CHUNK = 500


@dataclass(frozen=True)
class Wanted:
    """What every stream of a profile has to say of itself."""

    profile_id: int
    name: str
    model_id: str  # first six digits of the weights
    pool: int
    codebooks: int | None
    bits: int | None
    modes: tuple[str, ...]  # a sound in the centre is mono in any mode

    @classmethod
    def of(cls, session: Session, profile: EncodeProfile) -> "Wanted":
        assert profile.id is not None
        weights = session.get_one(CodecModel, profile.model_id).weights_sha256
        params = profile.params
        bits = params["bits"] if params["codebooks"] else None
        modes = tuple(dict.fromkeys(("mono", profile.channel_mode)))
        return cls(profile.id, profile.name, weights[:6], params["pool"], params["codebooks"], bits, modes)

    def disagreement(self, header: SprHeader, frames: int, sample_rate: int, channels: int) -> str | None:
        """What a stream says that it should not, in words; None if all is well."""
        pairs = {
            "model": (header.model_id, self.model_id),
            "frame rate": (header.pool, self.pool),
            "codebooks": (header.codebooks, self.codebooks),
            "bits": (header.bits, self.bits),
            "samples": (header.samples, frames),
            "sample rate": (header.sample_rate, sample_rate),
            "channels": (header.channels, channels),
        }
        wrong = [f"{name} {found} instead of {wanted}" for name, (found, wanted) in pairs.items() if found != wanted]
        if header.channel_mode not in self.modes:
            wrong.append(f"channel mode {header.channel_mode}")
        return ", ".join(wrong) or None


def check_stream(
    payload: bytes, wanted: Wanted, frames: int, sample_rate: int, channels: int, model: EntropyModel | None
) -> None:
    """Parse a payload to its last code and hold its header against sound and profile.

    Raises:
        SpressoError: what `bitstream.unpack` raises; ``rendition_disagrees``.
    """
    header, _ = unpack(payload, model)
    check_header(header, wanted, frames, sample_rate, channels)


def check_header(header: SprHeader, wanted: Wanted, frames: int, sample_rate: int, channels: int) -> None:
    """Raises SpressoError ``rendition_disagrees``."""
    if (wrong := wanted.disagreement(header, frames, sample_rate, channels)) is not None:
        raise SpressoError(
            f"The new rendition does not belong to its sound or profile: {wrong}",
            code="rendition_disagrees",
            hint="Nothing was retired. Encode the sound again from its file",
        )


def verify_stored(
    session: Session,
    wanted: Wanted,
    asset_ids: Sequence[int],
    model: EntropyModel | None,
    checked: Collection[str] = frozenset(),
) -> dict[int, SpressoError | None]:
    """Read the ready renditions of a profile back from their rows and check them; the sound ones are marked so.

    Args:
        checked: SHA-256 of payloads that were parsed and held against their sound before: of these the row is read
            and hashed only.

    Returns:
        by asset: None if its rendition is verified, else what is wrong. Assets without a rendition are left out.
    """
    found: dict[int, SpressoError | None] = {}
    connection = session.connection()
    columns = (RENDITIONS.c.id, RENDITIONS.c.asset_id, RENDITIONS.c.payload, RENDITIONS.c.payload_sha256,
               RENDITIONS.c.verified_at)  # fmt: skip
    sound: list[int] = []
    for at in range(0, len(asset_ids), CHUNK):
        statement = select(*columns).where(
            PROFILE.in_([wanted.profile_id]),
            RENDITIONS.c.status == READY,
            RENDITIONS.c.asset_id.in_(asset_ids[at : at + CHUNK]),
        )
        for rendition_id, asset_id, payload, sha256, verified_at in connection.execute(statement).all():
            found[asset_id] = fault = _fault(session, asset_id, payload, sha256, wanted, model, checked)
            if fault is None and not (verified_at and sha256 in checked):
                sound.append(rendition_id)
    now = now_us()
    for at in range(0, len(sound), CHUNK):
        ids = RENDITIONS.c.id.in_(sound[at : at + CHUNK])
        connection.execute(update(RENDITIONS).where(ids).values(verified_at=now))
    return found


def _fault(
    session: Session,
    asset_id: int,
    payload: bytes,
    sha256: str,
    wanted: Wanted,
    model: EntropyModel | None,
    checked: Collection[str],
) -> SpressoError | None:
    if hashlib.sha256(payload).hexdigest() != sha256:
        return SpressoError(
            "The stored payload does not have the hash that its row records",
            code="payload_corrupt",
            hint="Restore a backup of the catalog, or encode the sound again",
        )
    if sha256 in checked:
        return None
    try:
        asset = session.get_one(Asset, asset_id)
        check_stream(payload, wanted, asset.frames, asset.sample_rate, asset.channels, model)
    except SpressoError as error:
        return error
    return None


def retire(session: Session, asset_ids: Sequence[int], profile_ids: Sequence[int]) -> int:
    """Let the ready renditions of these assets and profiles be superseded; returns how many."""
    retired = 0
    for at in range(0, len(asset_ids) if profile_ids else 0, CHUNK):
        statement = (
            update(RENDITIONS)
            .where(
                RENDITIONS.c.asset_id.in_(asset_ids[at : at + CHUNK]),
                PROFILE.in_(profile_ids),
                RENDITIONS.c.status == READY,
            )
            .values(status="superseded")
        )
        retired += session.connection().execute(statement).rowcount
    return retired


def settle(session: Session, claim: Claim, asset: Asset, profile: EncodeProfile, context: TaskContext) -> None:
    """For jobs of a re-encoding: verify the stored rendition, then retire what it replaces, if anything.

    Raises:
        SpressoError: why the rendition is not sound; roll it back.
    """
    if "retire" not in claim.params:
        return
    assert asset.id is not None
    session.flush()
    _, model = context.entropy()
    fault = verify_stored(session, Wanted.of(session, profile), [asset.id], model)[asset.id]
    if fault is not None:
        raise fault
    retire(session, [asset.id], claim.params["retire"])
