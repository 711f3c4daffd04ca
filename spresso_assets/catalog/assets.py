"""Assets: sounds by their decoded audio. Linking files to them, resolving their metadata, finding them."""

from typing import Any

from sqlalchemy import bindparam, delete, func, insert, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlmodel import Session, SQLModel, col

from spresso_assets.catalog.asset_text import refresh_text
from spresso_assets.catalog.columns import now_us
from spresso_assets.catalog.models import Asset, AssetField, SourceFile
from spresso_assets.catalog.precedence import RANK, RESOLVED_FIELDS
from spresso_assets.errors import ExitCode, SpressoError

__all__ = ["find_asset", "link_source", "refresh_text", "resolve", "uid_of_hash"]

MAX_CHUNK_BYTES = 1 << 20
MIN_PREFIX = 3
# Every column's default, and statements: made once, as making them takes longer than running them.
NEW_ASSET = Asset(uid="", audio_hash="", frames=0, duration=0.0, sample_rate=0, channels=0).model_dump(exclude={"id"})
ASSETS, FIELDS, CHUNKS = (SQLModel.metadata.tables[name] for name in ("asset", "asset_field", "raw_chunk"))
ADD_ASSET = {
    dialect.name: module.insert(ASSETS).on_conflict_do_nothing(index_elements=["audio_hash"]).returning(ASSETS.c.id)
    for dialect, module in ((sqlite.dialect, sqlite), (postgresql.dialect, postgresql))
}
ADD_FIELDS, ADD_CHUNKS = insert(FIELDS), insert(CHUNKS)
FORGET_FIELDS = delete(FIELDS).where(FIELDS.c.source_file_id == bindparam("file"))
FORGET_CHUNKS = delete(CHUNKS).where(CHUNKS.c.source_file_id == bindparam("file"))
ASSET_OF_HASH = select(Asset).where(col(Asset.audio_hash) == bindparam("hash"))
OF_PREFIX = (
    select(Asset)
    .where(col(Asset.uid) >= bindparam("first"), col(Asset.uid) < bindparam("behind"), col(Asset.deleted_at).is_(None))
    .order_by(col(Asset.uid))
    .limit(6)
)
STATED = (
    select(col(AssetField.field), col(AssetField.source), col(AssetField.value), col(AssetField.source_file_id))
    .outerjoin(SourceFile, col(AssetField.source_file_id) == col(SourceFile.id))
    .where(col(AssetField.asset_id) == bindparam("asset"), func.coalesce(col(SourceFile.state), "") != "moved")
)


def uid_of_hash(audio_hash: str) -> str:
    """Public id of the sound with this hash, for example ``pcm-sha256:3f2a…`` -> ``3f2a…`` (32 digits)."""
    return audio_hash.rpartition(":")[2][:32]


def link_source(session: Session, source_file: SourceFile, probe: dict[str, Any]) -> tuple[Asset, str]:
    """Attach what a probe found to the catalog.

    Args:
        source_file: the row of the probed path, with the size and mtime that it was probed at.
        probe: `audio.probe.Probe` as a dict.

    Returns:
        the asset, and one of
        ``new``: a sound that the catalog did not have;
        ``linked``: a further copy of a known sound;
        ``moved``: a known sound whose other files have all vanished, so this is where it went;
        ``unchanged``: the same sound as before at this path (its metadata may be new);
        ``replaced``: another sound than before at this path; the former asset stays.
    """
    former_id = source_file.asset_id
    first_time = former_id is None and source_file.probed_size is None
    asset, created = _asset_of(session, probe)
    assert asset.id is not None and source_file.id is not None
    if former_id == asset.id:
        outcome = "unchanged"
    elif former_id is not None:
        outcome = "replaced"
    elif created:
        outcome = "new"
    else:
        outcome = "moved" if _retire_vanished(session, asset.id, source_file.id) else "linked"
    asset.deleted_at = None  # a sound that is found again is wanted again
    source_file.sqlmodel_update(
        {
            "asset_id": asset.id,
            "file_sha256": probe.get("file_sha256"),
            "container": probe.get("container"),
            "state": "present",
            "missing_since": None,
            "error_code": None,
            "error_message": None,
            "probed_size": source_file.size,
            "probed_mtime_ns": source_file.mtime_ns,
        }
    )
    session.add(source_file)
    _store_fields(session, asset.id, source_file.id, probe.get("fields") or [], first_time)
    _store_chunks(session, source_file.id, probe.get("raw_chunks") or [], first_time)
    resolve(session, asset.id)
    if former_id is not None and former_id != asset.id:
        resolve(session, former_id)
    return asset, outcome


