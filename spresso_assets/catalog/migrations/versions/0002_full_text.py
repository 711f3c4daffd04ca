"""Full-text search over `asset_text`, kept in step by the database itself.

SQLite: two FTS5 tables without a copy of the text, one with stemming and one of trigrams, fed by triggers, so that
they change in the very transaction that changes the text. Postgres: two generated columns, a weighted tsvector and
the joined text, the latter with a trigram index where the server has pg_trgm.
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

COLUMNS = "names, words, tags, paths"
FTS_TABLES = {
    "asset_fts": "tokenize='porter unicode61 remove_diacritics 2', prefix='2 3'",
    "asset_tri": "tokenize='trigram'",
}


def upgrade() -> None:
    if op.get_bind().dialect.name == "sqlite":
        upgrade_sqlite()
    else:
        upgrade_postgres()


def upgrade_sqlite() -> None:
    new = ", ".join(f"new.{column}" for column in COLUMNS.split(", "))
    old = ", ".join(f"old.{column}" for column in COLUMNS.split(", "))
    for table, options in FTS_TABLES.items():
        insert = f"INSERT INTO {table}(rowid, {COLUMNS}) VALUES (new.asset_id, {new});"
        delete = f"INSERT INTO {table}({table}, rowid, {COLUMNS}) VALUES ('delete', old.asset_id, {old});"
        op.execute(
            f"CREATE VIRTUAL TABLE {table} USING fts5({COLUMNS}, content='asset_text', content_rowid='asset_id', "
            f"{options})"
        )
        op.execute(f"CREATE TRIGGER {table}_insert AFTER INSERT ON asset_text BEGIN {insert} END")
        op.execute(f"CREATE TRIGGER {table}_delete AFTER DELETE ON asset_text BEGIN {delete} END")
        op.execute(f"CREATE TRIGGER {table}_update AFTER UPDATE ON asset_text BEGIN {delete} {insert} END")
        op.execute(f"INSERT INTO {table}({table}) VALUES ('rebuild')")


def upgrade_postgres() -> None:
    weighted = " || ".join(
        f"setweight(to_tsvector('english', {column}), '{weight}')"
        for column, weight in zip(COLUMNS.split(", "), "ABAC", strict=True)
    )
    joined = " || ' ' || ".join(COLUMNS.split(", "))
    op.execute(f"ALTER TABLE asset_text ADD COLUMN lexemes tsvector GENERATED ALWAYS AS ({weighted}) STORED")
    op.execute(f"ALTER TABLE asset_text ADD COLUMN everything text GENERATED ALWAYS AS ({joined}) STORED")
    op.execute("CREATE INDEX ix_asset_text_lexemes ON asset_text USING gin (lexemes)")
    if trigrams_available():
        op.execute("CREATE INDEX ix_asset_text_everything ON asset_text USING gin (everything gin_trgm_ops)")


def trigrams_available() -> bool:
    """Make sure of pg_trgm; an owner of the database may create it, others need it installed beforehand."""
    connection = op.get_bind()
    try:
        with connection.begin_nested():
            connection.execute(sa.text("CREATE EXTENSION IF NOT EXISTS pg_trgm"))
    except sa.exc.DBAPIError:
        return False  # substring search then reads all text: slower, same answers
    return True


def downgrade() -> None:
    if op.get_bind().dialect.name == "sqlite":
        for table in FTS_TABLES:
            for action in ("insert", "delete", "update"):
                op.execute(f"DROP TRIGGER {table}_{action}")
            op.execute(f"DROP TABLE {table}")
        return
    for column in ("everything", "lexemes"):
        op.drop_index(f"ix_asset_text_{column}")
        op.drop_column("asset_text", column)
