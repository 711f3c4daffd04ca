"""Second half of a scan: decide about what was found and write it, a few hundred files at a time.

A find is deleted in the transaction that writes what follows from it, so a scan that was killed goes on with the rest.
Each file is looked at once more before anything is decided: a run may have been resumed an hour later.
"""

from __future__ import annotations

import stat as stat_bits
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import delete, update
from sqlmodel import Session, col, select

from spresso_assets.catalog.columns import now_us
from spresso_assets.catalog.engine import Catalog
from spresso_assets.catalog.models import ScanFind, ScanStep, SourceFile
from spresso_assets.ingest import runs
from spresso_assets.ingest.difference import path_key
from spresso_assets.ingest.folders import insert_new
from spresso_assets.ingest.mounts import sends_events
from spresso_assets.ingest.report import Report
from spresso_assets.ingest.runs import Run
from spresso_assets.ingest.settle import (
    Observation,
    Settled,
    Signature,
    Writer,
    is_growing,
    judge,
    observe,
    writer_of,
)

if TYPE_CHECKING:
    from spresso_assets.ingest.reconcile import ReadyHook

CHUNK = 400
# The watcher lets young files also look complete from the inside. After a minute of quiet nobody is coming back to
# finish them: they are read, and refused with a reason. Should they grow later, they are read again.
COMPLETENESS_S = 60.0
NEW_FILE = SourceFile(root_id=0, rel_path="", path_key="", size=0, mtime_ns=0).model_dump(exclude={"id"})
GROWING = "growing"  # the `error_code` of a file that has been settling for ten minutes


class Decider:
    """Decides about one file after the other: quiet long enough, nobody writing, and complete when it is young.

    Args:
        silent: parts of the root where file events and leases cannot be had.
    """

    def __init__(
        self, root: Path, settle_s: float, clock: Callable[[], float], patient: bool, silent: Sequence[str] = ()
    ) -> None:
        self.root, self.settle_s, self.clock, self.patient = root, settle_s, clock, patient
        self.local = sends_events(root)
        self.silent = tuple(part + "/" for part in silent)

    def __call__(self, rel_path: str, signature: Signature, before: Observation | None) -> tuple[Settled, Observation]:
        now = self.clock()
        path = self.root / rel_path
        observation = observe(before, signature, now)
        local = self.local and not rel_path.startswith(self.silent)
        # Asking for a lease over the network is slow and not reliable: there only patience helps.
        writer = writer_of(path) if local else Writer.UNKNOWN
        settled = judge(
            now,
            signature,
            unchanged_since_s=observation.since_s,
            writer=writer,
            settle_s=self.settle_s,
            sends_events=local,
        )
        quiet = now - max(signature.touched_s, 0.0)
        if settled.ready and self.patient and 0 <= quiet < COMPLETENESS_S:
            from spresso_assets.audio.probe import is_complete

            complete = is_complete(path)
            if not complete.complete:
                settled = Settled(False, COMPLETENESS_S - quiet, f"not complete yet: {complete.reason}")
        if not settled.ready and is_growing(observation, now):
            minutes = (now - (observation.unfinished_since_s or now)) / 60
            settled = Settled(False, settled.wait_s, f"still growing after {minutes:.0f} min: {settled.reason}")
        return settled, observation


