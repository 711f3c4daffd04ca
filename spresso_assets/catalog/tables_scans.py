"""Scans: what a root looked like when it was last compared with the disk, and the comparisons that are under way.

`scan_folder` stays; the rows of a run (`scan_step`, `scan_find`) live as long as the run. A run writes what it finds
as it goes, so that a scan of a million files takes little memory, and one that was killed goes on where it stopped.
"""

from typing import Any

from sqlalchemy import JSON, BigInteger, CheckConstraint, Index, Text, UniqueConstraint
from sqlmodel import Field, SQLModel

from spresso_assets.catalog.columns import PathText, now_us


class ScanFolder(SQLModel, table=True):
    """A folder of a root. While its time and inode are the same, no entry was added, removed or renamed in it.

    ``mtime_ns`` is empty for a folder that must be listed again whatever its time says.
    """

    __tablename__ = "scan_folder"
    __table_args__ = (UniqueConstraint("root_id", "rel_path"),)

    id: int | None = Field(default=None, primary_key=True)
    root_id: int = Field(foreign_key="watch_root.id", ondelete="CASCADE")
    rel_path: str = Field(sa_type=PathText)  # '' is the root itself
    parent_id: int | None = Field(default=None, index=True, sa_type=BigInteger)
    mtime_ns: int | None = Field(default=None, sa_type=BigInteger)
    inode: int | None = Field(default=None, sa_type=BigInteger)
    dev: int | None = Field(default=None, sa_type=BigInteger)
    is_mount: bool = False  # another file system begins here
    is_there: bool = True
    files: int = 0  # sounds directly in it
    listed_at: int | None = Field(default=None, sa_type=BigInteger)


class ScanRun(SQLModel, table=True):
    """One comparison of a root, or of parts of it, with the disk."""

    __tablename__ = "scan_run"
    __table_args__ = (
        CheckConstraint("state IN ('looking','applying','done','failed','abandoned')", name="state"),
        Index("ix_scan_run_root_id_state", "root_id", "state"),
    )

    id: int | None = Field(default=None, primary_key=True)
    root_id: int = Field(foreign_key="watch_root.id", ondelete="CASCADE")
    parts: list[str] = Field(default_factory=list, sa_type=JSON)  # [''] is all of the root
    quick: bool = False
    dry_run: bool = False
    state: str = Field(default="looking", sa_type=Text)
    owner: str = Field(sa_type=Text)
    started_at: int = Field(default_factory=now_us, sa_type=BigInteger)
    heartbeat_at: int = Field(default_factory=now_us, sa_type=BigInteger)
    finished_at: int | None = Field(default=None, sa_type=BigInteger)
    resumed: int = 0
    listed: int = 0  # folders
    skipped: int = 0  # folders that had not changed
    files: int = 0  # sounds seen or taken as seen
    summary: dict[str, Any] = Field(default_factory=dict, sa_type=JSON)
    error_code: str | None = Field(default=None, sa_type=Text)


class ScanStep(SQLModel, table=True):
    """What a run did with a folder, and what the folder looked like just before."""

    __tablename__ = "scan_step"
    __table_args__ = (
        CheckConstraint("state IN ('pending','listed','skipped','unread','offline','twice','gone')", name="state"),
        Index("ix_scan_step_run_id_state", "run_id", "state"),
        Index("ix_scan_step_run_id_inode", "run_id", "inode"),
    )

    run_id: int = Field(primary_key=True, foreign_key="scan_run.id", ondelete="CASCADE")
    folder_id: int = Field(primary_key=True, foreign_key="scan_folder.id", ondelete="CASCADE")
    state: str = Field(default="pending", sa_type=Text)
    mtime_ns: int | None = Field(default=None, sa_type=BigInteger)
    inode: int | None = Field(default=None, sa_type=BigInteger)
    dev: int | None = Field(default=None, sa_type=BigInteger)
    is_mount: bool = False
    files: int = 0


class ScanFind(SQLModel, table=True):
    """A path that differs from what the catalog knows; decided on when the whole scope of the run has been seen."""

    __tablename__ = "scan_find"
    __table_args__ = (
        CheckConstraint("kind IN ('moved','back','changed','waiting','new','left_out','gone')", name="kind"),
        Index("ix_scan_find_run_id_kind_inode", "run_id", "kind", "inode"),
        Index("ix_scan_find_run_id_kind_path_key", "run_id", "kind", "path_key"),
    )

    id: int | None = Field(default=None, primary_key=True)
    run_id: int = Field(foreign_key="scan_run.id", ondelete="CASCADE")
    kind: str = Field(sa_type=Text)
    rel_path: str = Field(sa_type=PathText)  # where it is, or was
    path_key: str = Field(sa_type=PathText)
    folder_id: int = Field(foreign_key="scan_folder.id", ondelete="CASCADE", index=True)
    source_file_id: int | None = Field(default=None, foreign_key="source_file.id", ondelete="CASCADE", index=True)
    size: int = Field(sa_type=BigInteger)
    mtime_ns: int = Field(sa_type=BigInteger)
    inode: int | None = Field(default=None, sa_type=BigInteger)
