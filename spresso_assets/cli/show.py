"""`spresso show`: everything that the catalog knows about a sound."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from spresso_assets.cli import format
from spresso_assets.cli.state import state_of
from spresso_assets.errors import SpressoError

if TYPE_CHECKING:
    from sqlmodel import Session

    from spresso_assets.catalog.models import Asset


def show(
    ctx: typer.Context,
    ids: Annotated[list[str], typer.Argument(metavar="ID...", help="Id of a sound, or its first digits.")],
    peaks: Annotated[
        bool, typer.Option("--peaks", help="Add the outline to --json: int8 pairs (lowest, highest), oldest first.")
    ] = False,
) -> None:
    """Show sounds: their files, what is known about them and from where, and what they became."""
    state = state_of(ctx)
    from spresso_assets.catalog.assets import find_asset

    records = []
    with state.catalog().read() as session:
        for id_ in ids:
            try:
                records.append(describe(session, find_asset(session, id_)))
            except SpressoError as error:
                if len(ids) == 1:
                    raise
                state.out.failure(id_, error)

    def text() -> list[str]:
        return [line for n, record in enumerate(records) for line in ([""] if n else []) + lines_of(record)]

    data = records if peaks else [{key: value for key, value in r.items() if key != "peaks"} for r in records]
    state.out.result(data, text)


def describe(session: Session, asset: Asset) -> dict[str, Any]:
    """The JSON form of one asset with all that hangs on it."""
    from sqlmodel import col, select

    from spresso_assets.catalog.columns import iso_utc
    from spresso_assets.catalog.models import AssetField, AssetTag, SourceFile, Tag, WatchRoot
    from spresso_assets.catalog.precedence import RESOLVED_FIELDS
    from spresso_assets.catalog.renditions import list_renditions

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
                "quality": rendition.quality,
                "made": iso_utc(rendition.created_at),
            }
            for rendition, profile in list_renditions(session, asset.id)
        ],
        "peaks": list(memoryview(asset.peaks).cast("b")) if asset.peaks else [],
    }


def lines_of(record: dict[str, Any]) -> list[str]:
    """The record as a person reads it."""
    from spresso_assets.cli.waveform import outline

    size = sum(file["bytes"] for file in record["files"][:1])
    facts = [
        format.length(record["duration_s"]),
        f"{record['sample_rate']} Hz",
        f"{record['channels']} ch",
        f"{record['bit_depth']} bit" if record["bit_depth"] else "",
        str(record["container"] or ""),
        f"{record['loudness_db']:.1f} dB" if record["loudness_db"] is not None else "",
        ", ".join(record["flags"]),
    ]
    lines = [f"{record['uid'][:8]}  " + "  ".join(filter(None, facts))]
    if record["peaks"]:
        lines.append("  " + outline(bytes(value & 0xFF for value in record["peaks"])))
    for name, field in record["fields"].items():
        lines.append(f"  {name.ljust(16)} {format.printable(str(field['value']))}  [{field['source']}]")
    if record["tags"]:
        lines.append(f"  {'tags'.ljust(16)} {', '.join(map(format.printable, record['tags']))}")
    for file in record["files"]:
        where = format.printable(f"{file['root']}/{file['path']}")
        lines.append(f"  {'file'.ljust(16)} {where}  {format.size(file['bytes'])}  {file['state']}")
    for made in record["renditions"]:
        ratio = f"  1:{size / made['bytes']:.0f}" if size and made["bytes"] else ""
        became = f"{made['profile']}  {format.size(made['bytes'])}  {format.kbps(made['kbps'])}{ratio}"
        lines.append(f"  {'encoded'.ljust(16)} {became}")
    if not record["renditions"]:
        lines.append(f"  {'encoded'.ljust(16)} not yet: spresso encode id:{record['uid'][:8]}")
    return lines