def resolve(session: Session, asset_id: int) -> bool:
    """Choose the best value of every field and refresh the search text; returns whether a field changed.

    Sources rank as in `precedence.SOURCES`; among files the one that was seen first counts.
    """
    session.flush()
    asset = session.get_one(Asset, asset_id)
    rows = session.connection().execute(STATED, {"asset": asset_id})
    best: dict[str, tuple[tuple[int, int], str]] = {}
    for field, source, value, file_id in rows:
        rank = (RANK.get(source, len(RANK)), file_id or 0)
        if field not in best or rank < best[field][0]:
            best[field] = (rank, value)
    resolved = {field: best[field][1] if field in best else None for field in RESOLVED_FIELDS}
    changed = {field: value for field, value in resolved.items() if getattr(asset, field) != value}
    if changed:
        asset.sqlmodel_update({**changed, "updated_at": now_us()})
        session.add(asset)
    refresh_text(session, asset_id)
    return bool(changed)


def find_asset(session: Session, id_prefix: str) -> Asset:
    """The asset whose uid starts with ``id_prefix`` (at least 3 digits), like git's short hashes.

    Raises:
        SpressoError: ``asset_not_found`` (exit 4), ``ambiguous_id`` or ``id_too_short`` (exit 2).
    """
    prefix = id_prefix.strip().lower()
    if len(prefix) < MIN_PREFIX:
        raise SpressoError(
            f"'{id_prefix}' is too short for an id",
            code="id_too_short",
            hint=f"Give at least {MIN_PREFIX} of its digits",
            exit_code=ExitCode.USAGE,
        )
    # a range, which every database finds by its index; no id has a letter after f
    found = session.execute(OF_PREFIX, {"first": prefix, "behind": prefix + "g"}).scalars().all()
    if not found:
        raise SpressoError(
            f"No sound has an id that starts with '{id_prefix}'",
            code="asset_not_found",
            hint="'spresso search' shows the ids",
            exit_code=ExitCode.NOT_FOUND,
        )
    if len(found) > 1:
        candidates = ", ".join(asset.uid[: len(prefix) + 4] for asset in found)
        raise SpressoError(
            f"Several sounds have an id that starts with '{id_prefix}': {candidates}",
            code="ambiguous_id",
            hint="Give more of its digits",
            exit_code=ExitCode.USAGE,
        )
    return found[0]


def _asset_of(session: Session, probe: dict[str, Any]) -> tuple[Asset, bool]:
    """The asset of a probe's hash, made if need be; two workers that meet the same new sound make one."""
    audio_hash = probe["audio_hash"]
    values = NEW_ASSET | {
        "uid": uid_of_hash(audio_hash),
        "audio_hash": audio_hash,
        "frames": probe["frames"],
        "duration": probe["duration_s"],
        "sample_rate": probe["sample_rate"],
        "channels": probe["channels"],
        "channel_layout": probe.get("channel_layout"),
        "bit_depth": probe.get("bit_depth"),
        "container": probe.get("container"),
        "flags": list(probe.get("flags") or []),
        "loudness": probe.get("loudness_db"),
        "peaks": probe.get("peaks"),
        "created_at": now_us(),
        "updated_at": now_us(),
    }
    made = session.connection().execute(ADD_ASSET[session.get_bind().dialect.name], values)
    created = made.scalar_one_or_none() is not None
    return session.execute(ASSET_OF_HASH, {"hash": audio_hash}).scalar_one(), created


def _retire_vanished(session: Session, asset_id: int, new_file_id: int) -> bool:
    """If every other file of the asset has vanished, mark them as moved. Returns whether there was one."""
    others = session.execute(
        select(SourceFile).where(col(SourceFile.asset_id) == asset_id, col(SourceFile.id) != new_file_id)
    ).scalars().all()  # fmt: skip
    vanished = [file for file in others if file.state == "missing"]
    if not vanished or any(file.state not in ("missing", "moved") for file in others):
        return False
    for file in vanished:
        file.state = "moved"
        session.add(file)
    return True


def _store_fields(
    session: Session, asset_id: int, file_id: int, fields: list[dict[str, Any]], first_time: bool
) -> None:
    connection = session.connection()
    if not first_time:
        connection.execute(FORGET_FIELDS, {"file": file_id})
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    for item in fields:
        value = _clean(str(item["value"]))
        if value and item["source"] != "user":  # only people write as people
            rows.setdefault(
                (item["field"], item["source"]),
                {
                    "asset_id": asset_id,
                    "source_file_id": file_id,
                    "field": item["field"],
                    "source": item["source"],
                    "value": value,
                    "at": now_us(),
                },
            )
    if rows:
        connection.execute(ADD_FIELDS, list(rows.values()))


def _store_chunks(session: Session, file_id: int, chunks: list[tuple[str, bytes]], first_time: bool) -> None:
    connection = session.connection()
    if not first_time:
        connection.execute(FORGET_CHUNKS, {"file": file_id})
    rows = [
        {"source_file_id": file_id, "position": position, "chunk_id": _storable(chunk_id), "content": content}
        for position, (chunk_id, content) in enumerate(chunks)
        if len(content) <= MAX_CHUNK_BYTES
    ]
    if rows:
        connection.execute(ADD_CHUNKS, rows)


def _clean(text: str) -> str:
    return _storable(text).strip()


def _storable(text: str) -> str:
    """Without NUL and lone surrogates, which Postgres and UTF-8 refuse."""
    return "".join(c for c in text if c != "\0" and not "\ud800" <= c <= "\udfff")
