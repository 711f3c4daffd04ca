"""What sounds became: models, profiles, renditions (the payloads) and embeddings."""

from typing import Any

from sqlalchemy import JSON, BigInteger, CheckConstraint, Index, LargeBinary, Text, UniqueConstraint, text
from sqlmodel import Field, SQLModel

from spresso_assets.catalog.columns import new_uid, now_us


class CodecModel(SQLModel, table=True):
    """A model bundle, identified by the SHA-256 of its weights."""

    __tablename__ = "codec_model"

    id: int | None = Field(default=None, primary_key=True)
    name: str = Field(sa_type=Text)
    version: str = Field(default="", sa_type=Text)
    weights_sha256: str = Field(unique=True, sa_type=Text)
    latent_kind: str = Field(default="s-presso", sa_type=Text)
    latent_dim: int = 64
    sample_rate: int = 48_000
    license: str = Field(default="", sa_type=Text)
    state: str = Field(default="available", sa_type=Text)  # available, missing, retired
    created_at: int = Field(default_factory=now_us, sa_type=BigInteger)


class EncodeProfile(SQLModel, table=True):
    """A named encoding setting of one model; never changed once made.

    New weights bring new profiles under the old names: the former ones retire, still decodable, and only one active
    profile bears a name.
    """

    __tablename__ = "encode_profile"
    __table_args__ = (
        UniqueConstraint("model_id", "params_hash"),
        Index(
            "uq_encode_profile_active_name",
            "name",
            unique=True,
            sqlite_where=text("state = 'active'"),
            postgresql_where=text("state = 'active'"),
        ),
        CheckConstraint("state IN ('active','retired')", name="state"),
    )

    id: int | None = Field(default=None, primary_key=True)
    name: str = Field(sa_type=Text)
    model_id: int = Field(foreign_key="codec_model.id")
    params: dict[str, Any] = Field(sa_type=JSON)
    params_hash: str = Field(sa_type=Text)  # SHA-256 of the canonical JSON of `params`
    nominal_kbps: float
    frame_rate_hz: float
    channel_mode: str = Field(default="mono", sa_type=Text)
    state: str = Field(default="active", sa_type=Text)
    created_at: int = Field(default_factory=now_us, sa_type=BigInteger)


class Rendition(SQLModel, table=True):
    """One asset encoded under one profile. The payload is in the row: nothing to drift from the database."""

    __tablename__ = "rendition"
    __table_args__ = (
        Index(
            "uq_rendition_ready",
            "asset_id",
            "profile_id",
            unique=True,
            sqlite_where=text("status = 'ready'"),
            postgresql_where=text("status = 'ready'"),
        ),
        Index("ix_rendition_profile_status", "profile_id", "status"),
        CheckConstraint("status IN ('ready','superseded','corrupt')", name="status"),
    )

    id: int | None = Field(default=None, primary_key=True)
    uid: str = Field(default_factory=new_uid, unique=True, sa_type=Text)
    asset_id: int = Field(foreign_key="asset.id", ondelete="CASCADE")
    profile_id: int = Field(foreign_key="encode_profile.id")
    job_id: int | None = Field(default=None, foreign_key="job.id", ondelete="SET NULL")
    status: str = Field(default="ready", sa_type=Text)
    encoder_build: str = Field(default="", sa_type=Text)
    payload_sha256: str = Field(index=True, sa_type=Text)
    payload_bytes: int
    channels: int = 1
    actual_kbps: float  # container included, over the asset's length
    decode_seed: int = Field(sa_type=BigInteger)
    # source (the file), cut (fewer codes of another rendition), quantised (its continuous latents), transcoded
    origin: str = Field(default="source", sa_type=Text)
    parent_uid: str | None = Field(default=None, sa_type=Text)  # the rendition it was made from; it may be gone since
    generation: int = 1  # lossy encodings between the original and this payload
    quality: dict[str, Any] | None = Field(default=None, sa_type=JSON)
    created_at: int = Field(default_factory=now_us, sa_type=BigInteger)
    verified_at: int | None = Field(default=None, sa_type=BigInteger)
    # last: listings then never read the payload's pages
    payload: bytes = Field(sa_type=LargeBinary)


class Embedding(SQLModel, table=True):
    """A vector of one asset in one model's space; the key keeps spaces apart."""

    __tablename__ = "embedding"

    asset_id: int = Field(primary_key=True, foreign_key="asset.id", ondelete="CASCADE")
    model_id: int = Field(primary_key=True, foreign_key="codec_model.id")
    kind: str = Field(primary_key=True, sa_type=Text)
    dim: int
    vector: bytes = Field(sa_type=LargeBinary)  # float32, little-endian
