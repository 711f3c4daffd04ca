"""Scans as rows: resumed after a kill, one at a time per root, quick ones, and what they cannot see."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from sqlmodel import select

from spresso_assets.catalog.columns import now_us
from spresso_assets.catalog.models import ScanFind, ScanRun, ScanStep, WatchRoot
from spresso_assets.errors import SpressoError
from spresso_assets.ingest import applying, looking, runs
from spresso_assets.ingest.reconcile import outermost
from tests.ingest.conftest import Library

AN_HOUR_AGO = now_us() * 1000 - 3600 * 10**9


def age(library: Library) -> None:
    """Let every folder look as if nothing had happened in it for an hour."""
    for folder, _, _ in os.walk(library.folder):
        os.utime(folder, ns=(AN_HOUR_AGO, AN_HOUR_AGO))


@pytest.fixture
def listed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The folders that are listed from now on."""
    honest, seen = looking.list_folder, []

    def list_folder(root: Path, folder: str, rules: Any) -> looking.Listing:
        seen.append(folder)
        return honest(root, folder, rules)

    monkeypatch.setattr(looking, "list_folder", list_folder)
    return seen


def rows_of_runs(library: Library) -> tuple[int, int]:
    with library.catalog.read() as session:
        return len(session.exec(select(ScanStep)).all()), len(session.exec(select(ScanFind)).all())


def test_a_killed_scan_goes_on_where_it_stopped(library: Library, catalog_file: Path, listed: list[str]) -> None:
    for n in range(20):
        library.put(f"{n}/a.wav")
    command = [sys.executable, "-m", "tests.ingest.scan_process", str(catalog_file), str(library.root_id), "15"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=Path(__file__).parents[2]) as process:
        assert process.stdout is not None and process.stdout.readline() == b"there\n"
        process.send_signal(signal.SIGKILL)
        process.wait(10)
    with library.catalog.read() as session:
        run = session.exec(select(ScanRun)).one()
        assert (run.state, run.listed) == ("looking", 15)
    report = library.scan()
    assert report.resumed
    assert len(listed) == 6, "of 21 folders, 15 had been listed"
    assert (report.counts["listed"], report.counts["new"], report.ready) == (21, 20, 20)
    assert len(library.rows()) == 20 and rows_of_runs(library) == (0, 0)