class Apply:
    """Writes the finds of a run.

    Args:
        on_ready: called with session and row for every file that may be read now, inside the transaction.
    """

    def __init__(
        self, catalog: Catalog, run: Run, root: Path, report: Report, decide: Decider, on_ready: ReadyHook
    ) -> None:
        self.catalog, self.run, self.root, self.report = catalog, run, root, report
        self.decide, self.on_ready = decide, on_ready

    def go(self) -> None:
        """Write everything; with a dry run, only find out what would be written."""
        steps: tuple[tuple[str, Callable[[list[ScanFind]], None]], ...] = (
            # what was moved frees its former name before another file may take it
            ("moved", self._moved),
            ("back", self._back),
            ("changed", self._candidates),
            ("waiting", self._candidates),
            ("new", self._candidates),
            ("left_out", self._left_out),
            ("gone", self._gone),
        )
        for kind, step in steps:
            for finds in self._finds(kind):
                step(finds)

    def _finds(self, kind: str) -> Iterator[list[ScanFind]]:
        last = 0
        while True:
            with self.catalog.read() as session:
                page = session.exec(
                    select(ScanFind)
                    .where(ScanFind.run_id == self.run.id, ScanFind.kind == kind, col(ScanFind.id) > last)
                    .order_by(col(ScanFind.id))
                    .limit(CHUNK)
                ).all()
            if not page:
                return
            last = page[-1].id or 0
            yield list(page)

    def _look(self, finds: Sequence[ScanFind]) -> dict[int, Signature]:
        """What the files look like now, by find; without those that are gone again."""
        there: dict[int, Signature] = {}
        for find in finds:
            try:
                seen = (self.root / find.rel_path).lstat()
            except OSError:
                continue
            if stat_bits.S_ISREG(seen.st_mode):
                there[find.id or 0] = Signature.of(seen)
        return there

    def _candidates(self, finds: list[ScanFind]) -> None:
        finds, seen, decisions = self._decide(finds)
        if finds and finds[0].kind != "waiting":
            self.report.note(finds[0].kind, *(find.rel_path for find in finds))
        if self.run.dry_run:
            return
        with self.catalog.session() as session:
            rows = {row.rel_path: row for row in self._rows(session, finds)}
            new = [find for find in finds if find.rel_path not in rows]
            if new:
                self._insert(session, new, seen, decisions)
                rows |= {row.rel_path: row for row in self._rows(session, new)}
            inserted = {find.id for find in new}
            for find in finds:
                row, decision = rows[find.rel_path], decisions[find.id or 0]
                if find.id not in inserted:
                    self._write(session, row, find, seen[find.id or 0], decision)
                elif decision[0].ready:
                    self.on_ready(session, row)
            self._done(session, finds)

    def _insert(
        self,
        session: Session,
        finds: Sequence[ScanFind],
        seen: dict[int, Signature],
        decisions: dict[int, tuple[Settled, Observation]],
    ) -> None:
        """Rows of new files, all in one statement: most of a first scan is this."""
        rows = []
        for find in finds:
            signature, (settled, observation) = seen[find.id or 0], decisions[find.id or 0]
            since = observation.unfinished_since_s
            rows.append(
                NEW_FILE
                | {
                    "root_id": self.run.root_id,
                    "folder_id": find.folder_id,
                    "rel_path": find.rel_path,
                    "path_key": find.path_key,
                    "size": signature.size,
                    "mtime_ns": signature.mtime_ns,
                    "ctime_ns": signature.ctime_ns,
                    "dev": signature.dev,
                    "inode": signature.ino,
                    "state": "present" if settled.ready else "settling",
                    "stable_since": round(observation.since_s * 1e6),
                    "settling_since": None if settled.ready or since is None else round(since * 1e6),
                    "first_seen": now_us(),
                    "last_seen": now_us(),
                }
            )
        insert_new(session, SourceFile, rows, ["root_id", "rel_path"])

    def _moved(self, finds: list[ScanFind]) -> None:
        """Files under a new path. One that has not been read yet is judged like a new one: a rename is a change."""
        from spresso_assets.ingest.place import follow_move

        finds, seen, decisions = self._decide(finds, only_unread=True)
        with self.catalog.read() as session:
            former = {find.id: session.get_one(SourceFile, find.source_file_id).rel_path for find in finds}
        self.report.note("moved", *((former[find.id], find.rel_path) for find in finds))
        if self.run.dry_run:
            return
        with self.catalog.session() as session:
            for find in finds:
                row = session.get_one(SourceFile, find.source_file_id)
                row.rel_path, row.path_key = find.rel_path, path_key(find.rel_path)
                self._write(session, row, find, seen[find.id or 0], decisions.get(find.id or 0))
                follow_move(session, row)
            self._done(session, finds)

    def _back(self, finds: list[ScanFind]) -> None:
        finds, seen, decisions = self._decide(finds, only_unread=True)
        self.report.note("back", *(find.rel_path for find in finds))
        if self.run.dry_run:
            return
        with self.catalog.session() as session:
            for find in finds:
                row = session.get_one(SourceFile, find.source_file_id)
                self._write(session, row, find, seen[find.id or 0], decisions.get(find.id or 0))
            self._done(session, finds)

    def _decide(
        self, finds: list[ScanFind], *, only_unread: bool = False
    ) -> tuple[list[ScanFind], dict[int, Signature], dict[int, tuple[Settled, Observation]]]:
        """The finds whose file is still there, what it looks like, and the decisions by find."""
        seen = self._look(finds)
        finds = self._still(finds, seen)
        with self.catalog.read() as session:
            ids = [find.source_file_id for find in finds if find.source_file_id is not None]
            rows = {row.id: row for row in session.exec(select(SourceFile).where(col(SourceFile.id).in_(ids)))}
        decisions = {}
        for find in finds:
            row = rows.get(find.source_file_id)
            if only_unread and row is not None and (_is_read(row) or _is_refused(row)):
                continue
            before = None if row is None else observation_of(row)
            decisions[find.id or 0] = self.decide(find.rel_path, seen[find.id or 0], before)
        waiting = [
            (find.rel_path, decisions[find.id or 0][0])
            for find in finds
            if find.id in decisions and not decisions[find.id][0].ready
        ]
        self.report.note("settling", *((path, settled.reason) for path, settled in waiting))
        waits = [settled.wait_s for _, settled in waiting] + ([self.report.wait_s] if self.report.wait_s else [])
        self.report.wait_s = min(waits, default=0.0)
        self.report.counts["ready"] += len(decisions) - len(waiting)
        return finds, seen, decisions

    def _write(
        self,
        session: Session,
        row: SourceFile,
        find: ScanFind,
        signature: Signature,
        decision: tuple[Settled, Observation] | None,
    ) -> None:
        """Bring a row up to date. Without a decision the file was read before, or refused, and nothing changed."""
        row.folder_id = find.folder_id
        row.size, row.mtime_ns, row.ctime_ns = signature.size, signature.mtime_ns, signature.ctime_ns
        row.dev, row.inode = signature.dev, signature.ino
        row.last_seen = now_us()
        row.missing_since = row.settling_since = None
        if decision is None:
            row.state = "unreadable" if _is_refused(row) else "present"
            session.flush()
            return
        settled, observation = decision
        row.stable_since = round(observation.since_s * 1e6)
        row.state = "present" if settled.ready else "settling"
        row.error_code = row.error_message = None
        if settled.ready:
            session.flush()
            self.on_ready(session, row)
            return
        since = observation.unfinished_since_s
        row.settling_since = None if since is None else round(since * 1e6)
        if is_growing(observation, self.decide.clock()):
            row.error_code, row.error_message = GROWING, settled.reason

    def _rows(self, session: Session, finds: Sequence[ScanFind]) -> Sequence[SourceFile]:
        paths = [find.rel_path for find in finds]
        return session.exec(
            select(SourceFile).where(SourceFile.root_id == self.run.root_id, col(SourceFile.rel_path).in_(paths))
        ).all()

    def _left_out(self, finds: list[ScanFind]) -> None:
        self.report.note("ignored", *(find.rel_path for find in finds))
        self._set_states(finds, state="ignored")

    def _gone(self, finds: list[ScanFind]) -> None:
        there = self._look(finds)
        vanished = [find for find in finds if find.id not in there]
        self.report.note("missing", *(find.rel_path for find in vanished))
        if not self.run.dry_run and there:
            # It came back while the scan was at work: the next one takes it up.
            with self.catalog.session() as session:
                self._look_again(session, [find.folder_id for find in finds if find.id in there])
                self._done(session, [find for find in finds if find.id in there])
        self._set_states(vanished, state="missing", missing_since=now_us())

    def _set_states(self, finds: Sequence[ScanFind], **values: object) -> None:
        if self.run.dry_run or not finds:
            return
        with self.catalog.session() as session:
            ids = [find.source_file_id for find in finds]
            session.connection().execute(
                update(SourceFile).where(col(SourceFile.id).in_(ids)).values(settling_since=None, **values)
            )
            self._done(session, finds)

    def _still(self, finds: list[ScanFind], seen: dict[int, Signature]) -> list[ScanFind]:
        """Finds whose file is there; of the others the next scan must not believe that nothing changed."""
        lost = [find for find in finds if find.id not in seen]
        if lost and not self.run.dry_run:
            with self.catalog.session() as session:
                self._look_again(session, [find.folder_id for find in lost])
                self._done(session, lost)
        return [find for find in finds if find.id in seen]

    def _look_again(self, session: Session, folder_ids: Sequence[int]) -> None:
        session.connection().execute(
            update(ScanStep)
            .where(col(ScanStep.run_id) == self.run.id, col(ScanStep.folder_id).in_(set(folder_ids)))
            .values(mtime_ns=None)
        )

    def _done(self, session: Session, finds: Sequence[ScanFind]) -> None:
        ids = [find.id for find in finds]
        session.connection().execute(delete(ScanFind).where(col(ScanFind.id).in_(ids)))
        self.run.summary = {**self.report.to_summary(), "seeded": True}
        runs.beat(session, self.run, summary=self.run.summary)


def observation_of(row: SourceFile) -> Observation:
    """What is remembered of a file."""
    since = row.stable_since if row.stable_since is not None else row.last_seen
    unfinished = None if row.settling_since is None else row.settling_since / 1e6
    return Observation(row.size, row.mtime_ns, row.ctime_ns, row.inode, since / 1e6, unfinished)


def _is_read(row: SourceFile) -> bool:
    return row.asset_id is not None and (row.size, row.mtime_ns) == (row.probed_size, row.probed_mtime_ns)


def _is_refused(row: SourceFile) -> bool:
    """Whether a file was read and could not be; it is tried again when it changes."""
    return not _is_read(row) and row.error_code is not None and row.error_code != GROWING
