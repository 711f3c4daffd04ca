"""Schema and models agree; upgrades are whole or nothing; other schemas are refused by name."""

from pathlib import Path

import pytest
from alembic import command
from alembic.script import ScriptDirectory
from sqlalchemy import text

from spresso_assets.catalog import revision
from spresso_assets.catalog.engine import Catalog, open_catalog
from spresso_assets.catalog.search import search
from spresso_assets.catalog.upgrade import migration_config, upgrade
from spresso_assets.errors import SpressoError
from tests.catalog.sounds import add_sound


def run(catalog: Catalog, what, *args: str) -> None:  # type: ignore[no-untyped-def]
    config = migration_config()
    with catalog.engine.begin() as connection:
        config.attributes["connection"] = connection
        what(config, *args)


def test_the_code_names_the_newest_revision() -> None:
    script = ScriptDirectory.from_config(migration_config())
    assert script.get_current_head() == revision.HEAD
    assert {item.revision for item in script.walk_revisions()} == revision.known_revisions()


def test_models_and_migrations_agree(catalog: Catalog) -> None:
    run(catalog, command.check)  # raises if autogenerate would add anything


def test_down_and_up_again_with_data(catalog: Catalog) -> None:
    with catalog.session() as session:
        add_sound(session, "Doors/slam.wav")
    run(catalog, command.downgrade, "0001")
    assert catalog.revision() == "0001"
    upgrade(catalog)
    with catalog.read() as session:
        assert len(search(session, "slam")) == 1, "the index is rebuilt from the text"
    run(catalog, command.downgrade, "base")
    assert catalog.revision() is None


def test_an_older_catalog_is_refused_then_upgraded_with_a_backup(tmp_path: Path) -> None:
    path = tmp_path / "c.db"
    catalog = open_catalog(path, create=True)
    run(catalog, command.downgrade, "0001")
    with pytest.raises(SpressoError, match="db_needs_upgrade") as caught:
        open_catalog(path)
    assert caught.value.exit_code == 11
    backup = upgrade(catalog)
    assert backup is not None and backup.parent == tmp_path
    assert open_catalog(path).revision() == revision.HEAD
    assert upgrade(catalog) is None, "nothing to do, nothing to back up"
    with pytest.raises(SpressoError, match="db_needs_upgrade"):
        open_catalog(backup)


def test_a_newer_catalog_is_refused(catalog: Catalog, catalog_url: str) -> None:
    with catalog.session() as session:
        session.connection().execute(text("UPDATE alembic_version SET version_num = '9999'"))
    for create in (False, True):
        with pytest.raises(SpressoError, match="db_newer"):
            open_catalog(catalog_url, create=create)


def test_a_migration_that_fails_leaves_the_former_schema(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    catalog = open_catalog(tmp_path / "c.db", create=True)
    run(catalog, command.downgrade, "0001")
    with catalog.session() as session:  # in the way of the second trigger
        session.connection().execute(text("CREATE TABLE asset_tri (x)"))
    with pytest.raises(Exception, match="asset_tri"):
        upgrade(catalog)
    assert catalog.revision() == "0001"
    with catalog.read() as session:
        names = session.connection().execute(text("SELECT name FROM sqlite_master")).scalars().all()
    assert "asset_fts" not in names
