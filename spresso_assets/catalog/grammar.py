"""The search language, read into groups of terms. No database here: text in, plain data out.

door slam            both words, anywhere in names, descriptions, tags or folders
"door slam"          the words beside each other
door -wood           without a word
door,gate creak      (door or gate) and creak
wood door , iron gate    either group: a comma with a space beside it parts whole groups
cat_id:DOOR          a field that contains a text;  cat_id:=DOORWood  is it exactly;  cat_id:  has none
duration:0.5..2      a range, either end may be left out;  added:2026-03..  works on dates
tag:wet,dry          one of several values
"""

import re
from dataclasses import dataclass

from spresso_assets.catalog.stored_paths import path_to_stored
from spresso_assets.errors import ExitCode, SpressoError

FIELD_NAME = re.compile(r"[A-Za-z_]+\Z")


@dataclass(frozen=True)
class Value:
    """One alternative of a term: a text, or a range with at least one end."""

    text: str = ""
    quoted: bool = False
    exact: bool = False
    low: str | None = None
    high: str | None = None

    @property
    def is_range(self) -> bool:
        return self.low is not None or self.high is not None


@dataclass(frozen=True)
class Term:
    """``field`` is None for bare words. One of the values must match, none of them if ``negated``."""

    values: tuple[Value, ...]
    field: str | None = None
    negated: bool = False


Query = tuple[tuple[Term, ...], ...]  # one of the groups; all terms of a group


def parse(query: str) -> Query:
    """Read a query; an empty one is an empty tuple and means everything.

    Raises:
        SpressoError: ``bad_query`` (exit 2), with the place of the mistake.
    """
    # bytes of file names that are not UTF-8 arrive as lone surrogates: look for them as they are stored
    query = path_to_stored(query.replace("\0", " ")).encode("utf-8", "replace").decode()
    groups: list[list[Term]] = [[]]
    for token in _tokens(query):
        if token.startswith(","):
            groups.append([])
        if token.strip(","):
            groups[-1].append(_term(token.strip(",")))
        if token.endswith(",") and token.strip(","):
            groups.append([])
    return tuple(tuple(group) for group in groups if group)


def bad_query(message: str, hint: str = "See: spresso search --help") -> SpressoError:
    return SpressoError(message, code="bad_query", hint=hint, exit_code=ExitCode.USAGE)


def _tokens(query: str) -> list[str]:
    """Split at white space outside quotes."""
    tokens, current, quoted = [], "", False
    for character in query:
        if character == '"':
            quoted = not quoted
        if character.isspace() and not quoted:
            tokens.append(current)
            current = ""
        else:
            current += character
    if quoted:
        raise bad_query(f"A quote is not closed: {query}", 'Write "two words", or leave the quote out')
    return [token for token in [*tokens, current] if token]


def _split(text: str, separator: str, limit: int = -1) -> list[str]:
    """Like `str.split`, but blind inside quotes."""
    parts, current, quoted = [], "", False
    for character in text:
        if character == '"':
            quoted = not quoted
        if character == separator and not quoted and limit != 0:
            parts.append(current)
            current = ""
            limit -= 1
        else:
            current += character
    return [*parts, current]


def _term(token: str) -> Term:
    negated = token.startswith("-") and len(token) > 1
    if negated:
        token = token[1:]
    name, *rest = _split(token, ":", limit=1)
    if rest and FIELD_NAME.match(name):
        values = tuple(_value(part, with_ranges=True) for part in _split(rest[0], ","))
        return Term(values, name.lower(), negated)
    parts = [part for part in _split(token, ",") if part.strip('"')]
    if not parts:
        raise bad_query(f"There is nothing to look for in {token}")
    return Term(tuple(_value(part, with_ranges=False) for part in parts), None, negated)


def _value(part: str, with_ranges: bool) -> Value:
    if '"' in part:
        exact = with_ranges and part.startswith("=")
        return Value(part.replace('"', "")[1 if exact else 0 :], quoted=True, exact=exact)
    if with_ranges and part.startswith("="):
        return Value(part[1:], exact=True)
    if with_ranges and ".." in part:
        low, _, high = part.partition("..")
        if not low and not high:
            raise bad_query("A range needs at least one end", "Write 2..5, 2.. or ..5")
        return Value(low=low or None, high=high or None)
    return Value(part)
