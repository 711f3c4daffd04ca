"""Orders that people ask for - newest first, by name - and what the probe noticed, each walked along an index."""

from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.execute("CREATE INDEX ix_asset_created_at ON asset (created_at)")
    # A start is enough to sort by, and no entry is then too long for Postgres. Words as in `sorting.NAME`.
    op.execute("CREATE INDEX ix_asset_text_name ON asset_text (lower(substr(names, 1, 80)))")
    if op.get_bind().dialect.name == "sqlite":
        # Nine sounds of ten have no flags. A scan by flag would read all rows with their outlines.
        op.execute("CREATE INDEX ix_asset_flagged ON asset (id) WHERE CAST(flags AS TEXT) <> '[]'")


def downgrade() -> None:
    op.execute("DROP INDEX IF EXISTS ix_asset_flagged")
    for name in ("ix_asset_text_name", "ix_asset_created_at"):
        op.execute(f"DROP INDEX {name}")
