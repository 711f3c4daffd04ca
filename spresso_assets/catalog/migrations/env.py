"""Alembic's entry point: `catalog.upgrade` hands in an open connection, and the caller's transaction covers all."""

from typing import Any

from alembic import context

from spresso_assets.catalog.models import metadata

# Made by hand in the migrations, because SQLAlchemy has no words for them: full-text tables and generated columns.
HAND_MADE_TABLES = ("asset_fts", "asset_tri")
HAND_MADE_COLUMNS = {("asset_text", "everything"), ("asset_text", "lexemes")}
HAND_MADE_INDICES = {
    "ix_asset_text_everything",
    "ix_asset_text_lexemes",
    "ix_asset_summary",
    "ix_asset_deleted",
    "ix_asset_flagged",
    "ix_asset_text_name",
    "ix_source_file_summary",
    "ix_rendition_summary",
}


def include_object(item: Any, name: str | None, kind: str, reflected: bool, compare_to: Any) -> bool:
    if kind == "table":
        return not (name or "").startswith(HAND_MADE_TABLES)
    if kind == "column":
        return (item.table.name, name) not in HAND_MADE_COLUMNS
    return name not in HAND_MADE_INDICES


connection = context.config.attributes["connection"]
context.configure(
    connection=connection,
    target_metadata=metadata,
    include_object=include_object,
    render_as_batch=connection.dialect.name == "sqlite",
    compare_type=True,
    transactional_ddl=True,
)
context.run_migrations()
