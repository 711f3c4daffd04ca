"""What people change: field values and tags, each with an entry in the history that allows an undo."""

import unicodedata
from collections.abc import Iterable
from typing import Any

from sqlalchemy import delete, select
from sqlmodel import Session, col

from spresso_assets.catalog.asset_text import refresh_text
from spresso_assets.catalog.assets import resolve
from spresso_assets.catalog.models import Asset, AssetField, AssetTag, EventLog, Tag
from spresso_assets.catalog.precedence import RESOLVED_FIELDS
from spresso_assets.errors import ExitCode, SpressoError


def set_field(session: Session, asset: Asset, field: str, value: str | None, actor: str) -> bool:
    """Set one field of one asset for good: no rescan changes it. None takes the edit back.

    Returns:
        whether the asset now shows another value.

    Raises:
        SpressoError: ``unknown_field`` (exit 2).
    """
    if field not in RESOLVED_FIELDS:
        raise SpressoError(
            f"'{field}' is not a field that can be edited",
            code="unknown_field",
            hint=f"Fields: {', '.join(RESOLVED_FIELDS)}",
            exit_code=ExitCode.USAGE,
        )
    assert asset.id is not None
    before = getattr(asset, field)
    session.connection().execute(
        delete(AssetField).where(
            col(AssetField.asset_id) == asset.id, col(AssetField.field) == field, col(AssetField.source) == "user"
        )
    )
    if value is not None:
        session.add(AssetField(asset_id=asset.id, field=field, source="user", value=value))
    resolve(session, asset.id)
    after = getattr(asset, field)
    if before != after:
        log_event(session, actor, "edit", "asset", asset.uid, {field: before}, {field: after})
    return bool(before != after)


def tag_key(name: str) -> str:
    """What makes two spellings one tag."""
    return unicodedata.normalize("NFC", name).strip().casefold()


def add_tags(session: Session, asset: Asset, names: Iterable[str], actor: str, source: str = "user") -> list[str]:
    """Put tags on an asset; returns those that it did not have."""
    assert asset.id is not None
    added = []
    for name in names:
        key = tag_key(name)
        if not key:
            continue
        tag = session.execute(select(Tag).where(col(Tag.name_key) == key)).scalar_one_or_none()
        if tag is None:
            tag = Tag(name=name.strip(), name_key=key)
            session.add(tag)
            session.flush()
        assert tag.id is not None
        if session.get(AssetTag, (asset.id, tag.id)) is None:
            session.add(AssetTag(asset_id=asset.id, tag_id=tag.id, source=source))
            added.append(tag.name)
    if added:
        refresh_text(session, asset.id)
        log_event(session, actor, "tag", "asset", asset.uid, None, {"tags": added})
    return added


def remove_tags(session: Session, asset: Asset, names: Iterable[str], actor: str) -> list[str]:
    """Take tags off an asset; returns those that it had."""
    assert asset.id is not None
    removed = []
    for key in {tag_key(name) for name in names}:
        tag = session.execute(select(Tag).where(col(Tag.name_key) == key)).scalar_one_or_none()
        link = session.get(AssetTag, (asset.id, tag.id)) if tag is not None else None
        if tag is not None and link is not None:
            session.delete(link)
            removed.append(tag.name)
    if removed:
        refresh_text(session, asset.id)
        log_event(session, actor, "untag", "asset", asset.uid, {"tags": removed}, None)
    return removed


def tags_of(session: Session, asset_id: int) -> list[str]:
    """Names of an asset's tags, in alphabetical order."""
    statement = (
        select(col(Tag.name)).join(AssetTag).where(col(AssetTag.asset_id) == asset_id).order_by(col(Tag.name_key))
    )
    return list(session.connection().execute(statement).scalars())


def log_event(
    session: Session,
    actor: str,
    verb: str,
    object_kind: str,
    object_uid: str,
    before: dict[str, Any] | None,
    after: dict[str, Any] | None,
) -> None:
    """Add one line to the history."""
    session.add(
        EventLog(actor=actor, verb=verb, object_kind=object_kind, object_uid=object_uid, before=before, after=after)
    )
