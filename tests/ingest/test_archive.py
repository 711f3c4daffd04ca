"""What people do to an archive, on real sounds through the real pipeline: scan, read, catalog, encode.

Each story counts assets, jobs and renditions: a file that only moved costs nothing, and nothing is ever lost.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func
from sqlmodel import col, select

from spresso_assets.catalog.editing import add_tags, tags_of
from spresso_assets.catalog.engine import Catalog, open_catalog
from spresso_assets.catalog.models import Asset, Job, Rendition, SourceFile, WatchRoot
from spresso_assets.errors import SpressoError
from spresso_assets.ingest.reconcile import Report, reconcile
from spresso_assets.ingest.watcher import Watcher
from spresso_assets.jobs.plan import enqueue_probe
from spresso_assets.jobs.runner import EmbeddedRunner
from spresso_assets.jobs.worker import BackgroundWorker
from tests.jobs.sounds import FakeCodec, a_context, register, write_sound


class Archive:
    """A root of real sounds, read and encoded with a codec that is none."""

    def __init__(self, catalog: Catalog, folder: Path) -> None:
        folder.mkdir()
        self.catalog, self.folder = catalog, folder
        self.root_id = register(catalog, folder)
        self.context = a_context()

    def put(self, rel_path: str, seed: int) -> Path:
        return write_sound(self.folder / rel_path, seed)

    def take(self, **options: object) -> Report:
        """Scan, and do all work."""
        options.setdefault("settle_s", 0)
        report = reconcile(self.catalog, self.root_id, enqueue_probe, **options)  # type: ignore[arg-type]
        EmbeddedRunner(self.catalog, self.context).run()
        return report

    def counts(self) -> dict[str, int]:
        with self.catalog.read() as session:
            tables = {"assets": Asset, "jobs": Job, "renditions": Rendition, "files": SourceFile}
            found = {
                name: session.exec(select(func.count()).select_from(table)).one() for name, table in tables.items()
            }
            encodes = select(func.count()).select_from(Job).where(Job.kind == "encode")
            return {**found, "encodes": session.exec(encodes).one()}

    def states(self) -> dict[str, str]:
        with self.catalog.read() as session:
            return {row.rel_path: row.state for row in session.exec(select(SourceFile))}

    def asset_of(self, rel_path: str) -> int | None:
        with self.catalog.read() as session:
            return session.exec(select(SourceFile.asset_id).where(SourceFile.rel_path == rel_path)).one()

    def dump(self) -> list[dict[str, object]]:
        """Everything that must not change by itself."""
        with self.catalog.read() as session:
            tables = (SourceFile, Asset, Rendition, Job)
            return [
                row.model_dump(exclude={"last_seen"}) for t in tables for row in session.exec(select(t).order_by(t.id))
            ]


@pytest.fixture
def archive(catalog: Catalog, tmp_path: Path) -> Iterator[Archive]:
    made = Archive(catalog, tmp_path / "sfx")
    for n in range(6):
        made.put(f"Doors/slam {n}.wav", n)
    made.take()
    assert made.counts() == {"assets": 6, "jobs": 12, "renditions": 6, "files": 6, "encodes": 6}
    yield made
    made.context.close()


@pytest.mark.parametrize("quick", [False, True])
def test_taking_the_same_tree_twice_changes_nothing(archive: Archive, quick: bool) -> None:
    before = archive.dump()
    archive.take(quick=quick)
    assert archive.dump() == before


def test_renames_moves_and_copies_cost_nothing(archive: Archive) -> None:
    before, doors = archive.counts(), archive.folder / "Doors"
    asset = archive.asset_of("Doors/slam 0.wav")
    (doors / "slam 0.wav").rename(doors / "SLAM 0.WAV")
    (doors / "slam 1.wav").rename(archive.folder / "elsewhere.wav")
    (doors / "slam 2.wav").rename(doors / unicodedata.normalize("NFD", "Tür.wav"))
    report = archive.take()
    assert len(report.moved) == 3 and archive.counts() == before
    assert archive.asset_of("Doors/SLAM 0.WAV") == asset
    (doors / unicodedata.normalize("NFD", "Tür.wav")).rename(doors / unicodedata.normalize("NFC", "Tür.wav"))
    doors.rename(archive.folder / "Türen")
    assert len(archive.take().moved) == 5 and archive.counts() == before


def test_a_copy_is_one_more_file_of_the_same_sound(archive: Archive) -> None:
    before = archive.counts()
    shutil.copy2(archive.folder / "Doors/slam 0.wav", archive.folder / "copy.wav")
    archive.take()
    assert archive.asset_of("copy.wav") == archive.asset_of("Doors/slam 0.wav")
    # the copy has to be read once to know that it is one; nothing is encoded
    assert archive.counts() == {**before, "files": 7, "jobs": before["jobs"] + 1}


def test_a_retag_changes_metadata_and_encodes_nothing(archive: Archive) -> None:
    before, file = archive.counts(), archive.folder / "Doors/slam 0.wav"
    asset = archive.asset_of("Doors/slam 0.wav")
    body = b"INFOINAM" + (10).to_bytes(4, "little") + b"Back door\0"
    chunk = b"LIST" + len(body).to_bytes(4, "little") + body
    content = file.read_bytes() + chunk
    file.write_bytes(content[:4] + (len(content) - 8).to_bytes(4, "little") + content[8:])
    assert archive.take().changed == ["Doors/slam 0.wav"]
    after = archive.counts()
    assert after == {**before, "jobs": before["jobs"] + 1} and archive.asset_of("Doors/slam 0.wav") == asset
    with archive.catalog.read() as session:
        assert session.get_one(Asset, asset).title == "Back door"


def test_a_replaced_sound_is_new_and_the_former_one_stays(archive: Archive) -> None:
    before, asset = archive.counts(), archive.asset_of("Doors/slam 0.wav")
    archive.put("Doors/slam 0.wav", 99)
    archive.take()
    after = archive.counts()
    assert (after["assets"], after["renditions"], after["encodes"]) == (7, 7, before["encodes"] + 1)
    assert archive.asset_of("Doors/slam 0.wav") != asset
    with archive.catalog.read() as session:
        assert session.exec(select(Rendition).where(Rendition.asset_id == asset)).one().status == "ready"


def test_a_deleted_file_is_missing_and_its_return_costs_nothing(archive: Archive) -> None:
    before, file = archive.counts(), archive.folder / "Doors/slam 0.wav"
    away = file.rename(archive.folder.parent / "away.wav")
    assert archive.take().missing == ["Doors/slam 0.wav"]
    assert archive.states()["Doors/slam 0.wav"] == "missing" and archive.counts() == before
    away.rename(file)
    assert archive.take().back == ["Doors/slam 0.wav"]
    assert archive.states()["Doors/slam 0.wav"] == "present" and archive.counts() == before


def test_a_root_that_is_away_changes_no_asset_rendition_or_tag(archive: Archive) -> None:
    asset = archive.asset_of("Doors/slam 0.wav") or 0
    with archive.catalog.session() as session:
        add_tags(session, session.get_one(Asset, asset), ["loud"], "me")
    before = archive.dump()
    away = archive.folder.rename(archive.folder.parent / "away")
    with pytest.raises(SpressoError, match="root_offline"):
        archive.take()
    assert set(archive.states().values()) == {"offline"}
    assert [row for row in archive.dump() if "rel_path" not in row] == [row for row in before if "rel_path" not in row]
    away.rename(archive.folder)
    archive.take()
    assert archive.dump() == before
    with archive.catalog.read() as session:
        assert tags_of(session, asset) == ["loud"]


def test_jobs_of_a_root_that_is_away_wait_and_no_attempt_is_counted(archive: Archive) -> None:
    archive.put("new.wav", 50)
    reconcile(archive.catalog, archive.root_id, enqueue_probe, settle_s=0)
    away = archive.folder.rename(archive.folder.parent / "away")
    for _ in range(6):
        with pytest.raises(SpressoError, match="root_offline"):
            archive.take()
        EmbeddedRunner(archive.catalog, archive.context).run()
    with archive.catalog.read() as session:
        job = session.exec(select(Job).where(Job.status == "queued")).one()
        assert (job.kind, job.attempt, job.error_code) == ("probe", 0, None)
    away.rename(archive.folder)
    archive.take()
    assert archive.counts()["assets"] == 7 and set(archive.states().values()) == {"present"}


def test_links_are_followed_nowhere_and_hard_links_are_files(archive: Archive) -> None:
    before = archive.counts()
    (archive.folder / "Doors/loop").symlink_to(archive.folder)
    (archive.folder / "link.wav").symlink_to("Doors/slam 0.wav")
    (archive.folder / "nowhere.wav").symlink_to("none.wav")
    os.link(archive.folder / "Doors/slam 0.wav", archive.folder / "hard.wav")
    report = archive.take()
    assert report.new == ["hard.wav"] and report.left_out["symbolic link"] == 1
    assert [problem.rel_path for problem in report.problems] == ["nowhere.wav"]
    after = archive.counts()
    assert (after["assets"], after["renditions"]) == (before["assets"], before["renditions"])


def test_pipes_and_devices_are_said_and_never_opened(archive: Archive) -> None:
    before = archive.dump()
    os.mkfifo(archive.folder / "pipe.wav")
    report = archive.take()
    assert [(problem.rel_path, problem.error.code) for problem in report.problems] == [("pipe.wav", "not_a_file")]
    assert archive.dump() == before


# Another user than root, because root may read everything.
OTHER_USER = """
import sys
from pathlib import Path
from spresso_assets.catalog.engine import open_catalog
from spresso_assets.ingest.reconcile import reconcile
from spresso_assets.jobs.plan import enqueue_probe
from spresso_assets.jobs.runner import EmbeddedRunner
from tests.jobs.sounds import a_context
catalog = open_catalog(sys.argv[1])
report = reconcile(catalog, int(sys.argv[2]), enqueue_probe, settle_s=0)
EmbeddedRunner(catalog, a_context()).run()
print(sorted((p.rel_path, p.error.code) for p in report.problems), report.counts["missing"], report.counts["changed"])
"""


def as_other_user(archive: Archive, catalog_file: Path) -> str:
    """Scan and read as a user who is not root."""
    catalog_file.chmod(0o666)
    for beside in catalog_file.parent.glob("catalog.db-*"):
        beside.chmod(0o666)
    command = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", sys.executable, "-c", OTHER_USER]
    done = subprocess.run(
        [*command, str(catalog_file), str(archive.root_id)], capture_output=True, text=True, timeout=60,
        cwd=Path(__file__).parents[2],
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.fixture
def shown(migrated_file: Path) -> Iterator[tuple[Archive, Path]]:
    """An archive that every user can see, and its catalog file; pytest's own folders are for one user."""
    if os.geteuid() != 0 or shutil.which("setpriv") is None:
        pytest.skip("needs root, to become another user")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o777)
        catalog = open_catalog(shutil.copy(migrated_file, folder / "catalog.db"))
        made = Archive(catalog, folder / "sfx")
        made.put("Doors/slam.wav", 1)
        made.take()
        yield made, folder / "catalog.db"
        made.context.close()
        catalog.close()


