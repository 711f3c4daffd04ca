"""What the place of a file says about its sound: tags from its folders, UCS fields from its name.

Neither needs the file to be read, so both follow a file that was only moved or renamed.
"""

from __future__ import annotations

from pathlib import PurePosixPath

from sqlalchemy import delete, select
from sqlmodel import Session, col

from spresso_assets.audio.ucs import parse_ucs
from spresso_assets.catalog.asset_text import refresh_text
from spresso_assets.catalog.assets import resolve
from spresso_assets.catalog.editing import add_tags, tag_key
from spresso_assets.catalog.models import Asset, AssetField, AssetTag, SourceFile, Tag, WatchRoot

FOLDER = "folder"
ACTOR = "scan"


def follow_move(session: Session, file: SourceFile) -> None:
    """Bring an asset in line with the new path of one of its files; what people edited stays as it is."""
    if file.asset_id is None:
        return
    session.flush()
    session.execute(
        delete(AssetField).where(col(AssetField.source_file_id) == file.id, col(AssetField.source) == "ucs_filename")
    )
    for stated in parse_ucs(PurePosixPath(file.rel_path).name):
        session.add(
            AssetField(
                asset_id=file.asset_id,
                source_file_id=file.id,
                field=stated.field,
                source=stated.source,
                value=stated.value,
            )
        )
    resolve(session, file.asset_id)
    tag_by_folders(session, file.asset_id)


def tag_by_folders(session: Session, asset_id: int) -> None:
    """Make an asset's folder tags the folders of its files below roots that ask for it. Tags of people stay."""
    paths = session.execute(
        select(col(SourceFile.rel_path))
        .join(WatchRoot, col(SourceFile.root_id) == col(WatchRoot.id))
        .where(
            col(SourceFile.asset_id) == asset_id,
            col(SourceFile.state) != "moved",
            col(WatchRoot.tags_from_dirs).is_(True),
        )
        .order_by(col(SourceFile.id))
    ).scalars()
    # A name with bytes that are no text cannot be typed as a tag.
    names = [name for path in paths for name in PurePosixPath(path).parts[:-1] if name.isprintable()]
    wanted = {tag_key(name) for name in names}
    links = session.execute(
        select(AssetTag, col(Tag.name_key))
        .join(Tag, col(AssetTag.tag_id) == col(Tag.id))
        .where(col(AssetTag.asset_id) == asset_id, col(AssetTag.source) == FOLDER)
    ).all()
    stale = [link for link, key in links if key not in wanted]
    for link in stale:
        session.delete(link)
    added = add_tags(session, session.get_one(Asset, asset_id), names, ACTOR, FOLDER)
    if stale and not added:
        refresh_text(session, asset_id)


def tag_root(session: Session, root_id: int) -> None:
    """Apply a changed setting to all sounds of a root."""
    session.flush()
    found = session.execute(
        select(col(SourceFile.asset_id))
        .where(col(SourceFile.root_id) == root_id, col(SourceFile.asset_id).is_not(None))
        .distinct()
    )
    for asset_id in found.scalars().all():
        assert asset_id is not None
        tag_by_folders(session, asset_id)
