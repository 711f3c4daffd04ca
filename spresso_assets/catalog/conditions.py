"""Queries as SQL: one condition over `asset` and one ranking, for SQLite's FTS5 or Postgres' text search."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from spresso_assets.catalog.fields import QueryField, field_named
from spresso_assets.catalog.grammar import Query, Term, Value, bad_query
from spresso_assets.catalog.precedence import RESOLVED_FIELDS, UNSEARCHED_FIELDS

TRIGRAM = 3
# bm25 weights of the columns of asset_text: names, words, tags, paths
WEIGHTS = "10.0, 4.0, 6.0, 2.0"
JSON_VALUE = re.compile(r"(\w+\.\w+)->>'(\w+)'")
HEX = re.compile(r"[0-9a-fA-F]+\Z")
DATE = re.compile(r"(\d{4})(?:-(\d{1,2}))?(?:-(\d{1,2}))?\Z")


@dataclass
class Compiled:
    """``where`` is over `asset` joined to `asset_text`; ``rank`` (smaller is better) is None without bare words."""

    where: str = "1 = 1"
    rank_join: str = ""
    rank: str | None = None
    params: dict[str, Any] = field(default_factory=dict)

    def bind(self, value: Any) -> str:
        """Add a parameter; returns its placeholder."""
        name = f"p{len(self.params)}"
        self.params[name] = value
        return f":{name}"


def compile_query(query: Query, dialect: str) -> Compiled:
    """Translate a parsed query for ``sqlite`` or ``postgresql``.

    Raises:
        SpressoError: ``unknown_field``, ``bad_query``.
    """
    compiled = Compiled()
    groups = [compile_terms(compiled, group, dialect) for group in query]
    if groups:
        compiled.where = " OR ".join(f"({group})" for group in groups)
    words = [
        value for group in query for term in group if term.field is None and not term.negated for value in term.values
    ]
    if words and dialect == "sqlite":
        match = compiled.bind(" OR ".join(fts_phrase(word) for word in words))
        compiled.rank_join = (
            f"LEFT JOIN (SELECT rowid AS ranked_id, bm25(asset_fts, {WEIGHTS}) AS score FROM asset_fts "
            f"WHERE asset_fts MATCH {match}) ranked ON ranked.ranked_id = asset.id"
        )
        compiled.rank = "coalesce(ranked.score, 0)"
    elif words:
        wanted = " || ".join(f"plainto_tsquery('english', {compiled.bind(word.text)})" for word in words)
        compiled.rank = f"-ts_rank(asset_text.lexemes, {wanted})"
    return compiled


def source_of(sql: str) -> str:
    """FROM `asset`, and its text only where it is asked for: reading it costs as much again."""
    text = " JOIN asset_text ON asset_text.asset_id = asset.id" if "asset_text" in sql else ""
    return f"FROM asset{text}"


def json_in(dialect: str, sql: str) -> str:
    """``column->>'key'``, a value in JSON as text, the way that older versions of SQLite know."""
    return JSON_VALUE.sub(r"json_extract(\1, '$.\2')", sql) if dialect == "sqlite" else sql


def compile_terms(compiled: Compiled, terms: Sequence[Term], dialect: str) -> str:
    """A condition that all the terms hold."""
    return " AND ".join(_term(compiled, term, dialect) for term in terms)


def _term(compiled: Compiled, term: Term, dialect: str) -> str:
    if term.field is None:
        word = word_sqlite if dialect == "sqlite" else word_postgres
        condition = " OR ".join(word(compiled, value) for value in term.values)
    else:
        queried = field_named(term.field)
        parts = [_field(compiled, queried, value) for value in term.values]
        if dialect != "sqlite" and not term.negated:
            parts = [_narrowed(compiled, queried, *pair) for pair in zip(term.values, parts, strict=True)]
        inner = " OR ".join(parts)
        if queried.inside != "{}" and any(not value.text and not value.is_range for value in term.values):
            raise bad_query(f"'{queried.name}:' needs a value", f"For example {queried.example}")
        condition = json_in(dialect, queried.inside).format(f"({inner})")
    return f"NOT coalesce(({condition}), FALSE)" if term.negated else f"({condition})"


def implied_words(queried: QueryField, value: Value) -> list[str]:
    """Words that the text of a sound holds if a field has this value: an index knows them, and no field has its own."""
    in_text = queried.name in RESOLVED_FIELDS and queried.name not in UNSEARCHED_FIELDS
    plain = value.text.isascii() and value.text.replace(" ", "").isalnum()
    return [word for word in value.text.split() if len(word) >= TRIGRAM] if in_text and plain else []


def _narrowed(compiled: Compiled, queried: QueryField, value: Value, condition: str) -> str:
    """For Postgres, which finds the few sounds that come into question by itself if it is told."""
    held = [inside_postgres(compiled, word) for word in implied_words(queried, value)]
    return " AND ".join([f"({condition})", *held])


def fts_phrase(value: Value) -> str:
    quoted = '"' + value.text.replace('"', '""') + '"'
    return quoted if value.quoted else quoted + " *"


def word_sqlite(compiled: Compiled, value: Value) -> str:
    """Stemmed words and prefixes; and any part of a word, which stemming cannot find (room in bathroom)."""
    stemmed = f"asset.id IN (SELECT rowid FROM asset_fts WHERE asset_fts MATCH {compiled.bind(fts_phrase(value))})"
    if len(value.text) < TRIGRAM:
        return stemmed
    inside = compiled.bind(literal(value.text))
    return f"{stemmed} OR asset.id IN (SELECT rowid FROM asset_tri WHERE asset_tri MATCH {inside})"


def literal(text: str) -> str:
    """A phrase of FTS5."""
    return '"' + text.replace('"', '""') + '"'


def word_postgres(compiled: Compiled, value: Value) -> str:
    """Stemmed words and beginnings of words; and any part of a word if it is long enough for the index of trigrams."""
    stemmed = stem_postgres(compiled, value)
    if len(value.text) < TRIGRAM:
        return stemmed
    return f"{stemmed} OR {inside_postgres(compiled, value.text)}"


def inside_postgres(compiled: Compiled, text: str) -> str:
    """Whether the text of a sound holds some letters."""
    return f"asset_text.everything ILIKE {compiled.bind(_contains(text))} ESCAPE '!'"


def stem_postgres(compiled: Compiled, value: Value) -> str:
    """Words by their stems, beside each other if they were quoted; of one or two letters what begins so."""
    if len(value.text) < TRIGRAM and not value.quoted and value.text.isalnum():
        query = f"to_tsquery('simple', {compiled.bind(value.text + ':*')})"
    else:
        to_query = "phraseto_tsquery" if value.quoted else "plainto_tsquery"
        query = f"{to_query}('english', {compiled.bind(value.text)})"
    return f"asset_text.lexemes @@ {query}"


def _contains(text: str) -> str:
    return "%" + _like_literal(text) + "%"


def _like_literal(text: str) -> str:
    return re.sub(r"([!%_])", r"!\1", text)


def _field(compiled: Compiled, queried: QueryField, value: Value) -> str:
    if not value.is_range and not value.text:
        return f"({queried.sql} IS NULL OR CAST({queried.sql} AS TEXT) = '')"
    if queried.kind == "flag":
        flagged = f"CAST({queried.sql} AS TEXT) <> '[]'"  # so says the index of those few that have any
        named = compiled.bind(_contains(chr(34) + value.text + chr(34)))
        return f"({flagged} AND CAST({queried.sql} AS TEXT) LIKE {named} ESCAPE '!')"
    if queried.kind == "prefix" and HEX.match(value.text):  # a range, which every database finds by its index
        first, behind = compiled.bind(value.text.lower()), compiled.bind(value.text.lower() + "g")
        return f"({queried.sql} >= {first} AND {queried.sql} < {behind})"
    if queried.kind == "prefix":
        return f"{queried.sql} LIKE {compiled.bind(_like_literal(value.text.lower()) + '%')} ESCAPE '!'"
    if queried.kind == "text":
        return text_field(compiled, queried, value)
    low, high = _limits(queried, value)
    conditions = []
    if low is not None:
        conditions.append(f"{queried.sql} >= {compiled.bind(low)}")
    if high is not None:
        conditions.append(f"{queried.sql} {'<' if queried.kind == 'date' else '<='} {compiled.bind(high)}")
    return "(" + " AND ".join(conditions) + ")"


def text_field(compiled: Compiled, queried: QueryField, value: Value) -> str:
    if value.is_range:
        # the end of a range includes everything that starts with it: 2015..2020 takes 2020-12-31
        ends = [f"lower({queried.sql}) >= lower({compiled.bind(value.low)})"] if value.low else []
        ends += [f"lower({queried.sql}) <= lower({compiled.bind(value.high + chr(0x10FFFD))})"] if value.high else []
        return "(" + " AND ".join(ends) + ")"
    text = value.text.lower()
    if queried.choices:  # named one by one they are found by their index
        meant = [one for one in queried.choices if (one == text if value.exact else text in one)]
        return f"{queried.sql} IN ({', '.join(map(compiled.bind, meant)) or 'NULL'})"
    if value.exact:
        return f"lower({queried.sql}) = lower({compiled.bind(value.text)})"
    return f"lower({queried.sql}) LIKE lower({compiled.bind(_contains(value.text))}) ESCAPE '!'"


def _limits(queried: QueryField, value: Value) -> tuple[float | int | None, float | int | None]:
    if queried.kind == "date":
        if not value.is_range:
            return _date(value.text, end=False), _date(value.text, end=True)
        low = None if value.low is None else _date(value.low, end=False)
        return low, None if value.high is None else _date(value.high, end=True)
    if value.is_range:
        low_number = None if value.low is None else _number(queried, value.low)
        return low_number, None if value.high is None else _number(queried, value.high)
    number = _number(queried, value.text)
    if queried.kind == "integer":
        return number, number
    # a number as it is shown: 1.5 is whatever rounds to 1.5
    half_step = 0.5 * 10.0 ** -len(value.text.partition(".")[2])
    return number - half_step, number + half_step


def _number(queried: QueryField, text: str) -> float:
    thousands = text.lower().endswith("k")
    try:
        number = float(text[:-1] if thousands else text) * (1000 if thousands else 1)
    except ValueError:
        raise bad_query(
            f"'{text}' is not a number, which {queried.name} needs", f"For example {queried.example}"
        ) from None
    if number != number or abs(number) > 1e15:
        raise bad_query(f"'{text}' is not a number that {queried.name} could have", f"For example {queried.example}")
    return number


def _date(text: str, end: bool) -> int:
    """Start of a year, month or day in microseconds; with ``end`` the start of the next one."""
    found = DATE.match(text)
    try:
        if found is None:
            raise ValueError
        year, month, day = (int(part) if part else None for part in found.groups())
        assert year is not None
        start = datetime(year, month or 1, day or 1, tzinfo=UTC)
        if not end:
            moment = start
        elif day is not None:
            moment = datetime.fromtimestamp(start.timestamp() + 86_400, tz=UTC)
        elif month is not None:
            moment = datetime(year + month // 12, month % 12 + 1, 1, tzinfo=UTC)
        else:
            moment = datetime(year + 1, 1, 1, tzinfo=UTC)
    except (ValueError, OverflowError):
        raise bad_query(f"'{text}' is not a date", "Write 2026, 2026-03 or 2026-03-01") from None
    return int(moment.timestamp()) * 1_000_000
