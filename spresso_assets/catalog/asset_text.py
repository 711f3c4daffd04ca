"""The words of an asset that bare-word search sees. The database keeps its full-text indices in step with them."""

import re
import unicodedata
from collections.abc import Sequence
from types import ModuleType

from sqlalchemy import Executable, Integer, Text, bindparam, cast, delete, literal, select, union_all
from sqlalchemy.dialects import postgresql, sqlite
from sqlmodel import Session, SQLModel, col

from spresso_assets.catalog.models import Asset, AssetField, AssetTag, AssetText, SourceFile, Tag
from spresso_assets.catalog.precedence import NAME_FIELDS, RESOLVED_FIELDS, UNSEARCHED_FIELDS
from spresso_assets.catalog.stored_paths import path_from_stored

SEPARATORS = re.compile(r"[\s_\-./\\+]+")
# Paths, tags and fields without a column of their own, asked for at once; in the order in which they were added.
PATH, TAG, FIELD = range(3)
OF_ASSET = bindparam("asset", type_=Integer)
WORDS: Executable = union_all(
    select(
        literal(PATH).label("kind"), col(SourceFile.id).label("place"), cast(SourceFile.rel_path, Text).label("text")
    ).where(col(SourceFile.asset_id) == OF_ASSET, col(SourceFile.state) != "moved"),
    select(literal(TAG), col(Tag.id), col(Tag.name))
    .join(AssetTag, col(AssetTag.tag_id) == col(Tag.id))
    .where(col(AssetTag.asset_id) == OF_ASSET),
    select(literal(FIELD), col(AssetField.id), col(AssetField.value)).where(
        col(AssetField.asset_id) == OF_ASSET, col(AssetField.field).not_in(RESOLVED_FIELDS)
    ),
).order_by("kind", "place")
TEXTS = SQLModel.metadata.tables[str(AssetText.__tablename__)]


def _put_text(dialect: ModuleType) -> Executable:
    put = dialect.insert(TEXTS)
    words = {name: put.excluded[name] for name in ("names", "words", "tags", "paths")}
    statement: Executable = put.on_conflict_do_update(index_elements=["asset_id"], set_=words)
    return statement


PUT_TEXT = {"sqlite": _put_text(sqlite), "postgresql": _put_text(postgresql)}
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
    connection = session.connection()
    if asset.deleted_at is not None:
        connection.execute(delete(TEXTS).where(TEXTS.c.asset_id == asset_id))
        return
    connection.execute(PUT_TEXT[connection.dialect.name], {"asset_id": asset_id, **_collect(session, asset)})


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
    found: tuple[list[str], list[str], list[str]] = ([], [], [])
    for kind, _, text in session.connection().execute(WORDS, {"asset": asset.id}):
        found[kind].append(text)
    paths, tags, extra = found
    folders, stems = [], []
    for path in map(path_from_stored, paths):
        folder, _, name = path.rpartition("/")
        folders.append(folder)
        stems.append(name.rpartition(".")[0] or name)
    resolved = [getattr(asset, field) for field in RESOLVED_FIELDS if field not in (*NAME_FIELDS, *UNSEARCHED_FIELDS)]
    return {
        "names": _joined([*(getattr(asset, field) for field in NAME_FIELDS), *stems]),
        "words": _joined([*resolved, *extra]),
        "tags": _joined(sorted(tags)),
        "paths": _joined(folders),
    }


def _joined(parts: Sequence[str | None]) -> str:
    """Distinct parts, one per line, in reading order."""
    return "\n".join(dict.fromkeys(normalise(part) for part in parts if part))
