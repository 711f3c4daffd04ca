"""A sentence or two about each sound, made of its metadata: what a text-conditioned model is told about it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from sqlmodel import Session, col, select

from spresso_assets.catalog.asset_text import CAMEL_HUMP, SEPARATORS
from spresso_assets.catalog.models import Asset, SourceFile, WatchRoot

TAKE = re.compile(r"(?:\s+(?:take\s*)?[#(]?\d{1,4}\)?)+$", re.IGNORECASE)
BETWEEN_KEYWORDS = re.compile(r"[,;|\n]+")


def captions(session: Session, root: str | None = None) -> Iterator[tuple[str, str, str]]:
    """(root's name, path below it, caption) of every sound file that is present, in a fixed order.

    Args:
        root: only files of this watch root.
    """
    query = (
        select(WatchRoot.name, SourceFile.rel_path, Asset)
        .join(SourceFile, col(SourceFile.root_id) == col(WatchRoot.id))
        .join(Asset, col(Asset.id) == col(SourceFile.asset_id))
        .where(col(SourceFile.state) == "present", col(Asset.deleted_at).is_(None))
        .order_by(col(WatchRoot.name), col(SourceFile.path_key), col(SourceFile.id))
    )
    if root is not None:
        query = query.where(col(WatchRoot.name) == root)
    for name, path, asset in session.exec(query):
        yield name, path, caption(asset, path)


def caption(asset: Asset, path: str) -> str:
    """What the fields say, most telling first and nothing twice; '' if they say nothing.

    Name (title, else the UCS name), description, category, keywords; the file name only where none of these is known.
    """
    said: set[str] = set()
    parts = [
        _new(_phrase(asset.title or asset.fx_name or ""), said),
        _new(" ".join((asset.description or "").split()), said),
        _new(_category(asset), said),
        ", ".join(filter(None, (_new(_phrase(k), said) for k in BETWEEN_KEYWORDS.split(asset.keywords or "")))),
    ]
    sentences = [p.strip(" .") for p in parts if p.strip(" .")]
    if not sentences:
        stem = path.rpartition("/")[2]
        sentences = [_phrase(stem.rpartition(".")[0] or stem)]
    return ". ".join(s[0].upper() + s[1:] for s in sentences if any(c.isalpha() for c in s))


def _category(asset: Asset) -> str:
    """'doors, wood' from the category's names, else 'door wood' from an identifier such as DOORWood."""
    named = _joined([asset.category, asset.subcategory])
    return named.lower() or _phrase(asset.cat_id or "").lower() or _joined([asset.user_category]).lower()


def _joined(names: Sequence[str | None]) -> str:
    return ", ".join(dict.fromkeys(_phrase(n) for n in names if n))


def _phrase(name: str) -> str:
    """A name as people write files, 'DoorSlam_Heavy-01', as words without its take number: 'Door Slam Heavy'."""
    words = [" ".join(CAMEL_HUMP.split(word)) for word in SEPARATORS.split(name) if word]
    return TAKE.sub("", " ".join(words)).strip()


def _new(part: str, said: set[str]) -> str:
    """The part, or '' if earlier parts hold all its words; its words then count as said."""
    words = {w.casefold() for w in re.findall(r"\w+", part)}
    if words <= said:
        return ""
    said |= words
    return part
