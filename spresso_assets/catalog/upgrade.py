"""Bring a catalog's schema to this code's revision; Alembic is imported only here."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import text

from spresso_assets.catalog.backup import back_up, backup_name
from spresso_assets.catalog.engine import Catalog, read_revision, translated_errors
from spresso_assets.catalog.revision import HEAD, MIGRATIONS

# Any two numbers: all that matters is that every upgrader takes the same advisory lock.
ADVISORY_LOCK = 0x5350_5245


def migration_config() -> Config:
    """Alembic configured for our migrations, without an ini file."""
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    return config


def upgrade(catalog: Catalog, revision: str = HEAD, *, backup: bool = True) -> Path | None:
    """Run the missing migrations in one transaction: all of them, or none.

    Several processes may call this at once; one works, the others wait and find nothing to do.

    Args:
        backup: copy a SQLite catalog first; False for those who did.

    Returns:
        the backup file that was made first, None when there was nothing worth a backup or the database is a server,
        whose backups `spresso db upgrade` makes.
    """
    found = catalog.revision()
    copy = None
    if backup and found is not None and found != revision and catalog.location.path is not None:
        copy = back_up(catalog.location, backup_name(catalog.location, f"before-{revision}")).path
    config = migration_config()
    with translated_errors(catalog.location), catalog.engine.begin() as connection:
        if not catalog.is_sqlite:
            connection.execute(text("SET LOCAL statement_timeout = 0"))  # a new index over millions of rows
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": ADVISORY_LOCK})
        if read_revision(connection) != revision:
            config.attributes["connection"] = connection
            command.upgrade(config, revision)
    return copy
