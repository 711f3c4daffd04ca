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
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

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

    All tables of ours go first, those that the dump does not have too: newer tables refer to older ones, which could
    otherwise not be replaced. pg_restore cannot drop what it does not have, so psql runs what it writes.

    Raises:
        SpressoError: ``postgres_tools_missing``, ``catalog_unreachable``, ``restore_failed``: nothing was changed.
    """
    from spresso_assets.catalog.models import SQLModel

    _make_trigrams(location)
    contents = _run("pg_restore", ["--list", str(source)])
    # an extension belongs to the server's owner, who may be somebody else
    wanted = [line for line in contents.splitlines() if not re.search(r"\b(EXTENSION|COMMENT)\b", line)]
    tables = ", ".join(f'"{name}"' for name in (*SQLModel.metadata.tables, "alembic_version"))
    with tempfile.TemporaryDirectory() as folder:
        listed = Path(folder, "list")
        listed.write_text("\n".join(wanted), encoding="utf-8")
        unpack = ["--no-owner", "--no-privileges", f"--use-list={listed}", "--file=-", str(source)]
        apply = ["--no-psqlrc", "--no-password", "--quiet", "--set=ON_ERROR_STOP=1", "--file=-"]
        with Path(folder, "said").open("w+", encoding="utf-8", errors="replace") as said:
            source_process = subprocess.Popen([_program("pg_restore"), *unpack], stdout=subprocess.PIPE, stderr=said)
            target_process = subprocess.Popen(
                [_program("psql"), *apply],
                env=environment(location),
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=said,
            )
            assert source_process.stdout is not None and target_process.stdin is not None
            with suppress(BrokenPipeError), source_process, target_process, target_process.stdin as script:
                script.write(f"BEGIN;\nDROP TABLE IF EXISTS {tables};\n".encode())
                shutil.copyfileobj(source_process.stdout, script)
                if source_process.wait() == 0:  # a dump that breaks off must not be half of a catalog
                    script.write(b"COMMIT;\n")
            said.seek(0)
            if source_process.returncode or target_process.returncode:
                _complain("psql", said.read(), location, "restore_failed")


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


def _program(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        raise SpressoError(
            f"There is no program {name} on the PATH",
            code="postgres_tools_missing",
            hint="Install the client programs of your Postgres server's version, for example postgresql-client-15",
            kind=FaultKind.ENVIRONMENT,
        )
    return found


def _run(program: str, options: Sequence[str], location: Location | None = None, code: str = "backup_failed") -> str:
    password = [] if location is None else ["--no-password"]
    done = subprocess.run(
        [_program(program), *password, *options],
        env=None if location is None else environment(location),
        capture_output=True,
        text=True,
        errors="replace",
        stdin=subprocess.DEVNULL,
    )
    if done.returncode == 0:
        return done.stdout
    _complain(program, done.stderr, location, code)


def _complain(program: str, stderr: str, location: Location | None, code: str = "backup_failed") -> NoReturn:
    said = (
        [line for line in stderr.splitlines() if re.search(r"error:", line, re.I)] or stderr.splitlines() or ["failed"]
    )
    said_plainly = re.split(r"error:", said[0], maxsplit=1, flags=re.I)[-1].strip() or said[0]
    if location is not None and "connection to server" in said_plainly:
        raise catalog_unreachable(location.shown)
    hint = {
        "backup_failed": "The programs must be at least as new as the server; see what it says",
        "restore_failed": "Nothing was changed; the former catalog was backed up beside you",
        "not_a_backup": "Name a file of 'spresso db backup'",
    }[code]
    raise SpressoError(f"{program}: {said_plainly}", code=code, hint=hint, kind=FaultKind.ENVIRONMENT)
