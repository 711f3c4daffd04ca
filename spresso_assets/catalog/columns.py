"""What every table is made of: the metadata's naming convention, clock, public ids and column types.

Timestamps are integer microseconds since 1970 in UTC: the same value, order and arithmetic on SQLite and Postgres.
"""

import os
import time
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Dialect, Text
from sqlalchemy.types import TypeDecorator
from sqlmodel import SQLModel

# Named constraints can be altered by a later migration; unnamed ones differ per database and cannot.
SQLModel.metadata.naming_convention = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}


def now_us() -> int:
    """Microseconds since 1970, UTC, by this machine's clock."""
    return time.time_ns() // 1000


def iso_utc(us: int) -> str:
    """ISO-8601 of a stored timestamp, for example ``2026-03-01T12:00:00Z``."""
    return datetime.fromtimestamp(us / 1e6, tz=UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def new_uid() -> str:
    """A UUID version 7 as 32 hex digits (RFC 9562 section 5.7): sorts by creation time, safe to show and to share."""
    milliseconds = time.time_ns() // 1_000_000
    bits = int.from_bytes(os.urandom(10), "big")
    value = (
        (milliseconds & (2**48 - 1)) << 80 | 0x7 << 76 | (bits >> 62 & 0xFFF) << 64 | 0b10 << 62 | (bits & 2**62 - 1)
    )
    return UUID(int=value).hex


def path_to_stored(path: str) -> str:
    """A file name as the operating system gives it -> text that any database takes.

    Python shows bytes that are not UTF-8 as lone surrogates U+DC80..U+DCFF, which no UTF-8 database accepts. They
    move to the end of the last private plane (U+10FF80..U+10FFFF), where no real name lives, and back on reading.
    """
    if path.isascii():
        return path
    return "".join(chr(0x10FF00 + (ord(c) & 0xFF)) if "\udc80" <= c <= "\udcff" else c for c in path)


def path_from_stored(text: str) -> str:
    """The inverse of `path_to_stored`."""
    if text.isascii():
        return text
    return "".join(chr(0xDC00 + (ord(c) & 0xFF)) if "\U0010ff80" <= c <= "\U0010ffff" else c for c in text)


class PathText(TypeDecorator[str]):
    """Text column for paths and file names of any bytes."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        return None if value is None else path_to_stored(value)

    def process_result_value(self, value: Any | None, dialect: Dialect) -> str | None:
        return None if value is None else path_from_stored(value)
