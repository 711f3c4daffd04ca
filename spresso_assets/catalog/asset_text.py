"""The words of an asset that bare-word search sees. The database keeps its full-text indices in step with them."""

import re
import unicodedata
from collections.abc import Sequence

from sqlalchemy import delete, select
from sqlmodel import Session, col

from spresso_assets.catalog.models import Asset, AssetField, AssetTag, AssetText, SourceFile, Tag
from spresso_assets.catalog.precedence import NAME_FIELDS, RESOLVED_FIELDS, UNSEARCHED_FIELDS

SEPARATORS = re.compile(r"[\s_\-./\\+]+")
CAMEL_HUMP = re.compile(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


def normalise(text: str) -> str:
    """Names as people write them -> words: ``DOORWood_DoorSlam-01`` is also found as door, wood and slam.

    Lone surrogates and NUL, which a database may refuse, are dropped.
    """
    text = unicodedata.normalize("NFC", "".join(c for c in text if c != "\0" and not "\ud800" <= c <= "\udfff"))
    words: list[str] = []
    for word in SEPARATORS.split(text):
        words.append(word)
        humps = CAMEL_HUMP.split(word)
        if len(humps) > 1:
            words.extend(humps)
    return " ".join(filter(None, words))


def refresh_text(session: Session, asset_id: int) -> None:
    """Make the searchable text of one asset match its fields, tags and paths. Call after changing any of them."""
    session.flush()
    asset = session.get_one(Asset, asset_id)
    stored = session.get(AssetText, asset_id)
    if asset.deleted_at is not None:
        if stored is not None:
            session.delete(stored)
        return
    wanted = _collect(session, asset)
    if stored is None:
        session.add(AssetText(asset_id=asset_id, **wanted))
    else:
        stored.sqlmodel_update(wanted)
    session.flush()  # plain SQL, such as a search in this very transaction, must see it


def rebuild_text(session: Session) -> int:
    """Write the text of all assets anew; returns their number. For after a change of the rules above."""
    session.connection().execute(delete(AssetText))
    session.expire_all()
    ids = session.connection().execute(select(col(Asset.id)).order_by(col(Asset.id))).scalars().all()
    for asset_id in ids:
        assert asset_id is not None
        refresh_text(session, asset_id)
    return len(ids)


def _collect(session: Session, asset: Asset) -> dict[str, str]:
    assert asset.id is not None
    connection = session.connection()
    paths = connection.execute(
        select(col(SourceFile.rel_path))
        .where(col(SourceFile.asset_id) == asset.id, col(SourceFile.state) != "moved")
        .order_by(col(SourceFile.id))
    ).scalars()
    folders, stems = [], []
    for path in paths:
        folder, _, name = path.rpartition("/")
        folders.append(folder)
        stems.append(name.rpartition(".")[0] or name)
    tags = connection.execute(
        select(col(Tag.name)).join(AssetTag).where(col(AssetTag.asset_id) == asset.id).order_by(col(Tag.name))
    ).scalars()
    extra = connection.execute(
        select(col(AssetField.value))
        .where(col(AssetField.asset_id) == asset.id, col(AssetField.field).not_in(RESOLVED_FIELDS))
        .order_by(col(AssetField.id))
    ).scalars()
    resolved = [getattr(asset, field) for field in RESOLVED_FIELDS if field not in (*NAME_FIELDS, *UNSEARCHED_FIELDS)]
    return {
        "names": _joined([*(getattr(asset, field) for field in NAME_FIELDS), *stems]),
        "words": _joined([*resolved, *extra]),
        "tags": _joined(list(tags)),
        "paths": _joined(folders),
    }


def _joined(parts: Sequence[str | None]) -> str:
    """Distinct parts, one per line, in reading order."""
    return "\n".join(dict.fromkeys(normalise(part) for part in parts if part))
