"""Where a catalog lives: a SQLite file or a database URL. No database library is imported here."""

import os
from dataclasses import dataclass
from pathlib import Path

from spresso_assets.errors import ExitCode, FaultKind, SpressoError

# WAL needs memory shared between all processes that open the file: there is none across hosts.
NETWORK_FILE_SYSTEMS = frozenset(
    (
        *(
            "9p",
            "afs",
            "afpfs",
            "beegfs",
            "ceph",
            "cifs",
            "davfs",
            "glusterfs",
            "gfs2",
            "lustre",
            "ncpfs",
            "nfs",
            "nfs4",
        ),
        *("ocfs2", "smb2", "smb3", "smbfs", "fuse.curlftpfs", "fuse.davfs2", "fuse.glusterfs", "fuse.rclone"),
        *("fuse.s3fs", "fuse.sshfs"),
    )
)


@dataclass(frozen=True)
class Location:
    """Exactly one of ``path`` (a SQLite file) and ``url`` (a server, with the psycopg driver named) is set."""

    path: Path | None = None
    url: str | None = None

    @property
    def shown(self) -> str:
        """What messages say: the file, or the URL without user, password and options."""
        if self.path is not None:
            return str(self.path)
        scheme, _, rest = (self.url or "").partition("://")
        return f"{scheme.split('+')[0]}://{rest.rpartition('@')[2].partition('?')[0]}"


def locate(url_or_path: str | os.PathLike[str]) -> Location:
    """Tell files from URLs.

    Raises:
        SpressoError: ``catalog_url_unsupported`` for databases other than SQLite and Postgres.
    """
    text = os.fspath(url_or_path)
    if text.startswith("sqlite:///"):
        text = text.removeprefix("sqlite:///")
    scheme, separator, rest = text.partition("://")
    if not separator:
        return Location(path=Path(text).expanduser())
    if scheme in ("postgresql", "postgres", "postgresql+psycopg"):
        return Location(url=f"postgresql+psycopg://{rest}")
    raise SpressoError(
        f"A catalog is a SQLite file or a postgresql:// URL, not {scheme}://",
        code="catalog_url_unsupported",
        exit_code=ExitCode.USAGE,
    )


def file_system_of(path: Path, mounts: str | None = None) -> str:
    """Type of the file system that holds ``path`` by Linux' mount table, or '' where there is none.

    Args:
        path: need not exist.
        mounts: the text of ``/proc/self/mounts``; read from there if None.
    """
    if mounts is None:
        try:
            mounts = Path("/proc/self/mounts").read_text(encoding="utf-8", errors="surrogateescape")
        except OSError:
            return ""
    target = os.path.realpath(path)
    best, kind = "", ""
    for line in mounts.splitlines():
        fields = line.split(" ")
        if len(fields) < 3:
            continue
        point = fields[1].replace("\\040", " ").replace("\\011", "\t").replace("\\134", "\\")
        inside = target == point or target.startswith(point.rstrip("/") + "/")
        if inside and len(point) >= len(best):
            best, kind = point, fields[2]
    return kind


def refuse_network_file_system(path: Path) -> None:
    """Raise ``sqlite_on_network_fs`` where SQLite's write-ahead log cannot work."""
    kind = file_system_of(path)
    if kind in NETWORK_FILE_SYSTEMS:
        raise SpressoError(
            f"{path} is on a network file system ({kind}), where SQLite catalogs get damaged",
            code="sqlite_on_network_fs",
            hint="Keep the catalog on a local disk, or use Postgres: --catalog postgresql://…",
            exit_code=ExitCode.CATALOG_LOCKED,
            kind=FaultKind.ENVIRONMENT,
        )


def catalog_missing(shown: str) -> SpressoError:
    return SpressoError(
        f"There is no catalog at {shown}",
        code="catalog_missing",
        hint="Create one: spresso init",
        exit_code=ExitCode.CATALOG_MISSING,
        kind=FaultKind.ENVIRONMENT,
    )


def check_revision(found: str | None, head: str, known: set[str], shown: str) -> None:
    """Compare a catalog's schema with the code's.

    Raises:
        SpressoError: ``catalog_missing`` (no schema at all), ``db_needs_upgrade`` (older), ``db_newer`` (unknown).
    """
    if found == head:
        return
    if found is None:
        raise catalog_missing(shown)
    if found in known:
        raise SpressoError(
            f"The catalog {shown} has schema {found}; this version works with {head}",
            code="db_needs_upgrade",
            hint="Run: spresso db upgrade (it makes a backup first)",
            exit_code=ExitCode.CATALOG_LOCKED,
            kind=FaultKind.ENVIRONMENT,
        )
    raise SpressoError(
        f"The catalog {shown} was written by a newer version (schema {found}; this one knows up to {head})",
        code="db_newer",
        hint="Update spresso-assets on this machine",
        exit_code=ExitCode.CATALOG_LOCKED,
        kind=FaultKind.ENVIRONMENT,
    )