def test_a_scan_that_died_while_writing_writes_the_rest(library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(applying, "CHUNK", 4)
    for n in range(10):
        library.put(f"{n}.wav")
    honest = library.ready

    def dies(session: Any, row: Any) -> None:
        if len(library.read) == 5:
            raise KeyboardInterrupt
        honest(session, row)

    monkeypatch.setattr(library, "ready", dies)
    with pytest.raises(KeyboardInterrupt):
        library.scan()
    monkeypatch.setattr(library, "ready", honest)
    (library.folder / "9.wav").unlink()  # what was found before is looked at again before it is written
    report = library.scan()
    assert report.resumed and report.counts["new"] == 9
    assert set(library.states().values()) == {"present"} and len(library.rows()) == 9


def test_a_run_that_is_alive_is_waited_for_and_not_disturbed(library: Library) -> None:
    library.put("a.wav")
    run = runs.begin(library.catalog, library.root_id, [""], quick=False, dry_run=False, patience_s=0)
    with pytest.raises(SpressoError) as caught:
        library.scan(patience_s=0)
    assert caught.value.code == "scan_running"
    runs.release(library.catalog, run)
    assert library.scan(patience_s=0).resumed


def test_who_lost_a_run_cannot_write_into_it(library: Library) -> None:
    lost = runs.begin(library.catalog, library.root_id, [""], quick=False, dry_run=False, patience_s=0)
    runs.release(library.catalog, lost)
    runs.begin(library.catalog, library.root_id, [""], quick=False, dry_run=False, patience_s=0)
    with pytest.raises(SpressoError, match="scan_taken_over"), library.catalog.session() as session:
        runs.beat(session, lost)


def test_a_run_of_yesterday_is_begun_anew(library: Library, listed: list[str]) -> None:
    library.put("a.wav")
    run = runs.begin(library.catalog, library.root_id, [""], quick=False, dry_run=False, patience_s=0)
    with library.catalog.session() as session:
        session.get_one(ScanRun, run.id).sqlmodel_update({"owner": "", "heartbeat_at": now_us() - 86_400_000_000})
    assert not library.scan().resumed


def test_quick_scans_list_only_what_changed(library: Library, listed: list[str]) -> None:
    for n in range(10):
        library.put(f"{n}/in/a.wav")
    age(library)
    library.scan()
    listed.clear()
    report = library.scan(quick=True)
    assert listed == [] and report.counts["skipped"] == 21 and report.unchanged == 10
    library.put("3/in/new.wav")
    (library.folder / "4/in/a.wav").rename(library.folder / "5/in/moved.wav")
    report = library.scan(quick=True)
    assert sorted(listed) == ["3/in", "4/in", "5/in"]
    assert report.new == ["3/in/new.wav"] and report.moved == [("4/in/a.wav", "5/in/moved.wav")]


def test_quick_scans_notice_vanished_and_new_folders(library: Library) -> None:
    library.put("a/x.wav")
    library.put("b/y.wav")
    age(library)
    library.scan()
    (library.folder / "a").rename(library.folder.parent / "away")
    library.put("c/deep/z.wav")
    report = library.scan(quick=True)
    assert (report.missing, report.new, report.counts["skipped"]) == (["a/x.wav"], ["c/deep/z.wav"], 1)


def test_only_a_full_scan_sees_a_file_rewritten_in_place(library: Library) -> None:
    library.put("in/a.wav", b"one")
    age(library)
    library.scan()
    library.put("in/a.wav", b"two")
    age(library)
    assert library.scan(quick=True).changed == []
    assert library.scan().changed == ["in/a.wav"]


def test_a_folder_that_changed_just_now_is_listed_again(library: Library, listed: list[str]) -> None:
    library.put("a.wav")
    library.scan()
    listed.clear()
    library.scan(quick=True)
    assert listed == [""], "another entry may follow within the same tick of the clock"


@pytest.mark.parametrize("state", ["settling", "unreadable"])
def test_unfinished_and_unreadable_files_are_looked_at_by_quick_scans_too(library: Library, state: str) -> None:
    file = library.put("in/a.wav", b"half", age_s=0)
    age(library)
    library.scan(settle_s=2.0)
    if state == "unreadable":
        with library.catalog.session() as session:
            row = session.exec(select(applying.SourceFile)).one()
            row.state, row.error_code = "unreadable", "truncated_file"
    with file.open("ab") as more:
        more.write(b" and the rest")
    age(library)
    library.scan(quick=True)
    assert library.read == ["in/a.wav"]
    library.put("in/a.wav", b"other")
    age(library)
    assert library.scan(quick=True).changed == [], "and then it is at rest"


def test_what_a_cap_kept_is_asked_again_by_the_next_quick_scan(library: Library) -> None:
    for n in range(100):
        library.put(f"{n % 4}/{n}.wav")
    age(library)
    library.scan()
    for n in range(0, 80, 4):
        (library.folder / f"0/{n}.wav").unlink()
    for _ in range(3):
        report = library.scan(quick=True)
        assert [problem.error.code for problem in report.problems] == ["removal_cap"]
    assert len(library.scan(quick=True, accept_removals=True).missing) == 20


def test_an_aborted_scan_is_no_excuse_for_the_next_quick_one(library: Library) -> None:
    for n in range(20):
        library.put(f"in/{n}.wav")
    library.put("out/keep.wav")
    age(library)
    library.scan()
    library.put("out/new.wav")
    (library.folder / "in").rename(library.folder.parent / "away")
    for _ in range(2):
        with pytest.raises(SpressoError, match="abort_cap"):
            library.scan(quick=True)
    assert "out/new.wav" not in library.rows(), "nothing was changed"
    (library.folder.parent / "away").rename(library.folder / "in")
    report = library.scan(quick=True)
    assert report.new == ["out/new.wav"] and not report.missing


def test_full_scans_and_their_duration_are_remembered(library: Library) -> None:
    library.put("a.wav")
    library.scan()
    with library.catalog.read() as session:
        root = session.get_one(WatchRoot, library.root_id)
        assert root.last_full_scan_at == root.last_scan_at and root.full_scan_s is not None
    library.scan(quick=True)
    with library.catalog.read() as session:
        later = session.get_one(WatchRoot, library.root_id)
        assert later.last_full_scan_at == root.last_full_scan_at and later.last_scan_at != root.last_scan_at


def test_files_that_the_patterns_leave_out_now_are_ignored_not_missing(library: Library) -> None:
    for n in range(30):
        library.put(f"RAW/{n}.wav")
    library.put("keep.wav")
    library.scan()
    with library.catalog.session() as session:
        session.get_one(WatchRoot, library.root_id).exclude = ["RAW/"]
    report = library.scan()
    assert (report.counts["ignored"], report.counts["missing"], report.problems) == (30, 0, [])
    assert library.scan().counts["ignored"] == 0
    with library.catalog.session() as session:
        session.get_one(WatchRoot, library.root_id).exclude = []
    reads = len(library.read)
    assert library.scan().counts["back"] == 30 and len(library.read) == reads


def test_a_hint_in_a_folder_that_is_left_out_is_no_sound(library: Library) -> None:
    library.put("@eaDir/thumb.wav")
    library.scan(under="@eaDir/thumb.wav")
    library.scan(under="@eaDir")
    assert library.rows() == {}


def test_outermost_parts() -> None:
    assert outermost(["a/b", "a", "a-2/x", "a/c", "b"]) == ["a", "a-2/x", "b"]
    assert outermost(["a", ""]) == [""]
    assert outermost("a") == ["a"]
