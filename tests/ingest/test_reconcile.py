"""Scans against a real catalog and real files: the invariants that people's archives depend on."""

from __future__ import annotations

import os
import shutil
import unicodedata
from pathlib import Path

import pytest
from sqlmodel import select

from spresso_assets.catalog.models import Asset, SourceFile, WatchRoot
from spresso_assets.catalog.search import search
from spresso_assets.errors import ExitCode, SpressoError
from tests.ingest.conftest import Library


def dump(library: Library) -> list[dict[str, object]]:
    with library.catalog.read() as session:
        return [row.model_dump(exclude={"last_seen"}) for row in session.exec(select(SourceFile))] + [
            row.model_dump() for row in session.exec(select(Asset))
        ]


def test_second_scan_changes_nothing(library: Library) -> None:
    for n in range(20):
        library.put(f"Doors/slam {n}.wav")
    first = library.scan()
    assert (first.ready, len(first.new)) == (20, 20)
    before = dump(library)
    second = library.scan()
    assert (second.unchanged, second.ready, len(second.new)) == (20, 0, 0)
    assert dump(library) == before
    assert len(library.read) == 20


def test_moves_and_renames_read_nothing_and_are_found_under_their_new_name(library: Library) -> None:
    for name in ("a", "b", "c"):
        library.put(f"old/{name}.wav")
    library.scan()
    assets = library.assets()
    (library.folder / "old").rename(library.folder / "brandnew")
    (library.folder / "brandnew/a.wav").rename(library.folder / "brandnew/A.WAV")
    report = library.scan()
    assert len(report.moved) == 3 and report.ready == 0 and len(library.read) == 3
    assert library.assets() == {
        "brandnew/A.WAV": assets["old/a.wav"],
        "brandnew/b.wav": assets["old/b.wav"],
        "brandnew/c.wav": assets["old/c.wav"],
    }
    with library.catalog.read() as session:
        assert len(search(session, "brandnew")) == 3


def test_unicode_form_of_a_name_may_change(library: Library) -> None:
    file = library.put(unicodedata.normalize("NFC", "Café.wav"))
    library.scan()
    file.rename(library.folder / unicodedata.normalize("NFD", "Café.wav"))
    report = library.scan()
    assert len(report.moved) == 1 and report.ready == 0


def test_copy_is_linked_to_the_same_asset(library: Library) -> None:
    file = library.put("a.wav")
    library.scan()
    shutil.copy2(file, library.folder / "copy.wav")
    library.scan()
    assets = library.assets()
    assert assets["a.wav"] == assets["copy.wav"]


def test_rewritten_file_is_read_again(library: Library) -> None:
    library.put("a.wav", b"one")
    library.scan()
    before = library.assets()["a.wav"]
    library.put("a.wav", b"other")
    report = library.scan()
    assert report.changed == ["a.wav"] and library.assets()["a.wav"] != before


def test_vanished_file_is_missing_not_removed_and_comes_back(library: Library) -> None:
    file = library.put("a.wav")
    library.put("b.wav")
    library.scan()
    away = file.rename(library.folder.parent / "elsewhere.wav")
    assert library.scan().missing == ["a.wav"]
    assert library.states() == {"a.wav": "missing", "b.wav": "present"}
    away.rename(file)
    assert library.scan().back == ["a.wav"]
    assert library.states()["a.wav"] == "present"
    assert len(library.read) == 2


def test_root_that_is_gone_or_emptied_is_offline_and_nothing_else_changes(library: Library) -> None:
    for n in range(3):
        library.put(f"{n}.wav")
    library.scan()
    before = dump(library)
    away = library.folder.rename(library.folder.parent / "unmounted")
    for make_empty in (False, True):
        if make_empty:
            library.folder.mkdir()
        with pytest.raises(SpressoError) as caught:
            library.scan()
        assert (caught.value.code, caught.value.exit_code) == ("root_offline", ExitCode.ROOT_OFFLINE)
        frozen = [{**row, "state": "offline"} if "rel_path" in row else row for row in before]
        assert dump(library) == frozen
        with library.catalog.read() as session:
            assert session.get_one(WatchRoot, library.root_id).state == "offline"
    library.folder.rmdir()
    away.rename(library.folder)
    library.scan()
    with library.catalog.read() as session:
        assert session.get_one(WatchRoot, library.root_id).state == "active"
    assert dump(library) == before


@pytest.mark.parametrize(("vanish", "code"), [(20, "removal_cap"), (70, "abort_cap")])
def test_many_vanished_files_are_not_believed(library: Library, vanish: int, code: str) -> None:
    for n in range(100):
        library.put(f"{n}.wav")
    library.scan()
    for n in range(vanish):
        (library.folder / f"{n}.wav").unlink()
    if code == "abort_cap":
        with pytest.raises(SpressoError) as caught:
            library.scan()
        assert caught.value.code == code
    else:
        report = library.scan()
        assert [problem.error.code for problem in report.problems] == [code]
    assert set(library.states().values()) == {"present"}
    report = library.scan(accept_removals=True)
    assert len(report.missing) == vanish
    assert list(library.states().values()).count("missing") == vanish


