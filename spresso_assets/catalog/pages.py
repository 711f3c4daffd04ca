"""One page of a search, from an archive of any size: the shortest way to the first hits instead of all of them.

Full answers need every match: two index look-ups per word, and a rank for each hit. A page of fifty does not. Whole and
inflected words rank before parts of words anyway, so the index of words is asked first and alone; hits are ranked only
where there are few enough for rank to mean something; and what is rare drives the search for what is common. The hits
are those of `conditions.compile_query`, and a test holds both together.
"""

import json
from dataclasses import dataclass
from typing import Any

from spresso_assets.catalog.conditions import (
    TRIGRAM,
    WEIGHTS,
    Compiled,
    compile_terms,
    fts_phrase,
    literal,
    stem_postgres,
    word_postgres,
)
from spresso_assets.catalog.grammar import Query, Term
from spresso_assets.catalog.rows import Rows

RANKED = 5_000  # hits up to which the best are put first; beyond, those that came first are
FROM = "FROM asset JOIN asset_text ON asset_text.asset_id = asset.id"


def page_of_words(rows: Rows, query: Query, limit: int, offset: int) -> list[int] | None:
    """Row ids of one page of a query with bare words, best first; None where the full way must be gone."""
    stems = _stems(rows, query)
    if stems is None:
        return None
    many = _number(rows, stems, RANKED + 1) > RANKED
    found = _ids(rows, stems, None if many else limit + offset, limit + offset)
    if len(found) >= limit + offset:
        return found[offset:]
    every = _through_the_rarest(rows, query)
    if every is None:
        return None
    listed = set(found)
    return (found + [asset_id for asset_id in every if asset_id not in listed])[offset : offset + limit]


def count_of_words(rows: Rows, query: Query, most: int) -> int | None:
    """How many sounds match a query with bare words, at most ``most``; None where the full way must be gone."""
    stems = _stems(rows, query)
    if stems is None:
        return None
    if (number := _number(rows, stems, most)) >= most:
        return number
    every = _through_the_rarest(rows, query)
    return None if every is None else min(most, len(every))


@dataclass
class _Stems(Compiled):
    """``match`` is over the index of words, ``rest`` over `asset`."""

    match: str = ""
    rest: str = "1 = 1"


def _stems(rows: Rows, query: Query) -> _Stems | None:
    """The query with words found by their stems and beginnings alone; None if it has groups of its own, or no words."""
    if len(query) != 1 or not (words := _words(query)):
        return None
    stems = _Stems()
    rest = [term for term in query[0] if term not in words]
    if rows.dialect == "sqlite":
        phrases = ["(" + " OR ".join(fts_phrase(value) for value in term.values) + ")" for term in words]
        stems.match = f"asset_fts MATCH {stems.bind(' AND '.join(phrases))}"
        stems.rank = f"bm25(asset_fts, {WEIGHTS})"
    else:
        if any(len(value.text) < TRIGRAM for term in words for value in term.values):
            return None
        stems.match = " AND ".join(
            "(" + " OR ".join(stem_postgres(stems, value) for value in term.values) + ")" for term in words
        )
        wanted = " || ".join(
            f"plainto_tsquery('english', {stems.bind(value.text)})" for term in words for value in term.values
        )
        stems.rank = f"-ts_rank(asset_text.lexemes, {wanted})"
    stems.rest = compile_terms(stems, rest, rows.dialect) if rest else "1 = 1"
    return stems


def _words(query: Query) -> list[Term]:
    return [term for term in query[0] if term.field is None and not term.negated]


def _source(rows: Rows, stems: _Stems) -> tuple[str, str]:
    """FROM … WHERE, and the row id to go by."""
    if rows.dialect == "sqlite":
        where = f"WHERE {stems.match} AND asset.deleted_at IS NULL AND ({stems.rest})"
        return f"FROM asset_fts CROSS JOIN asset ON asset.id = asset_fts.rowid {where}", "asset_fts.rowid"
    where = f"WHERE {stems.match} AND asset.deleted_at IS NULL AND ({stems.rest})"
    return f"{FROM} {where}", "asset.id"


