"""Opening catalogs, transactions under contention, and errors that say what to do."""

import subprocess
import sys
import threading
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlmodel import select

from spresso_assets.catalog import location
from spresso_assets.catalog.engine import Catalog, open_catalog
from spresso_assets.catalog.faults import describe_fault
from spresso_assets.catalog.location import Location, file_system_of, locate
from spresso_assets.catalog.models import CatalogSetting, Job
from spresso_assets.catalog.rows import read_rows
from spresso_assets.catalog.search import search
from spresso_assets.errors import ExitCode, SpressoError
from tests.catalog.sounds import add_sound

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("opener", [open_catalog, lambda path: read_rows(path).__enter__()])
def test_a_missing_catalog_is_exit_code_10(tmp_path: Path, opener) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(SpressoError, match="catalog_missing") as caught:
        opener(tmp_path / "no.db")
    assert caught.value.exit_code is ExitCode.CATALOG_MISSING
    assert not (tmp_path / "no.db").exists(), "looking must not make one"


@pytest.mark.parametrize("opener", [open_catalog, lambda path: read_rows(path).__enter__()])
def test_a_file_of_another_kind_is_refused(tmp_path: Path, opener) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / "music.db"
    path.write_bytes(b"This is no database. " * 100)
    with pytest.raises(SpressoError, match="not_a_catalog"):
        opener(path)


def test_read_modify_write_from_many_threads_loses_nothing(catalog: Catalog, catalog_url: str) -> None:
    with catalog.session() as session:
        session.add(CatalogSetting(key="counter", value="0"))

    def add() -> None:
        own = open_catalog(catalog_url)
        for _ in range(25):
            with own.session() as session:
                counter = session.exec(
                    select(CatalogSetting).where(CatalogSetting.key == "counter").with_for_update()
                ).one()
                counter.value = str(int(counter.value) + 1)
        own.close()

    threads = [threading.Thread(target=add) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with catalog.read() as session:
        assert session.get_one(CatalogSetting, "counter").value == "100"


def test_a_failed_block_leaves_nothing(catalog: Catalog) -> None:
    with pytest.raises(RuntimeError), catalog.session() as session:
        session.add(CatalogSetting(key="a", value="b"))
        session.flush()
        raise RuntimeError
    with catalog.read() as session:
        assert session.get(CatalogSetting, "a") is None


def test_reading_does_not_wait_for_a_writer(catalog: Catalog) -> None:
    with catalog.session() as writer:
        writer.add(CatalogSetting(key="a", value="b"))
        writer.flush()
        with catalog.read() as session:
            assert session.get(CatalogSetting, "a") is None


def test_the_database_refuses_what_must_not_be(catalog: Catalog) -> None:
    """The partial unique indices and checks hold even against code that forgets them."""
    from sqlalchemy.exc import IntegrityError

    for second in (
        Job(kind="probe", dedupe_key="a", queue="io"),
        Job(kind="probe", dedupe_key="b", queue="io", status="running"),
        Job(kind="probe", dedupe_key="c", queue="io", status="nonsense"),
    ):
        with pytest.raises(IntegrityError), catalog.session() as session:
            session.add(Job(kind="probe", dedupe_key="a", queue="io"))
            session.flush()
            session.add(second)


def test_a_lighter_reader_finds_the_same(tmp_path: Path) -> None:
    catalog = open_catalog(tmp_path / "c.db", create=True)
    with catalog.session() as session:
        add_sound(session, "Doors/slam.wav")
        expected = search(session, "slam")
    with read_rows(tmp_path / "c.db") as rows:
        assert search(rows, "slam") == expected


def test_a_search_imports_neither_torch_nor_the_object_mapper(tmp_path: Path) -> None:
    """What keeps the first answer within half a second from a cold start."""
    open_catalog(tmp_path / "c.db", create=True).close()
    code = (
        "import sys; from spresso_assets.catalog.rows import read_rows\n"
        "from spresso_assets.catalog.search import search\n"
        f"with read_rows({str(tmp_path / 'c.db')!r}) as rows: print(len(search(rows, 'door')))\n"
        "print(sorted({name.partition('.')[0] for name in sys.modules} & "
        "{'torch', 'scipy', 'numpy', 'sqlalchemy', 'sqlmodel', 'alembic', 'pydantic'}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.split("\n")[:2] == ["0", "[]"]


def test_locations(tmp_path: Path) -> None:
    assert locate(tmp_path / "a.db").path == tmp_path / "a.db"
    assert locate("sqlite:////srv/a.db").path == Path("/srv/a.db")
    shown = locate("postgresql://me:secret@db.example/sfx?sslpassword=alsosecret").shown
    assert shown == "postgresql://db.example/sfx"
    with pytest.raises(SpressoError, match="catalog_url_unsupported"):
        locate("mysql://x/y")


def test_sqlite_on_a_network_share_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mounts = (
        f"/dev/sda / ext4 rw 0 0\nserver:/x {tmp_path} nfs4 rw 0 0\n/dev/sdb {tmp_path}/local\\040disk xfs rw 0 0\n"
    )
    assert file_system_of(tmp_path / "a.db", mounts) == "nfs4"
    assert file_system_of(tmp_path / "local disk" / "a.db", mounts) == "xfs"
    assert file_system_of(Path("/elsewhere"), mounts) == "ext4"
    monkeypatch.setattr(location, "file_system_of", lambda path: "cifs")
    with pytest.raises(SpressoError, match="sqlite_on_network_fs"):
        open_catalog(tmp_path / "a.db", create=True)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("complaint", "code"),
    [
        ("database is locked", "catalog_locked"),
        ("database or disk is full", "disk_full"),
        ("attempt to write a readonly database", "catalog_read_only"),
        ("database disk image is malformed", "not_a_catalog"),
    ],
)
def test_complaints_of_the_database_are_translated(complaint: str, code: str) -> None:
    fault = describe_fault(complaint, Location(path=Path("/srv/a.db")))
    assert fault is not None and fault.code == code and "/srv/a.db" in fault.message and fault.hint


def test_a_busy_catalog_is_said_to_be_busy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from spresso_assets.catalog import engine

    monkeypatch.setattr(engine, "SQLITE_PRAGMAS", ("busy_timeout=1", "foreign_keys=ON"))
    monkeypatch.setattr(engine, "BUSY_TIMEOUT_MS", 1)
    catalog = open_catalog(tmp_path / "c.db", create=True)
    with catalog.session(), pytest.raises(SpressoError, match="catalog_locked"), catalog.session():
        pass


def test_a_catalog_without_schema_is_missing_on_a_server(catalog: Catalog, catalog_url: str) -> None:
    with catalog.session() as session:
        session.connection().execute(text("DELETE FROM alembic_version"))
    with pytest.raises(SpressoError, match="catalog_missing"):
        open_catalog(catalog_url)
