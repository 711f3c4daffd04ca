"""What sounds are: assets by decoded audio, their metadata with provenance, tags, collections and the search text."""

from sqlalchemy import JSON, BigInteger, Index, LargeBinary, Text, UniqueConstraint, text
from sqlmodel import Field, SQLModel

from spresso_assets.catalog.columns import now_us


class Asset(SQLModel, table=True):
    """One sound, identified by its decoded audio; copies, moves and retags are the same asset.

    The descriptive columns are *resolved*: for each field the best value in `asset_field` by source precedence.
    Write them through `catalog.assets.resolve`, never directly.
    """

    __tablename__ = "asset"

    id: int | None = Field(default=None, primary_key=True)
    # the first 32 digits of the hash below: the same sound has the same public id in every catalog
    uid: str = Field(unique=True, sa_type=Text)
    # 'pcm-sha256:…' over rate, channels and samples of lossless files; 'bytes-sha256:…' of lossy ones, so that a
    # decoder update cannot change identity
    audio_hash: str = Field(unique=True, sa_type=Text)
    frames: int = Field(sa_type=BigInteger)  # samples per channel
    duration: float = Field(index=True)  # seconds
    sample_rate: int
    channels: int
    channel_layout: str | None = Field(default=None, sa_type=Text)
    bit_depth: int | None = None
    container: str | None = Field(default=None, sa_type=Text)
    flags: list[str] = Field(default_factory=list, sa_type=JSON)
    loudness: float | None = None  # dB
    # resolved metadata; names are the sound-effects trade's own
    fx_name: str | None = Field(default=None, sa_type=Text)
    title: str | None = Field(default=None, sa_type=Text)
    description: str | None = Field(default=None, sa_type=Text)
    keywords: str | None = Field(default=None, sa_type=Text)
    cat_id: str | None = Field(default=None, index=True, sa_type=Text)
    category: str | None = Field(default=None, sa_type=Text)
    subcategory: str | None = Field(default=None, sa_type=Text)
    user_category: str | None = Field(default=None, sa_type=Text)
    vendor_category: str | None = Field(default=None, sa_type=Text)
    creator_id: str | None = Field(default=None, sa_type=Text)
    source_id: str | None = Field(default=None, sa_type=Text)
    user_data: str | None = Field(default=None, sa_type=Text)
    library: str | None = Field(default=None, index=True, sa_type=Text)
    manufacturer: str | None = Field(default=None, sa_type=Text)
    designer: str | None = Field(default=None, sa_type=Text)
    microphone: str | None = Field(default=None, sa_type=Text)
    mic_perspective: str | None = Field(default=None, sa_type=Text)
    rec_medium: str | None = Field(default=None, sa_type=Text)
    rec_type: str | None = Field(default=None, sa_type=Text)
    location: str | None = Field(default=None, sa_type=Text)
    notes: str | None = Field(default=None, sa_type=Text)
    track_year: str | None = Field(default=None, sa_type=Text)
    bext_originator: str | None = Field(default=None, sa_type=Text)
    bext_originator_ref: str | None = Field(default=None, sa_type=Text)
    bext_date: str | None = Field(default=None, sa_type=Text)
    bext_time_reference: str | None = Field(default=None, sa_type=Text)
    umid: str | None = Field(default=None, sa_type=Text)
    rating: str | None = Field(default=None, sa_type=Text)
    created_at: int = Field(default_factory=now_us, index=True, sa_type=BigInteger)
    updated_at: int = Field(default_factory=now_us, index=True, sa_type=BigInteger)
    deleted_at: int | None = Field(default=None, sa_type=BigInteger)
    # last: SQLite then reads the columns above without touching overflow pages
    peaks: bytes | None = Field(default=None, sa_type=LargeBinary)  # int8 (min, max) pairs, at most 512


class AssetField(SQLModel, table=True):
    """One value for one field from one source. Files with equal sound may carry different tags: each keeps its own."""

    __tablename__ = "asset_field"
    __table_args__ = (
        UniqueConstraint("asset_id", "source_file_id", "field", "source"),
        # NULLs never collide in a unique constraint: a person's edit (no file) needs an index of its own
        Index(
            "uq_asset_field_no_file",
            "asset_id",
            "field",
            "source",
            unique=True,
            sqlite_where=text("source_file_id IS NULL"),
            postgresql_where=text("source_file_id IS NULL"),
        ),
        Index("ix_asset_field_source_file_id", "source_file_id"),
    )

    id: int | None = Field(default=None, primary_key=True)
    asset_id: int = Field(foreign_key="asset.id", ondelete="CASCADE")
    source_file_id: int | None = Field(default=None, foreign_key="source_file.id", ondelete="CASCADE")
    field: str = Field(sa_type=Text)
    source: str = Field(sa_type=Text)
    value: str = Field(sa_type=Text)
    confidence: float | None = None
    at: int = Field(default_factory=now_us, sa_type=BigInteger)


class RawChunk(SQLModel, table=True):
    """A metadata chunk of a source file, byte for byte, so that an export can give it back."""

    __tablename__ = "raw_chunk"

    source_file_id: int = Field(primary_key=True, foreign_key="source_file.id", ondelete="CASCADE")
    position: int = Field(primary_key=True)
    chunk_id: str = Field(sa_type=Text)
    content: bytes = Field(sa_type=LargeBinary)


class Tag(SQLModel, table=True):
    """A word that people put on sounds. ``name_key`` (casefolded) is what makes two spellings one tag."""

    __tablename__ = "tag"

    id: int | None = Field(default=None, primary_key=True)
    name: str = Field(sa_type=Text)
    name_key: str = Field(unique=True, sa_type=Text)


class AssetTag(SQLModel, table=True):
    __tablename__ = "asset_tag"
    __table_args__ = (Index("ix_asset_tag_tag_id", "tag_id"),)

    asset_id: int = Field(primary_key=True, foreign_key="asset.id", ondelete="CASCADE")
    tag_id: int = Field(primary_key=True, foreign_key="tag.id", ondelete="CASCADE")
    source: str = Field(default="user", sa_type=Text)


class Collection(SQLModel, table=True):
    """A named query (``smart``) or a named set of assets (``static``)."""

    __tablename__ = "collection"

    id: int | None = Field(default=None, primary_key=True)
    name: str = Field(unique=True, sa_type=Text)
    kind: str = Field(default="smart", sa_type=Text)
    query: str | None = Field(default=None, sa_type=Text)
    created_at: int = Field(default_factory=now_us, sa_type=BigInteger)


class CollectionItem(SQLModel, table=True):
    __tablename__ = "collection_item"

    collection_id: int = Field(primary_key=True, foreign_key="collection.id", ondelete="CASCADE")
    asset_id: int = Field(primary_key=True, foreign_key="asset.id", ondelete="CASCADE")


class AssetText(SQLModel, table=True):
    """The words that search sees, one row per live asset; the full-text indices are derived from this table alone."""

    __tablename__ = "asset_text"

    asset_id: int = Field(primary_key=True, foreign_key="asset.id", ondelete="CASCADE")
    names: str = Field(default="", sa_type=Text)  # what the sound is called
    words: str = Field(default="", sa_type=Text)  # description, keywords, category and every other field
    tags: str = Field(default="", sa_type=Text)
    paths: str = Field(default="", sa_type=Text)  # folders and file names