def test_removal_cap_of_a_folder_counts_against_the_whole_root(library: Library) -> None:
    for n in range(11):
        library.put(f"Takes/{n}.wav")
    for n in range(220):
        library.put(f"Rest/{n}.wav")
    library.scan()
    shutil.rmtree(library.folder / "Takes")
    assert len(library.scan(under="Takes").missing) == 11


def test_dry_run_finds_the_same_and_writes_nothing(library: Library) -> None:
    library.put("a.wav")
    library.put("b.wav")
    library.scan()
    (library.folder / "a.wav").rename(library.folder / "c.wav")
    (library.folder / "b.wav").unlink()
    library.put("d.wav")
    before = dump(library)
    dry = library.scan(dry_run=True)
    assert dump(library) == before
    wet = library.scan()
    assert {**dry.record(), "dry_run": False} == wet.record()


def test_scan_of_a_part_leaves_the_rest_alone(library: Library) -> None:
    library.put("in/a.wav")
    library.put("out/b.wav")
    report = library.scan(under="in")
    assert report.new == ["in/a.wav"]
    (library.folder / "in/a.wav").unlink()
    assert library.scan(under="in").missing == ["in/a.wav"]
    assert library.scan(under="in/a.wav").still_missing == 1


def test_file_that_moves_between_two_partial_scans_is_followed(library: Library) -> None:
    file = library.put("in/a.wav")
    library.scan()
    library.put("out/keep.wav")
    file.rename(library.folder / "out/a.wav")
    library.scan(under="in")
    report = library.scan(under="out")
    assert report.moved == [("in/a.wav", "out/a.wav")]


def test_young_file_waits_and_is_taken_later(library: Library) -> None:
    file = library.put("a.wav", age_s=0)
    report = library.scan(settle_s=2.0)
    assert report.settling and report.ready == 0 and 0 < report.wait_s <= 5
    assert library.states() == {"a.wav": "settling"}
    later = file.stat().st_ctime + 120
    report = library.scan(settle_s=2.0, clock=lambda: later)
    assert report.ready == 1 and library.states() == {"a.wav": "present"}


def test_links_and_loops_are_not_followed(library: Library) -> None:
    file = library.put("a.wav")
    (library.folder / "loop").symlink_to(library.folder)
    (library.folder / "link.wav").symlink_to(file)
    os.link(file, library.folder / "hard.wav")
    report = library.scan()
    assert sorted(report.new) == ["a.wav", "hard.wav"]
    assert report.left_out["symbolic link"] >= 1
    assert len(set(library.assets().values())) == 1


def test_things_that_are_no_files_are_said(library: Library) -> None:
    (library.folder / "folder.wav").mkdir()
    os.mkfifo(library.folder / "pipe.wav")
    library.put("folder.wav/inside.wav")
    report = library.scan()
    assert {problem.rel_path: problem.error.code for problem in report.problems} == {
        "folder.wav": "not_a_file",
        "pipe.wav": "not_a_file",
    }
    assert report.new == ["folder.wav/inside.wav"]


def test_names_of_any_bytes(library: Library) -> None:
    name = os.fsdecode(b"caf\xe9 \n.wav")
    long_name = "ü" * 123 + ".wav"
    try:
        library.put(name, b"one")
    except OSError:
        pytest.skip("this file system wants UTF-8 names")
    library.put(long_name, b"two")
    assert sorted(library.scan().new) == sorted([name, long_name])
    assert library.scan().unchanged == 2


def test_originals_are_only_read(library: Library) -> None:
    file = library.put("a.wav", b"original")
    file.chmod(0o444)
    library.folder.chmod(0o555)
    before = file.stat()
    try:
        library.scan()
        library.scan()
    finally:
        library.folder.chmod(0o755)
    after = file.stat()
    assert (before.st_mtime_ns, before.st_ctime_ns, before.st_size) == (
        after.st_mtime_ns,
        after.st_ctime_ns,
        after.st_size,
    )


def test_killed_between_two_transactions_the_next_scan_finds_the_rest(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("spresso_assets.ingest.applying.CHUNK", 3)
    for n in range(10):
        library.put(f"{n}.wav")
    honest, seen = library.ready, 0

    def dies(session: object, row: SourceFile) -> None:
        nonlocal seen
        seen += 1
        if seen == 5:
            raise KeyboardInterrupt
        honest(session, row)  # type: ignore[arg-type]

    library.ready = dies  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        library.scan()
    assert len(library.rows()) == 3
    library.ready = honest  # type: ignore[method-assign]
    library.scan()
    assert set(library.states().values()) == {"present"} and len(library.rows()) == 10
    assert sorted(set(library.read)) == sorted(f"{n}.wav" for n in range(10))


def test_root_path_is_reported_when_it_never_existed(library: Library, tmp_path: Path) -> None:
    library.folder.rmdir()
    with pytest.raises(SpressoError) as caught:
        library.scan()
    assert str(library.folder) in str(caught.value)
