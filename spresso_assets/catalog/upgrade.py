"""Bring a catalog's schema to this code's revision; Alembic is imported only here."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import text

from spresso_assets.catalog.columns import iso_utc, now_us
from spresso_assets.catalog.engine import Catalog, read_revision, translated_errors
from spresso_assets.catalog.revision import HEAD, MIGRATIONS

# Any two numbers: all that matters is that every upgrader takes the same advisory lock.
ADVISORY_LOCK = 0x5350_5245


def migration_config() -> Config:
    """Alembic configured for our migrations, without an ini file."""
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    return config


def upgrade(catalog: Catalog, revision: str = HEAD) -> Path | None:
    """Run the missing migrations in one transaction: all of them, or none.

    Several processes may call this at once; one works, the others wait and find nothing to do.

    Returns:
        the backup file that was made first, None when there was nothing worth a backup or the database is a server.
    """
    found = catalog.revision()
    backup = None
    if found is not None and found != revision and catalog.location.path is not None:
        backup = back_up(catalog, f"before-{revision}")
    config = migration_config()
    with translated_errors(catalog.location), catalog.engine.begin() as connection:
        if not catalog.is_sqlite:
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": ADVISORY_LOCK})
        if read_revision(connection) != revision:
            config.attributes["connection"] = connection
            command.upgrade(config, revision)
    return backup


def back_up(catalog: Catalog, label: str) -> Path:
    """A compact, consistent copy of a SQLite catalog beside it, while others go on using it."""
    path = catalog.location.path
    assert path is not None, "servers have their own backup tools"
    stamp = iso_utc(now_us()).replace(":", "").replace("-", "")
    target = path.with_name(f"{path.stem}-{label}-{stamp}{path.suffix}")
    with translated_errors(catalog.location), catalog.engine.connect() as connection:
        raw = connection.connection.driver_connection
        assert raw is not None
        raw.execute("VACUUM INTO ?", (str(target),))
    return target
