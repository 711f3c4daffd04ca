"""One page of a search, from an archive of any size: the shortest way to the first hits instead of all of them.

Full answers need every match: two index look-ups per word, and a rank for each hit. A page of fifty does not. Whole and
inflected words rank before parts of words anyway, so the index of words is asked first and alone; hits are ranked only
where there are few enough for rank to mean something; and what is rare drives the search for what is common. The hits
are those of `conditions.compile_query`, and a test holds both together.
"""

import json
from dataclasses import dataclass, replace

from spresso_assets.catalog.conditions import (
    TRIGRAM,
    WEIGHTS,
    Compiled,
    compile_terms,
    fts_phrase,
    literal,
    stem_postgres,
    text_field,
    word_postgres,
)
from spresso_assets.catalog.fields import field_named
from spresso_assets.catalog.grammar import Query, Term, Value
from spresso_assets.catalog.precedence import RESOLVED_FIELDS, UNSEARCHED_FIELDS
from spresso_assets.catalog.rows import Rows

RANKED = 1_000  # hits up to which the best are put first; beyond, those that came first are
FEW = 20_000  # sounds up to which a term may drive the search for the others
BY_FIELD = {
    "tag": "SELECT x.asset_id FROM asset_tag x WHERE x.tag_id IN (SELECT t.id FROM tag t WHERE {})",
    "profile": "SELECT r.asset_id FROM rendition r WHERE r.status = 'ready' "
    "AND r.profile_id IN (SELECT p.id FROM encode_profile p WHERE {})",
    "state": "SELECT f.asset_id FROM source_file f WHERE {}",
}
FROM = "FROM asset JOIN asset_text ON asset_text.asset_id = asset.id"


def page(rows: Rows, query: Query, limit: int, offset: int) -> list[int] | None:
    """Row ids of one page, best first; None where the full way must be gone."""
    if len(query) != 1:
        return None
    if (stems := _stems(rows, query)) is None:
        every = _through_the_rarest(rows, query)
        return None if every is None or _words(query) else every[offset : offset + limit]
    many = _number(rows, stems, RANKED + 1) > RANKED
    found = _ids(rows, stems, ranked=not many, most=limit + offset)
    if len(found) >= limit + offset:
        return found[offset:]
    if (every := _through_the_rarest(rows, query)) is None:
        every = _inside_of_words(rows, query, limit + offset)
    if every is None:
        return None
    listed = set(found)
    return (found + [asset_id for asset_id in every if asset_id not in listed])[offset : offset + limit]


def number_up_to(rows: Rows, query: Query, most: int) -> int | None:
    """How many sounds match, at most ``most``; None where the full way must be gone."""
    if len(query) != 1:
        return None
    stems = _stems(rows, query)
    if stems is not None and _number(rows, stems, most) >= most:
        return most
    every = _through_the_rarest(rows, query)
    return None if every is None else min(most, len(every))


@dataclass
class _Stems(Compiled):
    """``match`` is over the index of words, ``rest`` over `asset`."""

    match: str = ""
    rest: str = "1 = 1"


def _stems(rows: Rows, query: Query) -> _Stems | None:
    """The query with words found by their stems and beginnings alone; None where it has no words."""
    if not (words := _words(query)):
        return None
    stems = _Stems()
    rest = [term for term in query[0] if term not in words]
    if rows.dialect == "sqlite":
        without = [term for term in rest if term.field is None]
        rest = [term for term in rest if term.field is not None]
        match = " AND ".join(map(_phrases, words)) + "".join(f" NOT {_phrases(term)}" for term in without)
        stems.match = f"asset_fts MATCH {stems.bind(match)}"
        inside = [f"NOT ({_inside(stems, value)})" for term in without for value in term.values if _has_inside(value)]
        stems.rank = f"bm25(asset_fts, {WEIGHTS})"
    else:
        inside = []
        if any(len(value.text) < TRIGRAM for term in words for value in term.values):
            return None
        stems.match = " AND ".join(
            "(" + " OR ".join(stem_postgres(stems, value) for value in term.values) + ")" for term in words
        )
        wanted = " || ".join(
            f"plainto_tsquery('english', {stems.bind(value.text)})" for term in words for value in term.values
        )
        stems.rank = f"-ts_rank(asset_text.lexemes, {wanted})"
    stems.rest = " AND ".join([*inside, *([compile_terms(stems, rest, rows.dialect)] if rest else [])]) or "1 = 1"
    return stems


