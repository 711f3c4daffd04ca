"""First half of a scan: look at the disk folder by folder and note what differs. Nothing is decided or changed yet.

Each step takes some folders, lists them outside of any transaction, compares them with the catalog, and writes what it
found together with the fact that these folders are done. Killed at any moment, the run goes on with the others.
"""

from __future__ import annotations

import os
import stat as stat_bits
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import bindparam, insert, or_, select, update
from sqlmodel import Session, col

from spresso_assets.catalog.engine import Catalog
from spresso_assets.catalog.models import ScanFind, ScanFolder, ScanStep, SourceFile
from spresso_assets.errors import FaultKind, SpressoError
from spresso_assets.ingest import runs
from spresso_assets.ingest.difference import ABSENT, Difference, Known, difference, path_key
from spresso_assets.ingest.folders import chunks, ensure_folders, in_parts, insert_new, known_in, parent_of
from spresso_assets.ingest.globs import Rules
from spresso_assets.ingest.report import Report
from spresso_assets.ingest.runs import Run
from spresso_assets.ingest.scan import Listing, Problem, list_folder, take, unreadable
from spresso_assets.ingest.settle import Signature

# What one step takes. Files are counted while they are listed, so that a step of large folders is a short one.
FOLDERS = 200
FILES = 5000
# A folder that changed this shortly before it was listed may change again within the same tick of its clock.
TICK_S = 2.0


@dataclass
class _Folder:
    """A folder in work: what is remembered of it, what it looks like, what was found in it."""

    id: int
    rel_path: str
    mtime_ns: int | None
    inode: int | None
    dev: int | None
    was_mount: bool
    known_files: int
    seen: os.stat_result | None = None
    is_mount: bool = False
    state: str = "pending"
    listing: Listing = field(default_factory=Listing)
    difference: Difference = field(default_factory=Difference)


