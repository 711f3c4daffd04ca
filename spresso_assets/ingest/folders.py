"""The folders of a root as rows: found, made, and what is known of their files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, func, or_, select, true, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlmodel import Session, SQLModel, col

from spresso_assets.catalog.engine import Catalog
from spresso_assets.catalog.models import Job, ScanFolder, SourceFile
from spresso_assets.catalog.stored_paths import path_to_stored
from spresso_assets.ingest.difference import Known

MOST_PARAMETERS = 500  # in one statement

_T = TypeVar("_T")


def chunks(items: Iterable[_T], size: int = MOST_PARAMETERS) -> Iterator[list[_T]]:
    """Lists of at most `size` items."""
    listed = list(items)
    for at in range(0, len(listed), size):
        yield listed[at : at + size]


def parent_of(rel_path: str) -> str:
    """The folder that holds a path; '' for the root."""
    return rel_path.rpartition("/")[0]


def in_parts(column: Any, parts: Sequence[str]) -> ColumnElement[bool]:
    """The condition that a stored path is one of `parts` or lies below one of them."""
    if "" in parts:
        return true()
    conditions: list[ColumnElement[bool]] = []
    for part in parts:
        inside = path_to_stored(part) + "/"
        # not LIKE: its wildcards occur in names, and it folds case on one database and not on the other
        conditions += [column == part, func.substr(column, 1, len(inside)) == inside]
    return or_(*conditions)


def insert_new(session: Session, table: type[SQLModel], rows: Sequence[dict[str, Any]], keys: Sequence[str]) -> None:
    """Insert rows, leaving those alone whose key is there already."""
    if rows:
        dialect = sqlite if session.get_bind().dialect.name == "sqlite" else postgresql
        session.connection().execute(dialect.insert(table).on_conflict_do_nothing(index_elements=keys), list(rows))


def ensure_folders(session: Session, root_id: int, rel_paths: Iterable[str]) -> dict[str, int]:
    """Ids of folders by path; missing rows are made, with those of the folders above them."""
    wanted = set(rel_paths)
    known = _ids(session, root_id, wanted)
    if lacking := wanted - set(known):
        above = ensure_folders(session, root_id, {parent_of(path) for path in lacking if path})
        rows = [
            {"root_id": root_id, "rel_path": path, "parent_id": above[parent_of(path)] if path else None}
            | {"is_mount": False, "is_there": True, "files": 0}
            for path in sorted(lacking)
        ]
        insert_new(session, ScanFolder, rows, ["root_id", "rel_path"])
        known |= _ids(session, root_id, lacking)
    return known


def _ids(session: Session, root_id: int, rel_paths: set[str]) -> dict[str, int]:
    found: dict[str, int] = {}
    for some in chunks(sorted(rel_paths)):
        rows = session.connection().execute(
            select(col(ScanFolder.rel_path), col(ScanFolder.id)).where(
                col(ScanFolder.root_id) == root_id, col(ScanFolder.rel_path).in_(some)
            )
        )
        found.update((path, id_ or 0) for path, id_ in rows)
    return found


def adopt_files(catalog: Catalog, root_id: int) -> None:
    """Give files without a folder theirs: rows from before folders were kept, and those of other writers."""
    while True:
        lacking = (
            select(col(SourceFile.id), col(SourceFile.rel_path))
            .where(col(SourceFile.root_id) == root_id, col(SourceFile.folder_id).is_(None))
            .limit(2000)
        )
        with catalog.read() as session:
            if session.connection().execute(lacking.limit(1)).first() is None:
                return
        with catalog.session() as session:
            by_folder: dict[str, list[int]] = {}
            for file_id, rel_path in session.connection().execute(lacking):
                by_folder.setdefault(parent_of(rel_path), []).append(file_id or 0)
            ids = ensure_folders(session, root_id, by_folder)
            for folder, files in by_folder.items():
                for some in chunks(files):
                    session.connection().execute(
                        update(SourceFile).where(col(SourceFile.id).in_(some)).values(folder_id=ids[folder])
                    )


def known_in(session: Session, *conditions: ColumnElement[bool]) -> list[Known]:
    """What the catalog knows of some files."""
    f = SourceFile
    columns = [f.id, f.rel_path, f.folder_id, f.state, f.size, f.mtime_ns, f.ctime_ns, f.inode, f.asset_id]
    columns += [f.probed_size, f.probed_mtime_ns, f.error_code]
    known, unread = [], []
    for row in session.connection().execute(select(*map(col, columns)).where(*conditions)):
        id_, rel_path, folder_id, state, size, mtime_ns, ctime_ns, inode, asset_id, *rest = tuple(row)
        probed = asset_id is not None and (size, mtime_ns) == (rest[0], rest[1])
        # what a share that is away held keeps the error that it had
        refused = not probed and (state == "unreadable" or (state == "offline" and rest[2] not in (None, "growing")))
        known.append(Known(id_, rel_path, folder_id, state, size, mtime_ns, ctime_ns, inode, probed, refused))
        if not probed and state == "present":
            unread.append(known[-1])
    queued: set[int] = set()
    for some in chunks(item.id for item in unread):
        active = select(col(Job.source_file_id)).where(
            col(Job.source_file_id).in_(some), col(Job.kind) == "probe", col(Job.status).in_(("queued", "running"))
        )
        queued |= {file_id for file_id in session.connection().execute(active).scalars() if file_id is not None}
    return [replace(item, queued=True) if item.id in queued else item for item in known] if queued else known
