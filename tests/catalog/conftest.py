"""Catalogs to test on: every test that takes `catalog` runs on SQLite, and on Postgres where its programs are found."""

import contextlib
import getpass
import os
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from spresso_assets.catalog.engine import Catalog, open_catalog


def postgres_programs() -> Path | None:
    """Folder of initdb and pg_ctl of the newest server installed, None if there is none."""
    for folder in sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True):
        if (folder / "initdb").is_file():
            return folder
    found = shutil.which("initdb")
    return Path(found).parent if found else None


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """A throw-away server on a private socket; its URL without the database's name. Skips where it cannot run."""
    programs = postgres_programs()
    if programs is None:
        pytest.skip("no Postgres programs on this machine")
    as_user: list[str] = []
    folder = Path(tempfile.mkdtemp(prefix="pg-"))  # short: a socket's path has at most 107 bytes
    if os.geteuid() == 0:  # the server refuses to run as root
        if subprocess.run(["id", "postgres"], capture_output=True).returncode != 0 or shutil.which("runuser") is None:
            pytest.skip("running as root, and no postgres user to run the server as")
        as_user = ["runuser", "-u", "postgres", "--"]
        shutil.chown(folder, "postgres")
    data, socket = folder / "data", folder / "s"
    user = "postgres" if as_user else getpass.getuser()

    def run(*command: str | Path) -> None:
        subprocess.run([*as_user, *map(str, command)], check=True, capture_output=True, cwd="/")

    run(programs / "initdb", "-D", data, "-A", "trust", "-U", user, "--no-sync", "-E", "UTF8", "--locale=C")
    run("mkdir", socket)
    options = f"-c listen_addresses='' -c unix_socket_directories='{socket}' -c fsync=off -c max_connections=60"
    run(programs / "pg_ctl", "-D", data, "-w", "-l", folder / "data" / "log", "-o", options, "start")
    try:
        yield f"postgresql://{user}@/{{}}?host={socket}"
    finally:
        run(programs / "pg_ctl", "-D", data, "-m", "immediate", "stop")
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def new_database(server: str) -> Iterator[str]:
    """URL of a fresh, empty database on a server.

    Dropped when done with: a hundred of them, deleted together, kept the end of a run waiting for a busy disk.
    """
    import psycopg

    name = f"t{uuid.uuid4().hex}"
    with psycopg.connect(server.format("postgres"), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")  # type: ignore[arg-type]
        yield server.format(name)
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")  # type: ignore[arg-type]


@contextlib.contextmanager
def new_location(request: pytest.FixtureRequest, folder: Path) -> Iterator[str]:
    """Where a new catalog may be made, in the kind of database that the fixture's parameter names."""
    if request.param == "sqlite":
        yield str(folder / "catalog.db")
    else:
        with new_database(request.getfixturevalue("postgres_server")) as url:
            yield url


@pytest.fixture(params=["sqlite", "postgres"])
def catalog_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    with new_location(request, tmp_path) as url:
        yield url


@pytest.fixture
def catalog(catalog_url: str) -> Iterator[Catalog]:
    """An empty catalog."""
    made = open_catalog(catalog_url, create=True)
    yield made
    made.close()
