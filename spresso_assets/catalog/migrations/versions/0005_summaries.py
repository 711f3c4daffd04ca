"""Narrow indices from which summaries are counted: without them every count reads all rows with their outlines."""

from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    # JSON has no order on Postgres, so there it rides along.
    if op.get_bind().dialect.name == "sqlite":
        op.execute("CREATE INDEX ix_asset_summary ON asset (deleted_at, id, duration, flags)")
    else:
        op.execute("CREATE INDEX ix_asset_summary ON asset (deleted_at, id, duration) INCLUDE (flags)")
    op.execute("CREATE INDEX ix_source_file_summary ON source_file (asset_id, state, size)")
    op.execute(
        "CREATE INDEX ix_rendition_summary ON rendition (asset_id, profile_id, payload_bytes) WHERE status = 'ready'"
    )


def downgrade() -> None:
    for name in ("ix_rendition_summary", "ix_source_file_summary", "ix_asset_summary"):
        op.execute(f"DROP INDEX {name}")
