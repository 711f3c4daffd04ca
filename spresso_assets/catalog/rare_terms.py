"""Every match of a query on SQLite, found by way of its rarest term.

SQLite would list every match of every word. Here the term that matches fewest drives: its sounds are listed, and the
other terms are asked of each of them.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import replace

from spresso_assets.catalog.conditions import (
    TRIGRAM,
    Compiled,
    compile_terms,
    fts_phrase,
    implied_words,
    literal,
    source_of,
    text_field,
)
from spresso_assets.catalog.fields import field_named
from spresso_assets.catalog.grammar import Query, Term, Value
from spresso_assets.catalog.rows import Rows

ONE_BY_ONE = 300  # rows that may be asked for words which their index did not find
BY_FIELD = {
    "tag": "SELECT x.asset_id FROM asset_tag x WHERE x.tag_id IN (SELECT t.id FROM tag t WHERE {})",
    "profile": "SELECT r.asset_id FROM rendition r WHERE r.status = 'ready' "
    "AND r.profile_id IN (SELECT p.id FROM encode_profile p WHERE {})",
    "state": "SELECT f.asset_id FROM source_file f WHERE f.asset_id IS NOT NULL AND f.state <> 'moved' AND {}",
}


def all_matches(rows: Rows, query: Query, few: int) -> list[int] | None:
    """All matches, in order of arrival; None if there is a group without a rare term: of at most ``few`` sounds."""
    every: set[int] = set()
    for group in query:
        if (found := _through_the_rarest(rows, group, few)) is None:
            return None
        every.update(found)
    return sorted(every) if query else None


def _through_the_rarest(rows: Rows, group: Sequence[Term], few: int) -> list[int] | None:
    """All matches of a group, found among those of its rarest term; None if no term is rare."""
    best: tuple[set[int], set[int]] | None = None
    driver: Term | None = None
    for term in group:
        # more than the rarest so far has need not be listed
        found = None if term.negated else _few(rows, term, few if best is None else len(best[1]))
        if found is not None and (best is None or len(found[1]) < len(best[1])):
            best, driver = found, term
    if best is None or driver is None:
        return None
    stemmed, candidates = best
    if not candidates:
        return []
    compiled = Compiled()
    # the candidates of most fields are more than their matches: these are asked again
    exact = driver.field is None or driver.field in BY_FIELD
    others = [term for term in group if term is not driver or not exact]
    unstemmed = candidates - stemmed
    if len(unstemmed) > ONE_BY_ONE and any(term.field is None for term in others):
        return None
    asked = [_row_by_row(compiled, term, driver, unstemmed) for term in others]
    where = " AND ".join([among(compiled, candidates), *asked, "asset.deleted_at IS NULL"])
    return [
        row[0]
        for row in rows.rows(f"SELECT asset.id {source_of(where)} WHERE {where} ORDER BY asset.id", compiled.params)
    ]


def among(compiled: Compiled, ids: Iterable[int]) -> str:
    """A condition that a sound is one of some."""
    return f"asset.id IN (SELECT value FROM json_each({compiled.bind(json.dumps(sorted(ids)))}))"


def _few(rows: Rows, term: Term, few: int) -> tuple[set[int], set[int]] | None:
    """Sounds that may match a term: those found by stems, and all; None if there are more than ``few``."""
    stemmed: set[int] = set()
    every: set[int] = set()
    for value in term.values:
        compiled = Compiled()
        if term.field is not None:
            if (statement := _few_by_field(compiled, term, value)) is None:
                return None
            asked = [statement]
        else:
            asked = [f"SELECT rowid FROM asset_fts WHERE asset_fts MATCH {compiled.bind(fts_phrase(value))}"]
            if has_inside(value):
                asked.append(f"SELECT rowid FROM asset_tri WHERE asset_tri MATCH {compiled.bind(literal(value.text))}")
        for number, statement in enumerate(asked):
            params = {name: given for name, given in compiled.params.items() if f":{name}" in statement}
            listed = [row[0] for row in rows.rows(f"{statement} LIMIT {few + 1}", params)]
            if len(listed) > few:
                return None
            every.update(listed)
            if number == 0 and term.field is None:
                stemmed.update(listed)
    return stemmed, every


def _few_by_field(compiled: Compiled, term: Term, value: Value) -> str | None:
    """A question after the sounds that a field may mean, from another side than the sounds themselves."""
    queried = field_named(term.field or "")
    if queried.name in ("duration", "changed"):
        return f"SELECT asset.id FROM asset WHERE {compile_terms(compiled, [replace(term, values=(value,))], 'sqlite')}"
    if value.is_range or not value.text:
        return None
    if queried.name in BY_FIELD:  # few of them, and an index from each to its sounds
        return BY_FIELD[queried.name].format(text_field(compiled, queried, value))
    if not (words := implied_words(queried, value)):
        return None
    match = " AND ".join(map(literal, words))
    return f"SELECT rowid FROM asset_tri WHERE asset_tri MATCH {compiled.bind(match)}"


def has_inside(value: Value) -> bool:
    """Whether a word is long enough for the index of trigrams."""
    return len(value.text) >= TRIGRAM


def _row_by_row(compiled: Compiled, term: Term, driver: Term, unstemmed: set[int]) -> str:
    """For SQLite, a condition that costs little for one row, where `compile_query` makes ones for all rows at once.

    Args:
        driver: the term whose candidates are asked.
        unstemmed: those among them that the index of words does not find by it: to be asked one by one.
    """
    if term.field is not None:
        return compile_terms(compiled, [term], "sqlite")
    parts = [is_inside(compiled, value) for value in term.values if has_inside(value)]
    if driver.field is None:
        both = compiled.bind(f"{phrases(driver)} AND {phrases(term)}")
        parts.append(f"asset.id IN (SELECT rowid FROM asset_fts WHERE asset_fts MATCH {both})")
    if unstemmed:
        listed, mark = compiled.bind(json.dumps(sorted(unstemmed))), compiled.bind(phrases(term))
        alone = f"EXISTS (SELECT 1 FROM asset_fts f WHERE f.asset_fts MATCH {mark} AND f.rowid = asset.id)"
        parts.append(f"(asset.id IN (SELECT value FROM json_each({listed})) AND {alone})")
    condition = " OR ".join(parts)
    return f"NOT ({condition})" if term.negated else f"({condition})"


def is_inside(compiled: Compiled, value: Value) -> str:
    """Whether the text of a row holds some letters, as the index of trigrams would say."""
    if not value.text.isascii():
        return f"asset.id IN (SELECT rowid FROM asset_tri WHERE asset_tri MATCH {compiled.bind(literal(value.text))})"
    pattern = compiled.bind("%" + value.text.replace("!", "!!").replace("%", "!%").replace("_", "!_") + "%")
    columns = ("names", "words", "tags", "paths")
    return " OR ".join(f"asset_text.{column} LIKE {pattern} ESCAPE '!'" for column in columns)


def phrases(term: Term) -> str:
    """A term of words as FTS5 is asked for it."""
    return "(" + " OR ".join(fts_phrase(value) for value in term.values) + ")"
