"""Open a catalog and talk to it: short write transactions, reads that never wait for a writer.

SQLite: WAL, and every writer begins with ``BEGIN IMMEDIATE``. A deferred transaction that reads and then writes
fails with "database is locked" as soon as two do it at once, and the driver's own transaction control hides BEGIN
altogether: without either, concurrent read-modify-writes were measured to lose two updates of three.
"""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, Engine, create_engine, event, exc, inspect, text
from sqlmodel import Session

from spresso_assets.catalog.columns import now_us
from spresso_assets.catalog.faults import BUSY_TIMEOUT_MS, describe_fault
from spresso_assets.catalog.location import (
    Location,
    catalog_missing,
    check_revision,
    locate,
    refuse_network_file_system,
)
from spresso_assets.catalog.revision import HEAD, known_revisions
from spresso_assets.errors import FaultKind, SpressoError

SQLITE_PRAGMAS = (
    "journal_mode=WAL",
    "synchronous=NORMAL",  # a power cut may lose the last transactions, never the database
    f"busy_timeout={BUSY_TIMEOUT_MS}",
    "foreign_keys=ON",
    "journal_size_limit=67108864",
    "mmap_size=0",
)
# A client that dies or hangs must not hold row locks for ever.
POSTGRES_OPTIONS = (
    "-c idle_in_transaction_session_timeout=60s -c lock_timeout=30s -c statement_timeout=120s -c timezone=UTC"
)


class Catalog:
    """A handle on one catalog database. Threads may share it; processes open their own."""

    def __init__(self, engine: Engine, location: Location) -> None:
        self.engine = engine
        self.location = location
        self._readers = engine.execution_options(catalog_read_only=True)

    @property
    def is_sqlite(self) -> bool:
        return self.engine.dialect.name == "sqlite"

    @contextmanager
    def session(self) -> Iterator[Session]:
        """One write transaction: committed at the end of the block, rolled back if it raises.

        Keep it short: no decoding, no network, no waiting inside. On SQLite it holds the only write lock.

        Raises:
            SpressoError: ``catalog_locked``, ``disk_full``, ``catalog_read_only``, ``catalog_unreachable``.
        """
        with translated_errors(self.location), Session(self.engine, expire_on_commit=False) as session, session.begin():
            # take the lock here, so that everything read in the block is still true when it is written
            session.connection()
            yield session

    @contextmanager
    def read(self) -> Iterator[Session]:
        """One consistent snapshot for reading; never waits for a writer, and no change is kept.

        Rows that were loaded stay usable after the block.
        """
        with translated_errors(self.location), Session(self._readers, expire_on_commit=False) as session:
            try:
                yield session
            finally:
                session.expunge_all()
                session.rollback()

    def revision(self) -> str | None:
        """Schema revision, None if there is no schema."""
        with translated_errors(self.location), self._readers.connect() as connection:
            return read_revision(connection)

    def close(self) -> None:
        self.engine.dispose()


def open_catalog(url_or_path: str | os.PathLike[str], create: bool = False, *, any_schema: bool = False) -> Catalog:
    """Open a catalog, or make it first.

    Args:
        url_or_path: a SQLite file, ``sqlite:///file`` or ``postgresql://user@host/database``.
        create: make the file (and its folder) or the schema when missing, and upgrade an older schema.
        any_schema: open an older one as it is, for those who will upgrade it or only look.

    Raises:
        SpressoError: ``catalog_missing`` (exit 10), ``db_needs_upgrade``, ``db_newer``, ``catalog_locked``,
            ``sqlite_on_network_fs`` (exit 11), ``not_a_catalog``, ``catalog_unreachable``.
    """
    location = locate(url_or_path)
    if location.path is not None:
        refuse_network_file_system(location.path)
        if not create and not location.path.is_file():
            raise catalog_missing(location.shown)
        if create:
            _make_folder(location)
    catalog = Catalog(open_engine(location), location)
    try:
        found = catalog.revision()
        if create and found != HEAD and (found is None or found in known_revisions()):
            from spresso_assets.catalog.upgrade import upgrade

            upgrade(catalog)
            found = catalog.revision()
        if not (any_schema and found in known_revisions()):
            check_revision(found, HEAD, known_revisions(), location.shown)
    except BaseException:
        catalog.close()
        raise
    return catalog


def open_engine(location: Location) -> Engine:
    """The database itself, whatever is in it.

    Raises:
        SpressoError: ``postgres_driver_missing``.
    """
    return _sqlite_engine(location) if location.path is not None else _postgres_engine(location)


def _make_folder(location: Location) -> None:
    assert location.path is not None
    try:
        location.path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SpressoError(
            f"Cannot make the folder of {location.shown}: {error.strerror}",
            code="catalog_not_writable",
            kind=FaultKind.ENVIRONMENT,
        ) from error


def _sqlite_engine(location: Location) -> Engine:
    engine = create_engine(f"sqlite:///{location.path}", connect_args={"timeout": BUSY_TIMEOUT_MS / 1000})

    @event.listens_for(engine, "connect")
    def set_up(dbapi_connection: sqlite3.Connection, _record: object) -> None:
        dbapi_connection.isolation_level = None  # we begin transactions, not the driver
        for pragma in SQLITE_PRAGMAS:
            dbapi_connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        read_only = connection.get_execution_options().get("catalog_read_only")
        connection.exec_driver_sql("BEGIN" if read_only else "BEGIN IMMEDIATE")

    return engine


def _postgres_engine(location: Location) -> Engine:
    assert location.url is not None
    try:
        return create_engine(location.url, pool_pre_ping=True, connect_args={"options": POSTGRES_OPTIONS})
    except ModuleNotFoundError as error:
        raise SpressoError(
            "The Postgres driver is not installed",
            code="postgres_driver_missing",
            hint="Install it: pip install 'spresso-assets[postgres]'",
            kind=FaultKind.ENVIRONMENT,
        ) from error


def read_revision(connection: Connection) -> str | None:
    """Alembic's version row, without Alembic."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    row = connection.execute(text("SELECT version_num FROM alembic_version")).first()
    return None if row is None else str(row[0])


def database_now(session: Session) -> int:
    """Microseconds since 1970 by the database's clock: leases of many hosts must agree on the time."""
    if session.get_bind().dialect.name == "sqlite":
        return now_us()
    now = session.connection().execute(text("SELECT CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS bigint)"))
    return int(now.scalar_one())


@contextmanager
def translated_errors(location: Location) -> Iterator[None]:
    """Turn the database's complaints about its surroundings into errors that say what to do."""
    try:
        yield
    except exc.DBAPIError as error:
        known = describe_fault(str(error.orig), location)
        if known is None:
            raise
        raise known from error
