"""Find sounds: bare words over stemmed and trigram indices, fields, ranges, negation; best matches first."""

import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from spresso_assets.catalog.conditions import compile_query, source_of
from spresso_assets.catalog.grammar import Query, parse
from spresso_assets.catalog.pages import Page, number_up_to
from spresso_assets.catalog.pages import page as short_way
from spresso_assets.catalog.rows import Rows, as_rows
from spresso_assets.catalog.sorting import WALKED, order_named
from spresso_assets.catalog.stored_paths import path_from_stored

if TYPE_CHECKING:
    from sqlmodel import Session

COUNTED_WITHIN_S = 0.05  # after so long a search ends, whether the number of matches is known or not


@dataclass
class AssetHit:
    """One found sound, with what a table of results shows."""

    id: int
    uid: str
    name: str
    cat_id: str | None
    category: str | None
    subcategory: str | None
    description: str | None
    duration_s: float
    channels: int
    sample_rate: int
    flags: list[str]
    root: str = ""
    path: str = ""  # relative to the root
    full_path: str = ""
    file_state: str = ""
    profiles: list[str] = field(default_factory=list)
    tags: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """For JSON; without the row id, which means nothing outside."""
        return {key: value for key, value in asdict(self).items() if key != "id"}


@dataclass(frozen=True)
class Found:
    """One page of hits. ``total`` sounds match, or at least so many unless ``exact``."""

    hits: list[AssetHit]
    total: int
    exact: bool


def find(
    source: "Session | Rows",
    query: str | Query,
    limit: int | None = 50,
    offset: int = 0,
    sort: str | None = None,
    most: int = 1000,
) -> Found:
    """As `search`, with the number of matches as far as it is to be had at once: nobody waits for "of 283,114".

    Args:
        most: beyond so many they are not counted.
    """
    rows, parsed = as_rows(source), _parsed(query)
    began = time.monotonic()
    page = _page(rows, parsed, limit, offset, sort)
    hits = _hits(rows, page.ids)
    left_s = began + COUNTED_WITHIN_S - time.monotonic()
    if page.exact or page.at_least >= most or left_s <= 0:
        return Found(hits, page.at_least, page.exact)
    try:
        with rows.within(left_s):
            number = _count_up_to(rows, parsed, page, most + 1)
    except TimeoutError:
        return Found(hits, page.at_least, exact=False)
    return Found(hits, max(page.at_least, min(most, number)), exact=number <= most)


def search(
    source: "Session | Rows", query: str | Query, limit: int | None = 50, offset: int = 0, sort: str | None = None
) -> list[AssetHit]:
    """Sounds that match a query (grammar in `catalog.grammar`; '' matches all).

    Args:
        source: a session, or the lighter `rows.read_rows`.
        query: as people write it; or read already, which is how programs add terms of their own to it.
        limit: None for all.
        sort: a field's name, with ``-`` in front for descending; ``name``; None for relevance, or for order of
            arrival where the query has no bare words.

    Raises:
        SpressoError: ``bad_query``, ``unknown_field`` (exit 2).
    """
    rows = as_rows(source)
    return _hits(rows, _page(rows, _parsed(query), limit, offset, sort).ids)


def _hits(rows: Rows, ids: list[int]) -> list[AssetHit]:
    place = {asset_id: at for at, asset_id in enumerate(ids)}
    found: list[tuple[Any, ...]] = []
    for chunk in _chunks(ids):
        found += rows.rows(
            f"SELECT asset.id, asset.uid, coalesce(asset.fx_name, asset.title, ''), asset.cat_id, asset.category, "
            f"asset.subcategory, asset.description, asset.duration, asset.channels, asset.sample_rate, asset.flags "
            f"FROM asset WHERE asset.id IN ({chunk})",
            {},
        )
    found.sort(key=lambda row: place[row[0]])
    hits = [AssetHit(*(*row[:10], _flags(row[10]))) for row in found]
    _add_files(rows, hits)
    _add_lists(rows, hits)
    for hit in hits:
        hit.name = hit.name or hit.path.rpartition("/")[2].rpartition(".")[0]
    return hits


def _parsed(query: str | Query) -> Query:
    return parse(query) if isinstance(query, str) else query