class Look:
    """Looks at everything that a run covers.

    Args:
        path: the root's folder.
        report: counts what is seen; what nobody has to decide about is complete when the look is.
        accept_removals: an empty mount point is an empty folder then.
    """

    def __init__(
        self, catalog: Catalog, run: Run, path: Path, rules: Rules, report: Report, *, accept_removals: bool = False
    ) -> None:
        self.catalog, self.run, self.path, self.rules, self.report = catalog, run, path, rules, report
        self.accept_removals = accept_removals
        self.root_id = run.root_id
        self._restless: set[int] | None = None

    def go(self) -> None:
        """Look until everything has been seen."""
        if not self.run.summary.get("seeded"):
            self._seed()
        while folders := self._pending():
            self._step(folders)
        while self._vanished():
            pass

    def _seed(self) -> None:
        """Begin with the parts: folders are listed later, single files are compared at once."""
        folders: list[str] = []
        found = Listing()
        alone: list[str] = []
        bare: list[str] = []
        for part in self.run.parts:
            try:
                seen = (self.path / part).lstat()
            except (FileNotFoundError, NotADirectoryError):
                if (mount := self._bare_mount_above(part)) is None:
                    alone.append(part)
                elif mount not in bare:
                    bare.append(mount)
                    found.problems.append(Problem(mount, _part_offline(self.path / mount)))
                continue
            except OSError as error:
                found.problems.append(Problem(part, unreadable(error)))
                folders.append(part)
                continue
            if stat_bits.S_ISDIR(seen.st_mode):
                if self._folder_is_in(part):
                    folders.append(part)
            else:
                alone.append(part)
                if self.rules.verdict(part).included:
                    take(found, self.rules, self.path, part, seen)
        with self.catalog.session() as session:
            ids = ensure_folders(session, self.root_id, {*folders, *bare, *(parent_of(path) for path in alone)})
            rows = [{"run_id": self.run.id, "folder_id": ids[path], "state": "pending"} for path in folders]
            rows += [{"run_id": self.run.id, "folder_id": ids[path], "state": "offline"} for path in bare]
            insert_new(session, ScanStep, [{**row, "is_mount": False, "files": 0} for row in rows], _STEP)
            self._note(Difference(), found)
            for some in chunks(alone):
                known = known_in(session, col(SourceFile.root_id) == self.root_id, col(SourceFile.rel_path).in_(some))
                seen_files = {path: found.files[path] for path in some if path in found.files}
                diff = difference(known, seen_files)
                self._note(diff, Listing())
                self._insert_finds(session, diff, seen_files, ids)
            self._beat(session)

    def _bare_mount_above(self, part: str) -> str | None:
        """The folder above a vanished part that used to be a mount point and is not one any more, or None."""
        above = ["/".join(part.split("/")[:depth]) for depth in range(1, part.count("/") + 1)]
        with self.catalog.read() as session:
            mounts = session.connection().execute(
                select(col(ScanFolder.rel_path)).where(
                    col(ScanFolder.root_id) == self.root_id,
                    col(ScanFolder.rel_path).in_(above),
                    col(ScanFolder.is_mount).is_(True),
                )
            )
            known = mounts.scalars().all()
        return next((path for path in known if not os.path.ismount(self.path / path)), None)

    def _folder_is_in(self, rel_path: str) -> bool:
        parts = rel_path.split("/") if rel_path else []
        return all(
            self.rules.excluded_by("/".join(parts[:depth]), is_dir=True) is None for depth in range(1, len(parts) + 1)
        )

    def _pending(self) -> list[_Folder]:
        f = ScanFolder
        with self.catalog.read() as session:
            rows = session.connection().execute(
                select(*map(col, (f.id, f.rel_path, f.mtime_ns, f.inode, f.dev, f.is_mount, f.files)))
                .join(ScanStep, col(ScanStep.folder_id) == col(f.id))
                .where(col(ScanStep.run_id) == self.run.id, col(ScanStep.state) == "pending")
                .order_by(col(f.id))
                .limit(FOLDERS)
            )
            return [_Folder(*tuple(row)) for row in rows]

    def _step(self, folders: list[_Folder]) -> None:
        with self.catalog.read() as session:
            remembered = self.run.quick or any(folder.was_mount for folder in folders)
            children = self._children(session, [folder.id for folder in folders]) if remembered else {}
            if self.run.quick and self._restless is None:
                self._restless = self._restless_folders(session)
        for folder in folders:
            self._look_at(folder)
        self._tell_twice(folders)
        files = 0
        taken: list[_Folder] = []
        for folder in folders:
            if files > FILES:
                break
            taken.append(folder)
            if folder.state != "pending":
                continue
            if self.run.quick and _unchanged(folder) and folder.id not in (self._restless or ()):
                folder.state = "skipped"
                folder.listing.folders = children.get(folder.id, [])
                continue
            folder.listing = list_folder(self.path, folder.rel_path, self.rules)
            files += len(folder.listing.files)
            folder.state = "listed" if folder.listing.unread is None else "unread"
        with self.catalog.read() as session:
            known = self._known_files(session, [folder.id for folder in taken if folder.state == "listed"])
        for folder in taken:
            if folder.state != "listed":
                continue
            there = known.get(folder.id, [])
            if self._lost_its_mount(folder, there, children.get(folder.id, [])):
                folder.state = "offline"
                folder.listing = Listing(unread=_part_offline(self.path / folder.rel_path))
                continue
            folder.difference = difference(there, folder.listing.files)
        with self.catalog.session() as session:
            self._write(session, taken)

    def _look_at(self, folder: _Folder) -> None:
        path = self.path / folder.rel_path
        try:
            folder.seen = path.lstat()
            if not stat_bits.S_ISDIR(folder.seen.st_mode):
                folder.state = "gone"
            elif folder.rel_path:
                folder.is_mount = folder.seen.st_dev != path.parent.lstat().st_dev
        except (FileNotFoundError, NotADirectoryError):
            folder.state = "gone"
        except OSError as error:
            folder.state = "unread"
            folder.listing.unread = unreadable(error)

    def _tell_twice(self, folders: Sequence[_Folder]) -> None:
        """A folder that is mounted at two places is listed once."""
        with self.catalog.read() as session:
            inodes = {Signature.of(folder.seen).ino for folder in folders if folder.seen is not None}
            done = select(col(ScanStep.dev), col(ScanStep.inode)).where(
                col(ScanStep.run_id) == self.run.id,
                col(ScanStep.state).in_(("listed", "skipped")),
                col(ScanStep.inode).in_(inodes),
            )
            visited = {tuple(row) for row in session.connection().execute(done)}
        for folder in folders:
            if folder.state != "pending" or folder.seen is None:
                continue
            identity = (folder.seen.st_dev, Signature.of(folder.seen).ino)
            if identity in visited:
                folder.state = "twice"
            visited.add(identity)

    def _lost_its_mount(self, folder: _Folder, known: Sequence[Known], children: Sequence[str]) -> bool:
        """Whether a share used to be mounted here, and what is here now is the bare folder below it."""
        if not folder.was_mount or folder.is_mount or self.accept_removals:
            return False
        expected = {item.rel_path for item in known if item.state not in ABSENT} | set(children)
        return bool(expected) and expected.isdisjoint([*folder.listing.files, *folder.listing.folders])

    def _children(self, session: Session, folder_ids: Sequence[int]) -> dict[int, list[str]]:
        rows = session.connection().execute(
            select(col(ScanFolder.parent_id), col(ScanFolder.rel_path)).where(
                col(ScanFolder.parent_id).in_(folder_ids), col(ScanFolder.is_there).is_(True)
            )
        )
        children: dict[int, list[str]] = {}
        for parent_id, rel_path in rows:
            if self.rules.excluded_by(rel_path, is_dir=True) is None:
                children.setdefault(parent_id or 0, []).append(rel_path)
        return children

    def _restless_folders(self, session: Session) -> set[int]:
        """Folders with files that must be looked at again although no entry of the folder changed."""
        f = SourceFile
        unread = (
            col(f.asset_id).is_(None)
            | (col(f.probed_size) != col(f.size))
            | (col(f.probed_mtime_ns) != col(f.mtime_ns))
        )
        rows = session.connection().execute(
            select(col(f.folder_id))
            .where(
                col(f.root_id) == self.root_id,
                or_(col(f.state).in_(("settling", "unreadable", "offline")), (col(f.state) == "present") & unread),
            )
            .distinct()
        )
        return {folder_id for folder_id in rows.scalars() if folder_id is not None}

    def _known_files(self, session: Session, folder_ids: Sequence[int]) -> dict[int, list[Known]]:
        known: dict[int, list[Known]] = {}
        for item in known_in(session, col(SourceFile.folder_id).in_(folder_ids)) if folder_ids else []:
            known.setdefault(item.folder_id or 0, []).append(item)
        return known

    def _write(self, session: Session, folders: Sequence[_Folder]) -> None:
        connection = session.connection()
        below = [
            {"root_id": self.root_id, "rel_path": path, "parent_id": folder.id}
            | {"is_mount": False, "is_there": True, "files": 0}
            for folder in folders
            if folder.state == "listed"
            for path in folder.listing.folders
        ]
        insert_new(session, ScanFolder, below, ["root_id", "rel_path"])
        ids = {folder.rel_path: folder.id for folder in folders}
        wanted = {path for folder in folders for path in folder.listing.folders}
        parents = [folder.id for folder in folders if folder.listing.folders]
        found = select(col(ScanFolder.rel_path), col(ScanFolder.id)).where(col(ScanFolder.parent_id).in_(parents))
        steps = [
            {"run_id": self.run.id, "folder_id": id_, "state": "pending", "is_mount": False, "files": 0}
            for path, id_ in connection.execute(found)
            if path in wanted
        ]
        insert_new(session, ScanStep, steps, _STEP)
        connection.execute(_UPDATE_STEP, [self._step_values(folder) for folder in folders])
        for folder in folders:
            self._note(folder.difference, folder.listing)
            if folder.listing.unread is not None:
                self.report.complain(Problem(folder.rel_path, folder.listing.unread))
            if folder.state == "skipped":
                self.report.counts["unchanged"] += folder.known_files
                self.report.counts["seen"] += folder.known_files
            self._insert_finds(session, folder.difference, folder.listing.files, ids)
        # Folders that vanished after their parent was listed, and second mounts, are as if they had not been listed.
        self._insert_gone(session, [folder.id for folder in folders if folder.state in ("gone", "twice")])
        self.report.counts["listed"] += sum(folder.state == "listed" for folder in folders)
        self.report.counts["skipped"] += sum(folder.state == "skipped" for folder in folders)
        self._beat(session)

    def _step_values(self, folder: _Folder) -> dict[str, Any]:
        seen = folder.seen
        values: dict[str, Any] = {"b_run": self.run.id, "b_folder": folder.id, "b_state": folder.state}
        values |= {"b_mount": folder.is_mount, "b_files": len(folder.listing.files), "b_mtime": None}
        values |= {"b_inode": None, "b_dev": None}
        if seen is not None:
            values |= {"b_inode": Signature.of(seen).ino, "b_dev": seen.st_dev}
            if time.time() - seen.st_mtime > TICK_S:
                values["b_mtime"] = seen.st_mtime_ns
        return values

    def _note(self, diff: Difference, listing: Listing) -> None:
        counts = self.report.counts
        counts["unchanged"] += len(diff.same)
        counts["queued"] += len(diff.queued)
        counts["waiting"] += len(diff.waiting) + len(diff.queued)
        counts["still_missing"] += sum(item.state == "missing" for item in diff.still_gone)
        counts["seen"] += len(listing.files)
        self.report.note("unreadable", *(item.rel_path for item in diff.unreadable))
        self.report.left_out.update(listing.left_out)
        for problem in listing.problems:
            self.report.complain(problem)

    def _insert_finds(
        self, session: Session, diff: Difference, seen: dict[str, Signature], folder_ids: dict[str, int]
    ) -> None:
        rows = [
            self._find(kind, item.rel_path, item.folder_id or folder_ids[parent_of(item.rel_path)], item.id,
                       seen[item.rel_path].size, seen[item.rel_path].mtime_ns, seen[item.rel_path].ino)
            for kind, items in (("changed", diff.changed), ("waiting", diff.waiting), ("back", diff.back))
            for item in items
        ]  # fmt: skip
        rows += [
            self._find("new", path, folder_ids[parent_of(path)], None, seen[path].size, seen[path].mtime_ns,
                       seen[path].ino)
            for path in diff.new
        ]  # fmt: skip
        rows += self._absent(diff.gone)
        if rows:
            session.connection().execute(insert(ScanFind), rows)

    def _absent(self, gone: Iterable[Known]) -> list[dict[str, Any]]:
        """Finds for known files that were not seen: vanished, or left out by patterns that are newer than they."""
        return [
            self._find("gone" if self.rules.verdict(item.rel_path).included else "left_out", item.rel_path,
                       item.folder_id or 0, item.id, item.size, item.mtime_ns, item.inode)
            for item in gone
        ]  # fmt: skip

    def _find(
        self, kind: str, rel_path: str, folder_id: int, file_id: int | None, size: int, mtime_ns: int, ino: int | None
    ) -> dict[str, Any]:
        return {
            "run_id": self.run.id,
            "kind": kind,
            "rel_path": rel_path,
            "path_key": path_key(rel_path),
            "folder_id": folder_id,
            "source_file_id": file_id,
            "size": size,
            "mtime_ns": mtime_ns,
            "inode": ino or None,
        }

    def _insert_gone(self, session: Session, folder_ids: Sequence[int]) -> None:
        """Note all files of folders that are not there."""
        for some in chunks(folder_ids):
            known = known_in(session, col(SourceFile.folder_id).in_(some))
            present = [item for item in known if item.state not in ABSENT]
            self.report.counts["still_missing"] += sum(item.state == "missing" for item in known)
            if rows := self._absent(present):
                session.connection().execute(insert(ScanFind), rows)

    def _vanished(self) -> bool:
        """Note the files of some known folders that the look never came to; False when there are none left.

        Not of those below a folder that could not be read, or that lost its mount: their files are where they were.
        """
        f, s = ScanFolder, ScanStep
        with self.catalog.session() as session:
            connection = session.connection()
            hidden = select(col(f.rel_path), col(s.state)).join(s, col(s.folder_id) == col(f.id)).where(
                col(s.run_id) == self.run.id, col(s.state).in_(("unread", "offline"))
            )  # fmt: skip
            unknown = [(rel_path, state) for rel_path, state in connection.execute(hidden)]
            step = select(col(s.folder_id)).where(col(s.run_id) == self.run.id, col(s.folder_id) == col(f.id))
            rows = connection.execute(
                select(col(f.id), col(f.rel_path))
                .where(
                    col(f.root_id) == self.root_id,
                    col(f.is_there).is_(True),
                    in_parts(col(f.rel_path), self.run.parts),
                    ~step.exists(),
                )
                .limit(FOLDERS)
            ).all()
            if not rows:
                return False
            steps, gone = [], []
            for folder_id, rel_path in rows:
                above = [state for path, state in unknown if path == "" or rel_path.startswith(path + "/")]
                steps.append({"run_id": self.run.id, "folder_id": folder_id, "state": above[0] if above else "gone"})
                if not above:
                    gone.append(folder_id or 0)
            insert_new(session, s, [{**row, "is_mount": False, "files": 0} for row in steps], _STEP)
            self._insert_gone(session, gone)
            self._beat(session)
            return True

    def _beat(self, session: Session) -> None:
        counts = self.report.counts
        self.run.summary = {**self.report.to_summary(), "seeded": True}
        progress = {"listed": counts["listed"], "skipped": counts["skipped"], "files": counts["seen"]}
        runs.beat(session, self.run, summary=self.run.summary, **progress)


_STEP = ["run_id", "folder_id"]
_UPDATE_STEP = (
    update(ScanStep.__table__)  # type: ignore[attr-defined]
    .where(
        ScanStep.__table__.c.run_id == bindparam("b_run"),  # type: ignore[attr-defined]
        ScanStep.__table__.c.folder_id == bindparam("b_folder"),  # type: ignore[attr-defined]
    )
    .values(
        state=bindparam("b_state"),
        mtime_ns=bindparam("b_mtime"),
        inode=bindparam("b_inode"),
        dev=bindparam("b_dev"),
        is_mount=bindparam("b_mount"),
        files=bindparam("b_files"),
    )
)


def _unchanged(folder: _Folder) -> bool:
    seen = folder.seen
    return seen is not None and (folder.mtime_ns, folder.inode, folder.dev, folder.was_mount) == (
        seen.st_mtime_ns, Signature.of(seen).ino, seen.st_dev, folder.is_mount,
    )  # fmt: skip


def _part_offline(path: Path) -> SpressoError:
    return SpressoError(
        f"nothing is mounted at {path} any more",
        code="part_offline",
        hint="Its files are kept as offline. Mount it again; if it is gone for good: --accept-removals.",
        kind=FaultKind.RETRYABLE,
    )
