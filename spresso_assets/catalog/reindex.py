"""Write the search text of all sounds anew and build the indices over it: after a change of rules, or of heart."""

from collections.abc import Callable

from sqlalchemy import select, text
from sqlmodel import col

from spresso_assets.catalog.asset_text import refresh_text
from spresso_assets.catalog.engine import Catalog
from spresso_assets.catalog.models import Asset

CHUNK = 500


def reindex(catalog: Catalog, on_progress: Callable[[int, int], None] = lambda done, total: None) -> int:
    """Returns the number of sounds. In short transactions: others work on, and an interrupted run may begin again."""
    with catalog.read() as session:
        ids = list(session.connection().execute(select(col(Asset.id)).order_by(col(Asset.id))).scalars())
    for at in range(0, len(ids), CHUNK):
        on_progress(at, len(ids))
        with catalog.session() as session:
            for asset_id in ids[at : at + CHUNK]:
                assert asset_id is not None
                if session.get(Asset, asset_id) is not None:
                    refresh_text(session, asset_id)
    with catalog.session() as session:
        connection = session.connection()
        if catalog.is_sqlite:
            for table in ("asset_fts", "asset_tri"):
                connection.execute(text(f"INSERT INTO {table}({table}) VALUES ('rebuild')"))
        else:
            connection.execute(text("SET LOCAL statement_timeout = 0"))
            connection.execute(text("REINDEX TABLE asset_text"))
    on_progress(len(ids), len(ids))
    return len(ids)
