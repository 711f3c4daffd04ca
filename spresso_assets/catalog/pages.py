"""One page of a search, from an archive of any size: the shortest way to the first hits instead of all of them.

Full answers need every match: two index look-ups per word, and a rank for each hit. A page of fifty does not. Whole and
inflected words rank before parts of words anyway, so the index of words is asked first and alone; hits are ranked only
where there are few enough for rank to mean something; and what is rare drives the search for what is common. The hits
are those of `conditions.compile_query`, and a test holds both together.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from spresso_assets.catalog.conditions import (
    WEIGHTS,
    Compiled,
    compile_query,
    compile_terms,
    literal,
    source_of,
    stem_postgres,
)
from spresso_assets.catalog.grammar import Query, Term
from spresso_assets.catalog.rare_terms import all_matches, among, has_inside, is_inside, phrases
from spresso_assets.catalog.rows import Rows
from spresso_assets.catalog.sorting import Order

RANKED = 1_000  # hits up to which the best are put first; beyond, those that came first are
FEW = 20_000  # sounds up to which a term may drive the search for the others
SORTED = 3_000  # matches up to which they are collected and sorted
PARTS = ((0, 4_000), (4_000, 64_000), (64_000, None))  # row ids among which Postgres looks, one after the other
ALL = "1 = 1"


@dataclass(frozen=True)
class Page:
    """Row ids in order, and what was learnt on the way: ``at_least`` so many sounds match, or ``exact``ly so many.

    Attributes:
        by_words: whether more can only match by letters inside of words.
    """

    ids: list[int]
    at_least: int
    exact: bool
    by_words: bool = False


def page(rows: Rows, query: Query, limit: int, offset: int, order: Order | None = None) -> Page | None:
    """One page, best first or in an order; None where the full way must be gone."""
    if order is not None:
        return _in_order(rows, query, limit, offset, order)
    if (stems := _stems(rows, query)) is None:
        # words that have no stems here want to be ranked
        return None if any(map(_words, query)) else _first_or_all(rows, query, [], limit, offset)
    most = max(limit + offset, RANKED) + 1
    by_words = _with_the_words(rows, stems, most)
    if len(by_words) <= RANKED:
        found = _ranked(rows, stems, by_words)
    elif rows.dialect != "sqlite":
        found, _ = _in_parts(rows, f"({stems.match}) AND ({stems.rest})", stems.params, limit + offset)
    else:
        found = by_words if stems.rest == ALL else _ids(rows, stems, stems.row_id, most=limit + offset)
    if len(found) >= limit + offset:
        known = len(by_words) if stems.rest == ALL else len(found)
        return Page(found[offset : offset + limit], known, exact=False, by_words=len(by_words) <= RANKED)
    return _first_or_all(rows, query, found, limit, offset)


def _first_or_all(rows: Rows, query: Query, found: list[int], limit: int, offset: int) -> Page | None:
    """Those that were found, then all others in order of arrival, as far as a page needs them."""
    listed = set(found)
    if rows.dialect == "sqlite":
        if (every := all_matches(rows, query, FEW)) is not None:
            return _cut(found + [asset_id for asset_id in every if asset_id not in listed], limit, offset)
        if (every := _inside_of_words(rows, query, limit + offset)) is None:
            return None
        ended = False
    else:
        compiled = compile_query(query, rows.dialect)
        every, ended = _in_parts(rows, compiled.where, compiled.params, limit + offset)
    both = found + [asset_id for asset_id in every if asset_id not in listed]
    return Page(both[offset : offset + limit], len(both), exact=ended)


def _cut(every: list[int], limit: int, offset: int) -> Page:
    return Page(every[offset : offset + limit], len(every), exact=True)


def number_up_to(rows: Rows, query: Query, page: Page, most: int) -> int | None:
    """How many sounds match, at most ``most``, after a page of them; None where the full way must be gone."""
    stems = None if page.by_words else _stems(rows, query)
    if stems is not None and len(_ids(rows, stems, None, most=most)) >= most:
        return most
    every = all_matches(rows, query, FEW) if rows.dialect == "sqlite" else None
    return None if every is None else min(most, len(every))


def _in_order(rows: Rows, query: Query, limit: int, offset: int, order: Order) -> Page | None:
    """Few matches are sorted; of many, the first are met soon by walking along an index that has the order."""
    if rows.dialect != "sqlite":
        return None  # Postgres sees by itself which way is shorter
    window = f"ORDER BY {order.sql} LIMIT {int(limit)} OFFSET {int(offset)}"
    compiled = Compiled()
    if query and (every := all_matches(rows, query, SORTED)) is not None:
        where = among(compiled, every)
        found = rows.rows(f"SELECT asset.id {source_of(order.sql)} WHERE {where} {window}", compiled.params)
        return Page([row[0] for row in found], len(every), exact=True)
    if order.index is None:
        return None
    compiled = compile_query(query, rows.dialect)
    # '+' keeps SQLite from going by the matches: it is to go along the order and ask whether a sound is among them
    walked = "asset_text.asset_id" if order.by_name else "asset.id"
    where = compiled.where.replace("asset.id IN ", f"+{walked} IN ")
    walk = f"FROM asset INDEXED BY {order.index}"
    if order.by_name:
        walk = f"FROM asset_text INDEXED BY {order.index} CROSS JOIN asset ON asset.id = asset_text.asset_id"
    elif "asset_text" in where:
        walk += " CROSS JOIN asset_text ON asset_text.asset_id = asset.id"
    found = rows.rows(f"SELECT asset.id {walk} WHERE ({where}) AND asset.deleted_at IS NULL {window}", compiled.params)
    ids = [row[0] for row in found]
    ended = len(ids) < limit and (ids or not offset)
    return Page(ids, offset + len(ids) if ids else 0, exact=bool(ended))


@dataclass
class _Stems(Compiled):
    """``match`` is over the index of words, ``rest`` over `asset`; ``row_id`` is what to go by."""

    match: str = ""
    rest: str = ALL
    row_id: str = "asset.id"


def _stems(rows: Rows, query: Query) -> _Stems | None:
    """The query with words found by their stems and beginnings alone; None where it is not of words."""
    if not query or not all(map(_words, query)):
        return None
    if len(query) > 1 and any(len(_words(group)) < len(group) for group in query):
        return None  # either group is a question to one index only as long as all are words
    stems = _Stems()
    if rows.dialect == "sqlite":
        return _stems_sqlite(stems, query)
    words = [value for group in query for term in _words(group) for value in term.values]
    groups = [
        " AND ".join(
            "(" + " OR ".join(stem_postgres(stems, value) for value in term.values) + ")" for term in _words(group)
        )
        for group in query
    ]
    stems.match = " OR ".join(f"({group})" for group in groups)
    wanted = " || ".join(f"plainto_tsquery('english', {stems.bind(value.text)})" for value in words)
    stems.rank = f"-ts_rank(asset_text.lexemes, {wanted})"
    rest = [term for term in query[0] if term not in _words(query[0])]
    stems.rest = compile_terms(stems, rest, rows.dialect) if rest else ALL
    return stems


def _stems_sqlite(stems: _Stems, query: Query) -> _Stems:
    groups = []
    for group in query:
        without = [term for term in group if term.field is None and term.negated]
        groups.append(" AND ".join(map(phrases, _words(group))) + "".join(f" NOT {phrases(term)}" for term in without))
    stems.match = f"asset_fts MATCH {stems.bind(' OR '.join(f'({group})' for group in groups))}"
    stems.rank = f"bm25(asset_fts, {WEIGHTS})"
    stems.row_id = "asset_fts.rowid"
    # of several groups none has anything but words
    without = [term for term in query[0] if term.field is None and term.negated]
    fields = [term for term in query[0] if term.field is not None]
    rest = [f"NOT ({is_inside(stems, value)})" for term in without for value in term.values if has_inside(value)]
    rest += [compile_terms(stems, fields, "sqlite")] if fields else []
    stems.rest = " AND ".join(rest) or ALL
    return stems


def _words(group: Sequence[Term]) -> list[Term]:
    """Bare words that must be there."""
    return [term for term in group if term.field is None and not term.negated]


def _with_the_words(rows: Rows, stems: _Stems, most: int) -> list[int]:
    """Sounds with the words, whatever else is asked, on SQLite the first ones. Deleted sounds have no text."""
    params = {name: value for name, value in stems.params.items() if f":{name}" in stems.match}
    if rows.dialect == "sqlite":
        asked = f"SELECT asset_fts.rowid FROM asset_fts WHERE {stems.match} ORDER BY asset_fts.rowid"
    else:  # in order they would all have to be fetched
        asked = f"SELECT asset_text.asset_id FROM asset_text WHERE {stems.match}"
    return [row[0] for row in rows.rows(f"{asked} LIMIT {most}", params)]


def _ranked(rows: Rows, stems: _Stems, by_words: list[int]) -> list[int]:
    """All with the words of which the rest is true, too, best first."""
    order = f"{stems.rank}, {stems.row_id}"
    if rows.dialect == "sqlite":
        return _ids(rows, stems, order, most=len(by_words))
    where = f"asset.id = ANY({stems.bind(by_words)}) AND asset.deleted_at IS NULL AND ({stems.rest})"
    source = source_of(f"{where} {order}")
    return [row[0] for row in rows.rows(f"SELECT asset.id {source} WHERE {where} ORDER BY {order}", stems.params)]


def _ids(rows: Rows, stems: _Stems, order: str | None, *, most: int) -> list[int]:
    where = f"WHERE ({stems.match}) AND asset.deleted_at IS NULL AND ({stems.rest})"
    source = source_of(where)
    if rows.dialect == "sqlite":
        text = "CROSS JOIN asset_text ON asset_text.asset_id = asset.id" if "asset_text" in stems.rest else ""
        source = f"FROM asset_fts CROSS JOIN asset ON asset.id = asset_fts.rowid {text}"
    ordered = f"ORDER BY {order}" if order else ""
    return [row[0] for row in rows.rows(f"SELECT asset.id {source} {where} {ordered} LIMIT {most}", stems.params)]


def _inside_of_words(rows: Rows, query: Query, most: int) -> list[int] | None:
    """The first sounds with the letters of the only word anywhere in theirs; None where that is not the question."""
    terms = [term for group in query for term in group]
    if len(terms) != 1 or not _words(terms) or not all(map(has_inside, terms[0].values)):
        return None
    compiled = Compiled()
    match = compiled.bind(" OR ".join(literal(value.text) for value in terms[0].values))
    found = rows.rows(
        f"SELECT asset.id FROM asset_tri CROSS JOIN asset ON asset.id = asset_tri.rowid "
        f"WHERE asset_tri MATCH {match} AND asset.deleted_at IS NULL ORDER BY asset_tri.rowid LIMIT {2 * most}",
        compiled.params,
    )
    return [row[0] for row in found]


def _in_parts(rows: Rows, where: str, params: dict[str, Any], most: int) -> tuple[list[int], bool]:
    """The first ``most`` matches on Postgres, and whether these are all.

    Asked for at once, it would find every match to sort them. So it is asked after a part of the archive, then a larger
    one: where there are many, the first parts have enough; where there are few, no part costs much. The first part is
    small enough to be read, without the index, which would list all sounds that have a common word.
    """
    found: list[int] = []
    text = "asset_text" in where
    for low, high in PARTS if text else ((0, None),):
        part = [
            f"{column} > {low}" for column in (("asset.id", "asset_text.asset_id") if text and low else ("asset.id",))
        ]
        if high is not None:
            part += [f"asset.id <= {high}", f"asset_text.asset_id <= {high}"]
            rows.rows(f"SELECT set_config('enable_bitmapscan', '{'on' if low else 'off'}', TRUE)", {})
        found += [
            row[0]
            for row in rows.rows(
                f"SELECT asset.id {source_of(where)} "
                f"WHERE {' AND '.join(part)} AND asset.deleted_at IS NULL AND ({where}) "
                f"ORDER BY asset.id LIMIT {most + 1 - len(found)}",
                params,
            )
        ]
        if len(found) > most:
            break
    if text:
        rows.rows("SELECT set_config('enable_bitmapscan', 'on', TRUE)", {})
    return found[:most], len(found) <= most
