"""What every table is made of: the metadata's naming convention, clock, public ids and column types.

Timestamps are integer microseconds since 1970 in UTC: the same value, order and arithmetic on SQLite and Postgres.
"""

import time
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from sqlalchemy import Dialect, Text
from sqlalchemy.types import TypeDecorator
from sqlmodel import SQLModel

from spresso_assets.catalog.stored_paths import path_from_stored, path_to_stored

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
    """A random public id of 32 hex digits. Not time-ordered: people type its first few digits, which must differ."""
    return uuid4().hex


class PathText(TypeDecorator[str]):
    """Text column for paths and file names of any bytes."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        return None if value is None else path_to_stored(value)

    def process_result_value(self, value: Any | None, dialect: Dialect) -> str | None:
        return None if value is None else path_from_stored(value)
