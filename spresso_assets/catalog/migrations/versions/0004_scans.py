"""Scans that are stored: folders with their times, runs that can be resumed; pauses of roots with reason and end."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

ROOT_COLUMNS = (
    ("pause_reason", sa.Text()),
    ("paused_by", sa.Text()),
    ("pause_expires_at", sa.BigInteger()),
    ("last_full_scan_at", sa.BigInteger()),
    ("full_scan_s", sa.Float()),
    ("backend_reason", sa.Text()),
)
FILE_COLUMNS = (("folder_id", sa.BigInteger()), ("settling_since", sa.BigInteger()))


def upgrade() -> None:
    for name, kind in ROOT_COLUMNS:
        op.add_column("watch_root", sa.Column(name, kind, nullable=True))
    op.add_column("watch_root", sa.Column("mounts", sa.JSON(), nullable=False, server_default="[]"))
    for name, kind in FILE_COLUMNS:
        op.add_column("source_file", sa.Column(name, kind, nullable=True))
    op.create_index("ix_source_file_folder_id", "source_file", ["folder_id"])
    # device numbers change whenever a share is mounted again: files are recognised by their inode
    op.drop_index("ix_source_file_inode", "source_file")
    op.create_index("ix_source_file_inode", "source_file", ["inode"])
    op.create_table(
        "scan_folder",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("root_id", sa.Integer(), nullable=False),
        sa.Column("rel_path", sa.Text(), nullable=False),
        sa.Column("parent_id", sa.BigInteger(), nullable=True),
        sa.Column("mtime_ns", sa.BigInteger(), nullable=True),
        sa.Column("inode", sa.BigInteger(), nullable=True),
        sa.Column("dev", sa.BigInteger(), nullable=True),
        sa.Column("is_mount", sa.Boolean(), nullable=False),
        sa.Column("is_there", sa.Boolean(), nullable=False),
        sa.Column("files", sa.Integer(), nullable=False),
        sa.Column("listed_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(
            ["root_id"], ["watch_root.id"], name="fk_scan_folder_root_id_watch_root", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_scan_folder"),
        sa.UniqueConstraint("root_id", "rel_path", name="uq_scan_folder_root_id_rel_path"),
    )
    op.create_index("ix_scan_folder_parent_id", "scan_folder", ["parent_id"])
    op.create_table(
        "scan_run",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("root_id", sa.Integer(), nullable=False),
        sa.Column("parts", sa.JSON(), nullable=False),
        sa.Column("quick", sa.Boolean(), nullable=False),
        sa.Column("dry_run", sa.Boolean(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("started_at", sa.BigInteger(), nullable=False),
        sa.Column("heartbeat_at", sa.BigInteger(), nullable=False),
        sa.Column("finished_at", sa.BigInteger(), nullable=True),
        sa.Column("resumed", sa.Integer(), nullable=False),
        sa.Column("listed", sa.Integer(), nullable=False),
        sa.Column("skipped", sa.Integer(), nullable=False),
        sa.Column("files", sa.Integer(), nullable=False),
        sa.Column("summary", sa.JSON(), nullable=False),
        sa.Column("error_code", sa.Text(), nullable=True),
        sa.CheckConstraint("state IN ('looking','applying','done','failed','abandoned')", name="state"),
        sa.ForeignKeyConstraint(
            ["root_id"], ["watch_root.id"], name="fk_scan_run_root_id_watch_root", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_scan_run"),
    )
    op.create_index("ix_scan_run_root_id_state", "scan_run", ["root_id", "state"])
    op.create_table(
        "scan_step",
        sa.Column("run_id", sa.Integer(), nullable=False),
        sa.Column("folder_id", sa.Integer(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("mtime_ns", sa.BigInteger(), nullable=True),
        sa.Column("inode", sa.BigInteger(), nullable=True),
        sa.Column("dev", sa.BigInteger(), nullable=True),
        sa.Column("is_mount", sa.Boolean(), nullable=False),
        sa.Column("files", sa.Integer(), nullable=False),
        sa.CheckConstraint("state IN ('pending','listed','skipped','unread','offline','twice','gone')", name="state"),
        sa.ForeignKeyConstraint(["run_id"], ["scan_run.id"], name="fk_scan_step_run_id_scan_run", ondelete="CASCADE"),
        sa.ForeignKeyConstraint(
            ["folder_id"], ["scan_folder.id"], name="fk_scan_step_folder_id_scan_folder", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("run_id", "folder_id", name="pk_scan_step"),
    )
    op.create_index("ix_scan_step_run_id_state", "scan_step", ["run_id", "state"])
    op.create_index("ix_scan_step_run_id_inode", "scan_step", ["run_id", "inode"])
    op.create_table(
        "scan_find",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("run_id", sa.Integer(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("rel_path", sa.Text(), nullable=False),
        sa.Column("path_key", sa.Text(), nullable=False),
        sa.Column("folder_id", sa.Integer(), nullable=False),
        sa.Column("source_file_id", sa.Integer(), nullable=True),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("mtime_ns", sa.BigInteger(), nullable=False),
        sa.Column("inode", sa.BigInteger(), nullable=True),
        sa.CheckConstraint("kind IN ('moved','back','changed','waiting','new','left_out','gone')", name="kind"),
        sa.ForeignKeyConstraint(["run_id"], ["scan_run.id"], name="fk_scan_find_run_id_scan_run", ondelete="CASCADE"),
        sa.ForeignKeyConstraint(
            ["folder_id"], ["scan_folder.id"], name="fk_scan_find_folder_id_scan_folder", ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["source_file_id"], ["source_file.id"], name="fk_scan_find_source_file_id_source_file", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_scan_find"),
    )
    op.create_index("ix_scan_find_folder_id", "scan_find", ["folder_id"])
    op.create_index("ix_scan_find_source_file_id", "scan_find", ["source_file_id"])
    op.create_index("ix_scan_find_run_id_kind_inode", "scan_find", ["run_id", "kind", "inode"])
    op.create_index("ix_scan_find_run_id_kind_path_key", "scan_find", ["run_id", "kind", "path_key"])


def downgrade() -> None:
    for table in ("scan_find", "scan_step", "scan_run", "scan_folder"):
        op.drop_table(table)
    op.drop_index("ix_source_file_inode", "source_file")
    op.create_index("ix_source_file_inode", "source_file", ["dev", "inode"])
    op.drop_index("ix_source_file_folder_id", "source_file")
    for name, _ in FILE_COLUMNS:
        op.drop_column("source_file", name)
    for name, _ in (*ROOT_COLUMNS, ("mounts", None)):
        op.drop_column("watch_root", name)