def _phrases(term: Term) -> str:
    return "(" + " OR ".join(fts_phrase(value) for value in term.values) + ")"


def _words(query: Query) -> list[Term]:
    return [term for term in query[0] if term.field is None and not term.negated]


def _source(rows: Rows, stems: _Stems) -> tuple[str, str]:
    """FROM … WHERE, and the row id to go by."""
    if rows.dialect == "sqlite":
        where = f"WHERE {stems.match} AND asset.deleted_at IS NULL AND ({stems.rest})"
        text = "CROSS JOIN asset_text ON asset_text.asset_id = asset.id" if "asset_text" in stems.rest else ""
        return f"FROM asset_fts CROSS JOIN asset ON asset.id = asset_fts.rowid {text} {where}", "asset_fts.rowid"
    where = f"WHERE {stems.match} AND asset.deleted_at IS NULL AND ({stems.rest})"
    return f"{FROM} {where}", "asset.id"


def _number(rows: Rows, stems: _Stems, most: int) -> int:
    source, _ = _source(rows, stems)
    return int(rows.rows(f"SELECT count(*) FROM (SELECT 1 {source} LIMIT {most}) AS found", stems.params)[0][0])


def _ids(rows: Rows, stems: _Stems, *, ranked: bool, most: int) -> list[int]:
    source, row_id = _source(rows, stems)
    order = f"{stems.rank}, {row_id}" if ranked else row_id
    found = rows.rows(f"SELECT asset.id {source} ORDER BY {order} LIMIT {most}", stems.params)
    return [row[0] for row in found]


def _through_the_rarest(rows: Rows, query: Query) -> list[int] | None:
    """All matches, in order of arrival, found among those of the query's rarest term; None if no term is rare."""
    best: tuple[set[int], set[int]] | None = None
    driver: Term | None = None
    for term in query[0]:
        found = None if term.negated else _few(rows, term)
        if found is not None and (best is None or len(found[1]) < len(best[1])):
            best, driver = found, term
    if best is None or driver is None:
        return None
    stemmed, candidates = best
    if not candidates:
        return []
    compiled = Compiled()
    # a field's candidates are more than its matches: it is asked again
    others = [term for term in query[0] if term is not driver or term.field is not None]
    if rows.dialect == "sqlite":
        others_asked = [_row_by_row(compiled, term, driver, candidates - stemmed) for term in others]
        among = f"asset.id IN (SELECT value FROM json_each({compiled.bind(json.dumps(sorted(candidates)))}))"
    else:
        others_asked = [compile_terms(compiled, [term], rows.dialect) for term in others]
        among = f"asset.id = ANY({compiled.bind(sorted(candidates))})"
    where = " AND ".join([among, *others_asked, "asset.deleted_at IS NULL"])
    return [row[0] for row in rows.rows(f"SELECT asset.id {FROM} WHERE {where} ORDER BY asset.id", compiled.params)]


def _inside_of_words(rows: Rows, query: Query, most: int) -> list[int] | None:
    """The first sounds with the letters of the only word anywhere in theirs; None where that is not the question."""
    if rows.dialect != "sqlite" or len(query[0]) != 1 or not all(map(_has_inside, query[0][0].values)):
        return None
    compiled = Compiled()
    match = compiled.bind(" OR ".join(literal(value.text) for value in query[0][0].values))
    found = rows.rows(
        f"SELECT asset.id FROM asset_tri CROSS JOIN asset ON asset.id = asset_tri.rowid "
        f"WHERE asset_tri MATCH {match} AND asset.deleted_at IS NULL ORDER BY asset_tri.rowid LIMIT {2 * most}",
        compiled.params,
    )
    return [row[0] for row in found]


