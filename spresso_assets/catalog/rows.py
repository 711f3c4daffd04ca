"""Plain SQL reads that need no object mapper: a search is then answered before SQLAlchemy would be imported."""

import sqlite3
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast
from urllib.parse import quote

from spresso_assets.catalog.location import catalog_missing, check_revision, locate
from spresso_assets.catalog.revision import HEAD, known_revisions
from spresso_assets.errors import ExitCode, FaultKind, SpressoError

if TYPE_CHECKING:
    from sqlmodel import Session


class Rows(Protocol):
    """Anything that answers SQL with ``:name`` parameters."""

    dialect: str

    def rows(self, sql: str, params: Mapping[str, Any]) -> list[tuple[Any, ...]]: ...

    def within(self, seconds: float) -> AbstractContextManager[None]:
        """What is asked inside raises TimeoutError if it takes longer; the transaction goes on."""
        ...


class SessionRows:
    """`Rows` of an open session, in its transaction."""

    def __init__(self, session: "Session") -> None:
        self.session = session
        self.dialect = session.get_bind().dialect.name

    def rows(self, sql: str, params: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        from sqlalchemy import text

        return [tuple(row) for row in self.session.connection().execute(text(sql), params)]

    @contextmanager
    def within(self, seconds: float) -> Iterator[None]:
        from sqlalchemy import text
        from sqlalchemy.exc import DBAPIError

        connection = self.session.connection()
        try:
            if self.dialect == "sqlite":
                with _interrupted_after(cast(sqlite3.Connection, connection.connection.driver_connection), seconds):
                    yield
            else:
                with connection.begin_nested() as part:
                    connection.execute(text(f"SET LOCAL statement_timeout = {max(1, int(seconds * 1000))}"))
                    yield
                    part.rollback()  # and the setting with it
        except DBAPIError as error:
            if isinstance(error.orig, sqlite3.OperationalError) and "interrupted" in str(error.orig):
                raise TimeoutError from error
            if getattr(error.orig, "sqlstate", None) == "57014":  # query_canceled
                raise TimeoutError from error
            raise


def as_rows(source: "Session | Rows") -> Rows:
    """`Rows` of either."""
    if hasattr(source, "rows"):
        return cast(Rows, source)
    return SessionRows(source)


class SqliteRows:
    """`Rows` of a SQLite file, opened read-only."""

    dialect = "sqlite"

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection

    def rows(self, sql: str, params: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        return self.connection.execute(sql, params).fetchall()

    @contextmanager
    def within(self, seconds: float) -> Iterator[None]:
        try:
            with _interrupted_after(self.connection, seconds):
                yield
        except sqlite3.OperationalError as error:
            if "interrupted" in str(error):
                raise TimeoutError from error
            raise


@contextmanager
def _interrupted_after(connection: sqlite3.Connection, seconds: float) -> Iterator[None]:
    end = time.monotonic() + seconds
    connection.set_progress_handler(lambda: time.monotonic() > end, 1000)
    try:
        yield
    finally:
        connection.set_progress_handler(None, 0)


@contextmanager
def read_rows(url_or_path: str | Path) -> Iterator[Rows]:
    """Open a catalog for reading only; for SQLite without importing any database library.

    Raises:
        SpressoError: as `engine.open_catalog`.
    """
    location = locate(url_or_path)
    if location.path is None:
        from spresso_assets.catalog.engine import open_catalog

        catalog = open_catalog(url_or_path)
        try:
            with catalog.read() as session:
                yield SessionRows(session)
        finally:
            catalog.close()
        return
    if not location.path.is_file():
        raise catalog_missing(location.shown)
    uri = f"file:{quote(str(location.path.absolute()))}?mode=ro"
    connection = None
    try:
        connection = sqlite3.connect(uri, uri=True, timeout=30, isolation_level=None)
        connection.execute("BEGIN")  # one snapshot for all that follows
        check_revision(_revision(connection), HEAD, known_revisions(), location.shown)
        yield SqliteRows(connection)
    except sqlite3.DatabaseError as error:
        raise SpressoError(
            f"{location.shown} cannot be read as a catalog: {error}",
            code="not_a_catalog",
            hint="Name another file with --catalog, or restore a backup",
            exit_code=ExitCode.FAILED,
            kind=FaultKind.ENVIRONMENT,
        ) from error
    finally:
        if connection is not None:
            connection.close()


def _revision(connection: sqlite3.Connection) -> str | None:
    if connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'alembic_version'").fetchone() is None:
        return None
    row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    return None if row is None else str(row[0])