def test_an_unreadable_file_says_so_and_is_read_when_its_permissions_are_mended(
    shown: tuple[Archive, Path],
) -> None:
    archive, catalog_file = shown
    file = archive.put("secret.wav", 60)
    file.chmod(0o600)
    as_other_user(archive, catalog_file)
    assert archive.states()["secret.wav"] == "unreadable"
    jobs = archive.counts()["jobs"]
    assert as_other_user(archive, catalog_file) == "[] 0 0" and archive.counts()["jobs"] == jobs, "not tried again"
    file.chmod(0o644)
    assert as_other_user(archive, catalog_file) == "[] 0 1"
    assert archive.states()["secret.wav"] == "present"


def test_what_lies_in_an_unreadable_folder_is_where_it_was(
    shown: tuple[Archive, Path],
) -> None:
    archive, catalog_file = shown
    archive.put("Rain/deep/soft.wav", 61)
    archive.take()
    before = archive.states()
    (archive.folder / "Rain").chmod(0o700)
    assert as_other_user(archive, catalog_file) == "[('Rain', 'unreadable_file')] 0 0"
    assert archive.states() == before
    (archive.folder / "Rain").chmod(0o755)
    assert as_other_user(archive, catalog_file) == "[] 0 0"


def test_a_half_written_file_is_refused_and_taken_when_it_is_whole(archive: Archive) -> None:
    whole = archive.put("late.wav", 70).read_bytes()
    (archive.folder / "late.wav").write_bytes(whole[: len(whole) // 2])
    archive.take()
    assert archive.states()["late.wav"] == "unreadable"
    with archive.catalog.read() as session:
        file = session.exec(select(SourceFile).where(SourceFile.rel_path == "late.wav")).one()
        assert file.error_code == "truncated_file"
    (archive.folder / "late.wav").write_bytes(whole)
    archive.take()
    assert archive.states()["late.wav"] == "present" and archive.counts()["assets"] == 7


def test_a_file_that_never_comes_to_rest_is_growing_and_visible(archive: Archive) -> None:
    now = 2_000_000_000.0
    file = archive.folder / "endless.wav"
    for minute in range(13):
        file.write_bytes(b"RIFF" + bytes(minute))
        os.utime(file, (now + 60 * minute, now + 60 * minute))
        at = now + 60 * minute
        reconcile(archive.catalog, archive.root_id, enqueue_probe, settle_s=2.0, clock=lambda at=at: at)
    with archive.catalog.read() as session:
        row = session.exec(select(SourceFile).where(SourceFile.rel_path == "endless.wav")).one()
        assert (row.state, row.error_code) == ("settling", "growing")
        assert "12 min" in (row.error_message or "")
        assert session.exec(select(func.count()).select_from(Job).where(col(Job.source_file_id) == row.id)).one() == 0


def test_a_paused_root_with_an_end_is_paused_until_then(archive: Archive) -> None:
    from spresso_assets.ingest.roots import is_paused, pause_root, resume_root

    with archive.catalog.session() as session:
        root = session.get_one(WatchRoot, archive.root_id)
        pause_root(root, "me", "the share is being moved", 3600)
        assert is_paused(root) and root.pause_reason == "the share is being moved"
        root.pause_expires_at = 1
        assert not is_paused(root)
        resume_root(root)
        assert (root.state, root.pause_reason, root.paused_by) == ("active", None, None)


def test_files_are_noticed_while_a_long_encoding_runs(archive: Archive) -> None:
    encoding, go_on = threading.Event(), threading.Event()

    class SlowCodec(FakeCodec):
        def encode_many(self, *args: Any, **options: Any) -> list[bytes]:
            encoding.set()
            assert go_on.wait(60)
            return super().encode_many(*args, **options)

    with archive.catalog.session() as session:
        session.get_one(WatchRoot, archive.root_id).sqlmodel_update({"settle_s": 0.0, "backend": "native"})
    worker = BackgroundWorker(archive.catalog, a_context(SlowCodec()), ("io", "encode"), poll_s=0.1)
    watcher = Watcher(
        archive.catalog, enqueue_probe, on_report=lambda _: None, on_problem=lambda *_: None, work=worker.wake
    )
    threads = [worker.start(), threading.Thread(target=watcher.run)]
    threads[1].start()
    try:
        archive.put("first.wav", 80)
        assert encoding.wait(60)
        archive.put("second.wav", 81)
        deadline = time.monotonic() + 60
        while archive.states().get("second.wav") != "present":
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert not go_on.is_set()
    finally:
        go_on.set()
        watcher.stop()
        worker.stop()
        for thread in threads:
            thread.join(60)
