"""What teams need: workers that report, deliveries, how a rendition was made, and how long jobs took."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.create_table(
        "worker",
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("queues", sa.JSON(), nullable=False),
        sa.Column("device", sa.Text(), nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("weights_sha256", sa.Text(), nullable=True),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("drain_requested", sa.Boolean(), nullable=False),
        sa.Column("started_at", sa.BigInteger(), nullable=False),
        sa.Column("heartbeat_at", sa.BigInteger(), nullable=False),
        sa.Column("progress_at", sa.BigInteger(), nullable=False),
        sa.Column("jobs_done", sa.Integer(), nullable=False),
        sa.Column("jobs_failed", sa.Integer(), nullable=False),
        sa.Column("memory_bytes", sa.BigInteger(), nullable=True),
        sa.Column("device_memory_bytes", sa.BigInteger(), nullable=True),
        sa.CheckConstraint("state IN ('idle','busy','draining','stopped')", name="state"),
        sa.PrimaryKeyConstraint("owner", name="pk_worker"),
    )
    op.create_index("ix_worker_heartbeat_at", "worker", ["heartbeat_at"])
    op.create_table(
        "delivery",
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("media_type", sa.Text(), nullable=False),
        sa.Column("sample_rate", sa.Integer(), nullable=False),
        sa.Column("channels", sa.Integer(), nullable=False),
        sa.Column("frames", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("key", name="pk_delivery"),
    )
    op.create_index("ix_delivery_expires_at", "delivery", ["expires_at"])
    op.add_column("job", sa.Column("run_s", sa.Float(), nullable=True))
    op.add_column("rendition", sa.Column("origin", sa.Text(), nullable=False, server_default="source"))
    op.add_column("rendition", sa.Column("parent_uid", sa.Text(), nullable=True))
    op.add_column("rendition", sa.Column("generation", sa.Integer(), nullable=False, server_default="1"))


def downgrade() -> None:
    for table, column in (
        ("rendition", "generation"),
        ("rendition", "parent_uid"),
        ("rendition", "origin"),
        ("job", "run_s"),
    ):
        op.drop_column(table, column)
    op.drop_table("delivery")
    op.drop_table("worker")
