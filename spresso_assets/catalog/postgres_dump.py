"""Backups of a Postgres catalog by the server's own programs, which must be on the PATH.

Where to connect to, password included, is handed to them in environment variables: a command line can be read by every
user of a machine.
"""

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from spresso_assets.catalog.faults import catalog_unreachable
from spresso_assets.catalog.location import Location
from spresso_assets.errors import FaultKind, SpressoError

if TYPE_CHECKING:
    from sqlalchemy import Connection

# libpq's name of a setting -> its environment variable
SETTINGS = {
    "host": "PGHOST",
    "port": "PGPORT",
    "user": "PGUSER",
    "password": "PGPASSWORD",
    "passfile": "PGPASSFILE",
    "service": "PGSERVICE",
    "sslmode": "PGSSLMODE",
    "sslcert": "PGSSLCERT",
    "sslkey": "PGSSLKEY",
    "sslrootcert": "PGSSLROOTCERT",
    "channel_binding": "PGCHANNELBINDING",
    "connect_timeout": "PGCONNECT_TIMEOUT",
}


def dump(location: Location, target: Path) -> None:
    """Write a dump in Postgres' own compressed format.

    Raises:
        SpressoError: ``postgres_tools_missing``, ``catalog_unreachable``, ``backup_failed``.
    """
    _run("pg_dump", ["--format=custom", "--no-owner", "--no-privileges", f"--file={target}"], location)
    _run("pg_restore", ["--list", str(target)])  # its table of contents can be read


def load(source: Path, location: Location) -> None:
    """Replace the catalog's tables by those of a dump, in one transaction.

    Raises:
        SpressoError: ``postgres_tools_missing``, ``catalog_unreachable``, ``restore_failed``: nothing was changed.
    """
    _make_trigrams(location)
    contents = _run("pg_restore", ["--list", str(source)])
    # an extension belongs to the server's owner, who may be somebody else
    wanted = [line for line in contents.splitlines() if not re.search(r"\b(EXTENSION|COMMENT)\b", line)]
    with tempfile.NamedTemporaryFile("w", suffix=".list") as listed:
        listed.write("\n".join(wanted))
        listed.flush()
        options = ["--clean", "--if-exists", "--single-transaction", "--no-owner", "--no-privileges"]
        dbname = f"--dbname={_database(location)}"
        _run("pg_restore", [*options, f"--use-list={listed.name}", dbname, str(source)], location, "restore_failed")


def revision_of(source: Path) -> str | None:
    """Schema of the catalog in a dump, None if it holds none.

    Raises:
        SpressoError: ``not_a_backup``, ``postgres_tools_missing``.
    """
    text = _run("pg_restore", ["--data-only", "--table=alembic_version", "--file=-", str(source)], code="not_a_backup")
    found = re.search(r"^COPY [^\n]*alembic_version[^\n]*\n([^\n]*)\n\\\.", text, re.MULTILINE)
    return found[1] if found else None


def has_catalog(location: Location) -> bool:
    """Whether the database holds tables of ours already."""
    from sqlalchemy import inspect

    with _connected(location) as connection:
        return inspect(connection).has_table("alembic_version")


@contextmanager
def _connected(location: Location) -> Iterator["Connection"]:
    from spresso_assets.catalog.engine import open_engine, translated_errors

    engine = open_engine(location)
    try:
        with translated_errors(location), engine.begin() as connection:
            yield connection
    finally:
        engine.dispose()


def _make_trigrams(location: Location) -> None:
    """As the migrations do: try; without the extension the dump has no index of it either, or the load says so."""
    from sqlalchemy import exc

    try:
        with _connected(location) as connection, connection.begin_nested():
            connection.exec_driver_sql("CREATE EXTENSION IF NOT EXISTS pg_trgm")
    except exc.DBAPIError:
        pass


def _database(location: Location) -> str:
    from sqlalchemy import make_url

    assert location.url is not None
    return make_url(location.url).database or ""


def environment(location: Location) -> dict[str, str]:
    """libpq's variables for a catalog's URL, password included; nothing else of ours goes to the programs."""
    from sqlalchemy import make_url

    assert location.url is not None
    url = make_url(location.url)
    given: dict[str, object] = {
        **{name: value for name, value in url.query.items() if name in SETTINGS},
        "host": url.host or url.query.get("host"),
        "port": url.port or url.query.get("port"),
        "user": url.username,
        "password": url.password,
    }
    found = {SETTINGS[name]: str(value) for name, value in given.items() if value}
    kept = {name: value for name, value in os.environ.items() if not name.startswith("SPRESSO_")}
    return {**kept, **found, **({"PGDATABASE": url.database} if url.database else {})}


def _run(program: str, options: Sequence[str], location: Location | None = None, code: str = "backup_failed") -> str:
    found = shutil.which(program)
    if found is None:
        raise SpressoError(
            f"There is no program {program} on the PATH",
            code="postgres_tools_missing",
            hint="Install the client programs of your Postgres server's version, for example postgresql-client-15",
            kind=FaultKind.ENVIRONMENT,
        )
    password = [] if location is None else ["--no-password"]
    done = subprocess.run(
        [found, *password, *options],
        env=None if location is None else environment(location),
        capture_output=True,
        text=True,
        errors="replace",
        stdin=subprocess.DEVNULL,
    )
    if done.returncode == 0:
        return done.stdout
    said = [line for line in done.stderr.splitlines() if "error:" in line] or done.stderr.splitlines() or ["failed"]
    said_plainly = said[0].partition("error:")[2].strip() or said[0]
    if location is not None and "connection to server" in said_plainly:
        raise catalog_unreachable(location.shown)
    hint = {
        "backup_failed": "The programs must be at least as new as the server; see what it says",
        "restore_failed": "Nothing was changed; the former catalog was backed up beside you",
        "not_a_backup": "Name a file of 'spresso db backup'",
    }[code]
    raise SpressoError(f"{program}: {said_plainly}", code=code, hint=hint, kind=FaultKind.ENVIRONMENT)