def _page(rows: Rows, query: Query, limit: int | None, offset: int, sort: str | None) -> Page:
    """The hits to show, in order."""
    order = order_named(sort) if sort else None
    if limit is not None and (short := short_way(rows, query, limit, offset, order)) is not None:
        return short
    compiled = compile_query(query, rows.dialect)
    by = order.sql if order else ", ".join(filter(None, [compiled.rank, "asset.id"]))
    window = f"LIMIT {int(limit)}" if limit is not None else ("LIMIT -1" if rows.dialect == "sqlite" else "")
    where = compiled.where
    if rows.dialect == "sqlite" and limit is not None and by == "asset.id":
        # SQLite would collect every match by the index of a range and sort them, for the first fifty
        for column in WALKED:
            where = where.replace(f"{column} ", f"+{column} ")
    found = rows.rows(
        f"SELECT asset.id {source_of(f'{where} {by}')} {compiled.rank_join} "
        f"WHERE asset.deleted_at IS NULL AND ({where}) "
        f"ORDER BY {by} {window} OFFSET {int(offset)}",
        compiled.params,
    )
    ids = [row[0] for row in found]
    ended = (limit is None or len(ids) < limit) and (bool(ids) or not offset)
    return Page(ids, offset + len(ids) if ids else 0, exact=ended)


def _count_up_to(rows: Rows, query: Query, page: Page, most: int) -> int:
    if (number := number_up_to(rows, query, page, most)) is not None:
        return number
    compiled = compile_query(query, rows.dialect)
    statement = f"SELECT count(*) FROM ({_ids_sql('asset.id', compiled.where)} LIMIT {int(most)}) AS found"
    return int(rows.rows(statement, compiled.params)[0][0])


def count(source: "Session | Rows", query: str) -> int:
    """How many sounds match."""
    rows = as_rows(source)
    compiled = compile_query(parse(query), rows.dialect)
    return int(rows.rows(_ids_sql("count(*)", compiled.where), compiled.params)[0][0])


def search_ids(source: "Session | Rows", query: str, limit: int | None = None) -> list[int]:
    """Row ids of the sounds that match, in order of arrival: for commands that act on a query."""
    rows = as_rows(source)
    compiled = compile_query(parse(query), rows.dialect)
    window = f" LIMIT {int(limit)}" if limit is not None else ""
    statement = _ids_sql("asset.id", compiled.where) + " ORDER BY asset.id" + window
    return [row[0] for row in rows.rows(statement, compiled.params)]


def _ids_sql(what: str, where: str) -> str:
    return f"SELECT {what} {source_of(where)} WHERE asset.deleted_at IS NULL AND ({where})"


def _flags(stored: Any) -> list[str]:
    return list(json.loads(stored)) if isinstance(stored, str) else list(stored or [])


def _add_files(rows: Rows, hits: Sequence[AssetHit]) -> None:
    """The best file of each sound: present before anything else, then the one that was seen first."""
    by_id = {hit.id: hit for hit in hits}
    for chunk in _chunks(list(by_id)):
        found = rows.rows(
            f"SELECT f.asset_id, w.name, w.path, f.rel_path, f.state FROM source_file f "
            f"JOIN watch_root w ON w.id = f.root_id WHERE f.state <> 'moved' AND f.asset_id IN ({chunk}) "
            f"ORDER BY CASE f.state WHEN 'present' THEN 0 ELSE 1 END, f.id",
            {},
        )
        for asset_id, root, root_path, rel_path, state in found:
            hit = by_id[asset_id]
            if not hit.path:
                hit.root, hit.path, hit.file_state = root, path_from_stored(rel_path), state
                hit.full_path = f"{path_from_stored(root_path).rstrip('/')}/{hit.path}"


def _add_lists(rows: Rows, hits: Sequence[AssetHit]) -> None:
    by_id = {hit.id: hit for hit in hits}
    for chunk in _chunks(list(by_id)):
        profiles = rows.rows(
            f"SELECT r.asset_id, p.name FROM rendition r JOIN encode_profile p ON p.id = r.profile_id "
            f"WHERE r.status = 'ready' AND r.asset_id IN ({chunk}) ORDER BY p.nominal_kbps DESC",
            {},
        )
        for asset_id, name in profiles:
            if name not in by_id[asset_id].profiles:
                by_id[asset_id].profiles.append(name)
        tags = rows.rows(
            f"SELECT x.asset_id, t.name FROM asset_tag x JOIN tag t ON t.id = x.tag_id "
            f"WHERE x.asset_id IN ({chunk}) ORDER BY t.name_key",
            {},
        )
        for asset_id, name in tags:
            by_id[asset_id].tags.append(name)


def _chunks(ids: list[int]) -> list[str]:
    """Row ids as SQL lists of at most 500."""
    return [", ".join(str(int(item)) for item in ids[at : at + 500]) for at in range(0, len(ids), 500)]