def _number(rows: Rows, stems: _Stems, most: int) -> int:
    source, _ = _source(rows, stems)
    return int(rows.rows(f"SELECT count(*) FROM (SELECT 1 {source} LIMIT {most}) AS found", stems.params)[0][0])


def _ids(rows: Rows, stems: _Stems, ranked: int | None, most: int) -> list[int]:
    source, row_id = _source(rows, stems)
    order = row_id if ranked is None else f"{stems.rank}, {row_id}"
    found = rows.rows(f"SELECT asset.id {source} ORDER BY {order} LIMIT {most}", stems.params)
    return [row[0] for row in found]


def _through_the_rarest(rows: Rows, query: Query) -> list[int] | None:
    """All matches, in order of arrival, found among those of the query's rarest word; None if no word is rare."""
    words = _words(query)
    candidates: set[int] | None = None
    driver: Term | None = None
    for term in words:
        found = _few(rows, term)
        if found is not None and (candidates is None or len(found) < len(candidates)):
            candidates, driver = found, term
    if candidates is None:
        return None
    if not candidates:
        return []
    compiled = Compiled()
    others = [term for term in query[0] if term is not driver]
    conditions = [_row_by_row(compiled, term, rows.dialect) for term in others]
    where = " AND ".join([*conditions, "asset.deleted_at IS NULL"])
    if rows.dialect == "sqlite":
        among = f"asset.id IN (SELECT value FROM json_each({compiled.bind(json.dumps(sorted(candidates)))}))"
    else:
        among = f"asset.id = ANY({compiled.bind(sorted(candidates))})"
    found_rows = rows.rows(f"SELECT asset.id {FROM} WHERE {among} AND {where} ORDER BY asset.id", compiled.params)
    return [row[0] for row in found_rows]


def _few(rows: Rows, term: Term) -> set[int] | None:
    """All sounds with a word, whole, inflected or inside of others; None if there are more than a few thousand."""
    found: set[int] = set()
    for value in term.values:
        compiled = Compiled()
        if rows.dialect == "sqlite":
            asked = [f"SELECT rowid FROM asset_fts WHERE asset_fts MATCH {compiled.bind(fts_phrase(value))}"]
            if len(value.text) >= TRIGRAM:
                asked.append(f"SELECT rowid FROM asset_tri WHERE asset_tri MATCH {compiled.bind(literal(value.text))}")
        else:
            asked = ["SELECT asset_id FROM asset_text WHERE " + word_postgres(compiled, value)]
        for statement in asked:
            listed = rows.rows(f"{statement} LIMIT {RANKED + 1}", _used(statement, compiled.params))
            if len(listed) > RANKED:
                return None
            found.update(row[0] for row in listed)
    return found


def _used(statement: str, params: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in params.items() if f":{name}" in statement}


def _row_by_row(compiled: Compiled, term: Term, dialect: str) -> str:
    """A condition that costs little for one row, where `compile_query` makes ones that cost little for all rows."""
    if term.field is not None or dialect != "sqlite":
        return compile_terms(compiled, [term], dialect)
    parts = []
    for value in term.values:
        if len(value.text) >= TRIGRAM:
            if value.text.isascii():
                inside = compiled.bind("%" + value.text.replace("!", "!!").replace("%", "!%").replace("_", "!_") + "%")
                columns = ("names", "words", "tags", "paths")
                parts.append(" OR ".join(f"asset_text.{column} LIKE {inside} ESCAPE '!'" for column in columns))
            else:
                mark = compiled.bind(literal(value.text))
                parts.append(
                    f"EXISTS (SELECT 1 FROM asset_tri t WHERE t.asset_tri MATCH {mark} AND t.rowid = asset.id)"
                )
        mark = compiled.bind(fts_phrase(value))
        parts.append(f"EXISTS (SELECT 1 FROM asset_fts f WHERE f.asset_fts MATCH {mark} AND f.rowid = asset.id)")
    condition = " OR ".join(parts)
    return f"NOT ({condition})" if term.negated else f"({condition})"
