"""Renames and moves on a real folder: what is recognised without reading, and what is not guessed."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from spresso_assets.catalog.models import WatchRoot
from tests.ingest.conftest import Library


def test_renamed_folder_is_only_moves_however_large(library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("spresso_assets.ingest.looking.FOLDERS", 3)
    for n in range(60):
        library.put(f"old/{n % 7}/{n}.wav")
    library.scan()
    assets = library.assets()
    (library.folder / "old").rename(library.folder / "new")
    report = library.scan()
    assert (report.counts["moved"], report.counts["new"], report.counts["missing"], report.ready) == (60, 0, 0, 0)
    assert library.assets() == {path.replace("old/", "new/"): id_ for path, id_ in assets.items()}


def test_two_files_that_swap_their_names_are_read_again(library: Library) -> None:
    library.put("a.wav", b"one")
    library.put("b.wav", b"three")
    library.scan()
    assets = library.assets()
    (library.folder / "a.wav").rename(library.folder / "c")
    (library.folder / "b.wav").rename(library.folder / "a.wav")
    (library.folder / "c").rename(library.folder / "b.wav")
    assert sorted(library.scan().changed) == ["a.wav", "b.wav"]
    assert library.assets() == {"a.wav": assets["b.wav"], "b.wav": assets["a.wav"]}


def test_a_new_file_may_take_the_name_of_a_moved_one(library: Library) -> None:
    file = library.put("a.wav", b"one")
    library.scan()
    asset = library.assets()["a.wav"]
    (library.folder / "in").mkdir()
    file.rename(library.folder / "in/a.wav")
    library.put("a.wav", b"other")
    report = library.scan()
    # The name still exists, so nothing vanished: it changed, and the former sound is found again by itself.
    assert (report.changed, report.new) == (["a.wav"], ["in/a.wav"])
    assert library.assets()["in/a.wav"] == asset != library.assets()["a.wav"]


def test_hard_link_beside_its_original_is_new_not_moved(library: Library) -> None:
    file = library.put("a.wav")
    library.scan()
    os.link(file, library.folder / "b.wav")
    report = library.scan()
    assert report.new == ["b.wav"] and not report.moved
    assert len(set(library.assets().values())) == 1


def test_two_new_names_for_one_vanished_file_are_not_guessed(library: Library) -> None:
    file = library.put("a.wav")
    library.scan()
    os.link(file, library.folder / "b.wav")
    file.rename(library.folder / "c.wav")
    report = library.scan()
    assert sorted(report.new) == ["b.wav", "c.wav"] and report.missing == ["a.wav"]


def test_reused_inode_with_other_content_is_not_a_move(library: Library) -> None:
    file = library.put("a.wav", b"one")
    library.scan()
    renamed = file.rename(library.folder / "b.wav")
    with renamed.open("ab") as more:
        more.write(b"more")
    report = library.scan()
    assert report.new == ["b.wav"] and report.missing == ["a.wav"]


def test_case_rename_is_a_move_where_inodes_are_not_stable(library: Library) -> None:
    file = library.put("Slam.wav", b"bang")
    library.scan()
    shutil.copy2(file, library.folder / "sLAM.WAV")
    file.unlink()
    report = library.scan()
    assert report.moved == [("Slam.wav", "sLAM.WAV")] and report.ready == 0


def test_the_file_that_vanished_now_goes_before_one_that_is_long_missing(library: Library) -> None:
    old = library.put("old.wav", b"same")
    library.scan()
    away = old.rename(library.folder.parent / "away.wav")
    library.scan()
    shutil.copy2(away, library.folder / "OLD.wav")  # folds to the same name, another inode
    report = library.scan()
    assert report.moved == [("old.wav", "OLD.wav")]
    assert library.states() == {"OLD.wav": "present"}


def test_a_file_that_is_renamed_while_it_is_written_is_not_read_early(library: Library) -> None:
    with (library.folder / "take.wav").open("wb") as writer:
        writer.write(b"first half")
        writer.flush()
        assert library.scan(settle_s=2.0).counts["settling"] == 1
        (library.folder / "take.wav").rename(library.folder / "take 1.wav")
        report = library.scan(settle_s=2.0)
    assert report.moved == [("take.wav", "take 1.wav")] and library.read == []
    assert library.states() == {"take 1.wav": "settling"}


def test_moves_between_roots_are_recognised_by_their_sound(library: Library, tmp_path: Path) -> None:
    from spresso_assets.ingest.reconcile import reconcile
    from spresso_assets.ingest.roots import add_root

    file = library.put("a.wav", b"sound")
    library.scan()
    other = tmp_path / "other"
    other.mkdir()
    with library.catalog.session() as session:
        other_id = add_root(session, other).id or 0
    file.rename(other / "a.wav")
    library.scan()
    library.folder = other
    reconcile(library.catalog, other_id, library.ready, settle_s=0)
    with library.catalog.read() as session:
        assert session.get(WatchRoot, other_id) is not None
    assert len(set(library.assets().values())) == 1
