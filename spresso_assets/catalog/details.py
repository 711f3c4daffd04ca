"""Everything that the catalog knows about one sound, as plain data."""

from typing import Any

from sqlmodel import Session, col, select

from spresso_assets.catalog.columns import iso_utc
from spresso_assets.catalog.measured import measured
from spresso_assets.catalog.models import Asset, AssetField, AssetTag, SourceFile, Tag, WatchRoot
from spresso_assets.catalog.precedence import RESOLVED_FIELDS
from spresso_assets.catalog.renditions import list_renditions


def describe(session: Session, asset: Asset) -> dict[str, Any]:
    """The JSON form of one asset with all that hangs on it."""
    assert asset.id is not None
    files = session.exec(
        select(SourceFile, WatchRoot)
        .join(WatchRoot)
        .where(SourceFile.asset_id == asset.id)
        .order_by(col(SourceFile.id))
    ).all()
    fields = session.exec(select(AssetField).where(AssetField.asset_id == asset.id)).all()
    sources = {(field.field, field.value): field.source for field in fields}
    tags = session.exec(select(Tag.name).join(AssetTag).where(AssetTag.asset_id == asset.id).order_by(Tag.name)).all()
    known = {field: getattr(asset, field) for field in RESOLVED_FIELDS if getattr(asset, field) is not None}
    return {
        "uid": asset.uid,
        "audio_hash": asset.audio_hash,
        "frames": asset.frames,
        "duration_s": asset.duration,
        "sample_rate": asset.sample_rate,
        "channels": asset.channels,
        "bit_depth": asset.bit_depth,
        "container": asset.container,
        "flags": asset.flags,
        "loudness_db": asset.loudness,
        "added": iso_utc(asset.created_at),
        "fields": {name: {"value": value, "source": sources.get((name, value), "")} for name, value in known.items()},
        "tags": list(tags),
        "files": [
            {"root": root.name, "path": file.rel_path, "state": file.state, "bytes": file.size} for file, root in files
        ],
        "renditions": [
            {
                "profile": profile.name,
                "bytes": rendition.payload_bytes,
                "kbps": rendition.actual_kbps,
                "seed": rendition.decode_seed,
                "quality": measured(rendition.quality),
                "origin": rendition.origin,
                "generation": rendition.generation,
                "made": iso_utc(rendition.created_at),
            }
            for rendition, profile in list_renditions(session, asset.id)
        ],
        "peaks": list(memoryview(asset.peaks).cast("b")) if asset.peaks else [],
    }
