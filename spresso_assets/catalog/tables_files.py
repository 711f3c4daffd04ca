"""Where sounds lie: watch roots and the source files found in them."""

from sqlalchemy import JSON, BigInteger, CheckConstraint, Text, UniqueConstraint
from sqlmodel import Field, SQLModel

from spresso_assets.catalog.columns import PathText, now_us

ROOT_MODES = ("auto", "native", "poll", "scan")


class WatchRoot(SQLModel, table=True):
    """A folder whose sounds belong to the catalog. It is only ever read."""

    __tablename__ = "watch_root"
    __table_args__ = (
        CheckConstraint("mode IN ('auto','native','poll','scan')", name="mode"),
        CheckConstraint("state IN ('active','paused','offline')", name="state"),
    )

    id: int | None = Field(default=None, primary_key=True)
    name: str = Field(unique=True, sa_type=Text)
    path: str = Field(unique=True, sa_type=PathText)
    mode: str = Field(default="auto", sa_type=Text)
    state: str = Field(default="active", sa_type=Text)
    backend: str | None = Field(default=None, sa_type=Text)  # what `auto` resolved to
    backend_reason: str | None = Field(default=None, sa_type=Text)
    # mount points below the root: {"path", "file_system", "backend"}
    mounts: list[dict[str, str]] = Field(default_factory=list, sa_type=JSON, sa_column_kwargs={"server_default": "[]"})
    settle_s: float = 2.0
    poll_s: float = 60.0
    include: list[str] = Field(default_factory=list, sa_type=JSON)
    exclude: list[str] = Field(default_factory=list, sa_type=JSON)
    tags_from_dirs: bool = False
    default_profile: str | None = Field(default=None, sa_type=Text)  # a profile name; None: the catalog's default
    removal_cap: float = 0.05  # share of vanished files above which a scan keeps them present and asks
    abort_cap: float = 0.5  # share above which a scan gives up: the share is most likely not mounted
    device_id: int | None = Field(default=None, sa_type=BigInteger)  # st_dev when last seen online
    last_event_at: int | None = Field(default=None, sa_type=BigInteger)
    last_scan_at: int | None = Field(default=None, sa_type=BigInteger)
    last_full_scan_at: int | None = Field(default=None, sa_type=BigInteger)  # every file compared, not only folders
    full_scan_s: float | None = None  # how long that took
    pause_reason: str | None = Field(default=None, sa_type=Text)
    paused_by: str | None = Field(default=None, sa_type=Text)
    pause_expires_at: int | None = Field(default=None, sa_type=BigInteger)
    created_at: int = Field(default_factory=now_us, sa_type=BigInteger)


class SourceFile(SQLModel, table=True):
    """One path in a watch root. Many source files may hold one asset's sound."""

    __tablename__ = "source_file"
    __table_args__ = (
        UniqueConstraint("root_id", "rel_path"),
        CheckConstraint(
            "state IN ('settling','present','missing','moved','offline','unreadable','ignored')", name="state"
        ),
    )

    id: int | None = Field(default=None, primary_key=True)
    root_id: int = Field(foreign_key="watch_root.id", ondelete="CASCADE")
    folder_id: int | None = Field(default=None, index=True, sa_type=BigInteger)  # `scan_folder`; scans fill it in
    rel_path: str = Field(sa_type=PathText)  # as on disk
    path_key: str = Field(sa_type=PathText, index=True)  # NFC and casefolded: what macOS and Windows call equal
    size: int = Field(sa_type=BigInteger)  # bytes
    mtime_ns: int = Field(sa_type=BigInteger)
    ctime_ns: int | None = Field(default=None, sa_type=BigInteger)
    dev: int | None = Field(default=None, sa_type=BigInteger)
    inode: int | None = Field(default=None, index=True, sa_type=BigInteger)
    file_sha256: str | None = Field(default=None, index=True, sa_type=Text)
    container: str | None = Field(default=None, sa_type=Text)
    state: str = Field(default="settling", index=True, sa_type=Text)
    stable_since: int | None = Field(default=None, sa_type=BigInteger)  # since when it has looked like this
    settling_since: int | None = Field(default=None, sa_type=BigInteger)  # since when it has been unfinished
    first_seen: int = Field(default_factory=now_us, sa_type=BigInteger)
    last_seen: int = Field(default_factory=now_us, sa_type=BigInteger)
    missing_since: int | None = Field(default=None, sa_type=BigInteger)
    error_code: str | None = Field(default=None, sa_type=Text)
    error_message: str | None = Field(default=None, sa_type=Text)
    # size and mtime that the linked asset was read from: differing values above mean "probe again"
    probed_size: int | None = Field(default=None, sa_type=BigInteger)
    probed_mtime_ns: int | None = Field(default=None, sa_type=BigInteger)
    asset_id: int | None = Field(default=None, index=True, foreign_key="asset.id")
