"""What a catalog's database is made of: schema, bytes, rows by table."""

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import text

from spresso_assets.catalog.engine import Catalog
from spresso_assets.catalog.models import metadata
from spresso_assets.catalog.revision import HEAD


@dataclass(frozen=True)
class Table:
    """``bytes`` with indices; None where nobody counted."""

    name: str
    rows: int
    bytes: int | None = None


@dataclass(frozen=True)
class Inventory:
    shown: str
    database: str
    revision: str
    head: str
    bytes: int
    log_bytes: int  # SQLite's write-ahead log
    tables: list[Table] = field(default_factory=list)
    backups: list[str] = field(default_factory=list)  # beside the file, newest first

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def take_inventory(catalog: Catalog, sizes: bool = False) -> Inventory:
    """Count everything.

    Args:
        sizes: bytes of each table, which on SQLite reads the whole file.
    """
    with catalog.read() as session:
        connection = session.connection()
        names = [table.name for table in metadata.sorted_tables]
        if catalog.is_sqlite:
            there = set(connection.execute(text("SELECT name FROM sqlite_master WHERE type = 'table'")).scalars())
            version = "SQLite " + str(connection.execute(text("SELECT sqlite_version()")).scalar_one())
            by_table = _sqlite_sizes(connection) if sizes else {}
        else:
            listed = text("SELECT tablename FROM pg_tables WHERE schemaname = current_schema()")
            there = set(connection.execute(listed).scalars())
            version = "Postgres " + str(connection.execute(text("SHOW server_version")).scalar_one()).split()[0]
            by_table = {
                name: int(connection.execute(text("SELECT pg_total_relation_size(:name)"), {"name": name}).scalar_one())
                for name in names
                if name in there
            }
            total = int(connection.execute(text("SELECT pg_database_size(current_database())")).scalar_one())
        rows = {
            name: int(connection.execute(text(f'SELECT count(*) FROM "{name}"')).scalar_one())
            for name in names
            if name in there
        }
    path = catalog.location.path
    if path is not None:
        total = path.stat().st_size
    log = path.with_name(path.name + "-wal") if path is not None else None
    tables = [Table(name, number, by_table.get(name)) for name, number in rows.items()]
    tables += [Table(name, 0, size) for name, size in by_table.items() if name not in rows]
    return Inventory(
        shown=catalog.location.shown,
        database=version,
        revision=catalog.revision() or "",
        head=HEAD,
        bytes=total,
        log_bytes=log.stat().st_size if log is not None and log.exists() else 0,
        tables=sorted(tables, key=lambda table: (-(table.bytes or 0), -table.rows, table.name)),
        backups=[] if path is None else _backups(path),
    )


def _sqlite_sizes(connection: Any) -> dict[str, int]:
    """Bytes of tables with their indices; the text indices count as tables of their own."""
    found: dict[str, int] = {}
    rows = connection.execute(
        text(
            "SELECT coalesce(m.tbl_name, d.name), sum(d.pgsize) FROM dbstat d "
            "LEFT JOIN sqlite_master m ON m.name = d.name GROUP BY 1"
        )
    )
    for name, size in rows:
        for index in ("asset_fts", "asset_tri"):
            if name.startswith(index):
                name = f"{index} (search)"
        found[name] = found.get(name, 0) + int(size)
    return found


def _backups(path: Path) -> list[str]:
    labelled = [*path.parent.glob(f"{path.stem}-backup-*"), *path.parent.glob(f"{path.stem}-before-*")]
    return [str(file) for file in sorted(labelled, key=lambda file: file.stat().st_mtime, reverse=True)]