def _few(rows: Rows, term: Term) -> tuple[set[int], set[int]] | None:
    """Sounds that may match a term: those found by stems, and all; None if there are more than a few thousand."""
    stemmed: set[int] = set()
    every: set[int] = set()
    for value in term.values:
        compiled = Compiled()
        if term.field is not None:
            if (statement := _few_by_field(compiled, rows.dialect, term, value)) is None:
                return None
            asked = [statement]
        elif rows.dialect == "sqlite":
            asked = [f"SELECT rowid FROM asset_fts WHERE asset_fts MATCH {compiled.bind(fts_phrase(value))}"]
            if _has_inside(value):
                asked.append(f"SELECT rowid FROM asset_tri WHERE asset_tri MATCH {compiled.bind(literal(value.text))}")
        else:
            asked = ["SELECT asset_id FROM asset_text WHERE " + word_postgres(compiled, value)]
        for number, statement in enumerate(asked):
            params = {name: given for name, given in compiled.params.items() if f":{name}" in statement}
            listed = [row[0] for row in rows.rows(f"{statement} LIMIT {FEW + 1}", params)]
            if len(listed) > FEW:
                return None
            every.update(listed)
            if number == 0 and term.field is None:
                stemmed.update(listed)
    return stemmed, every


def _few_by_field(compiled: Compiled, dialect: str, term: Term, value: Value) -> str | None:
    """A question after the sounds that a field may mean, from another side than the sounds themselves."""
    queried = field_named(term.field or "")
    if queried.name in ("duration", "changed"):
        return f"SELECT asset.id FROM asset WHERE {compile_terms(compiled, [replace(term, values=(value,))], dialect)}"
    if value.is_range or not value.text:
        return None
    if queried.name in BY_FIELD:  # few of them, and an index from each to its sounds
        return BY_FIELD[queried.name].format(text_field(compiled, queried, value))
    # every field is in the text of its sound, in words
    in_text = queried.name in RESOLVED_FIELDS and queried.name not in UNSEARCHED_FIELDS
    words = [word for word in value.text.split() if len(word) >= TRIGRAM]
    plain = value.text.isascii() and value.text.replace(" ", "").isalnum()
    if dialect != "sqlite" or not in_text or not words or not plain:
        return None
    match = " AND ".join(map(literal, words))
    return f"SELECT rowid FROM asset_tri WHERE asset_tri MATCH {compiled.bind(match)}"


def _has_inside(value: Value) -> bool:
    return len(value.text) >= TRIGRAM


def _row_by_row(compiled: Compiled, term: Term, driver: Term, unstemmed: set[int]) -> str:
    """For SQLite, a condition that costs little for one row, where `compile_query` makes ones for all rows at once.

    Args:
        driver: the term whose candidates are asked.
        unstemmed: those among them that the index of words does not find by it: to be asked one by one.
    """
    if term.field is not None:
        return compile_terms(compiled, [term], "sqlite")
    parts = [_inside(compiled, value) for value in term.values if _has_inside(value)]
    if driver.field is None:
        both = compiled.bind(f"{_phrases(driver)} AND {_phrases(term)}")
        parts.append(f"asset.id IN (SELECT rowid FROM asset_fts WHERE asset_fts MATCH {both})")
    if unstemmed:
        listed, mark = compiled.bind(json.dumps(sorted(unstemmed))), compiled.bind(_phrases(term))
        alone = f"EXISTS (SELECT 1 FROM asset_fts f WHERE f.asset_fts MATCH {mark} AND f.rowid = asset.id)"
        parts.append(f"(asset.id IN (SELECT value FROM json_each({listed})) AND {alone})")
    condition = " OR ".join(parts)
    return f"NOT ({condition})" if term.negated else f"({condition})"


def _inside(compiled: Compiled, value: Value) -> str:
    """Whether the text of a row holds some letters, as the index of trigrams would say."""
    if not value.text.isascii():
        return f"asset.id IN (SELECT rowid FROM asset_tri WHERE asset_tri MATCH {compiled.bind(literal(value.text))})"
    pattern = compiled.bind("%" + value.text.replace("!", "!!").replace("%", "!%").replace("_", "!_") + "%")
    columns = ("names", "words", "tags", "paths")
    return " OR ".join(f"asset_text.{column} LIKE {pattern} ESCAPE '!'" for column in columns)
