"""Roots: what a person means by a path, roots inside of roots, settings that are refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlmodel import select

from spresso_assets.catalog.engine import Catalog
from spresso_assets.catalog.models import WatchRoot
from spresso_assets.catalog.search import search
from spresso_assets.errors import ExitCode, SpressoError
from spresso_assets.ingest.mounts import backend_for, sends_events
from spresso_assets.ingest.reconcile import reconcile
from spresso_assets.ingest.roots import add_root, change_root, find_root, judge_path, remove_root, root_for
from tests.ingest.conftest import Library

MOUNTS = (
    "/dev/sda1 / ext4 rw 0 0\nnas:/sfx /mnt/sfx nfs4 rw 0 0\nover /data overlay rw 0 0\nx /mnt/s fuse.sshfs rw 0 0\n"
)


@pytest.mark.parametrize(
    ("path", "events"), [("/home", True), ("/mnt/sfx/Doors", False), ("/data/x", False), ("/mnt/s", False)]
)
def test_events_are_trusted_on_local_disks_only(path: str, events: bool) -> None:
    assert sends_events(Path(path), MOUNTS) is events
    assert backend_for(Path(path), "auto", MOUNTS) == ("native" if events else "poll")
    assert backend_for(Path(path), "scan", MOUNTS) == "scan"


def test_names_are_made_unique(catalog: Catalog, tmp_path: Path) -> None:
    with catalog.session() as session:
        for parent in ("a", "b", "c"):
            (tmp_path / parent / "Doors").mkdir(parents=True)
            add_root(session, tmp_path / parent / "Doors")
        assert list(session.exec(select(WatchRoot.name))) == ["Doors", "Doors-2", "Doors-3"]


def test_overlapping_roots_are_refused(library: Library) -> None:
    inside = library.folder / "in"
    inside.mkdir()
    for path, code in (
        (library.folder, "root_exists"),
        (inside, "root_overlaps"),
        (library.folder.parent, "root_overlaps"),
    ):
        with pytest.raises(SpressoError) as caught, library.catalog.session() as session:
            add_root(session, path)
        assert caught.value.code == code


def test_naming_a_parent_folder_takes_over_what_is_known(library: Library) -> None:
    library.put("a.wav")
    library.scan()
    reads = len(library.read)
    parent = library.folder.parent
    with library.catalog.session() as session:
        root, under = root_for(session, parent)
        root_id = root.id or 0
    assert under == ""
    report = reconcile(library.catalog, root_id, library.ready, settle_s=0)
    assert report.unchanged == 1 and len(library.read) == reads
    assert list(library.rows()) == ["sfx/a.wav"]
    with library.catalog.read() as session:
        assert len(session.exec(select(WatchRoot)).all()) == 1
        assert len(search(session, "sfx")) == 1


def test_single_files_are_taken_alone_until_their_folder_is_named(catalog: Catalog, tmp_path: Path) -> None:
    folder = tmp_path / "sfx"
    folder.mkdir()
    for name in ("a.wav", "b.wav", "c.wav"):
        (folder / name).write_bytes(name.encode())
    with catalog.session() as session:
        assert root_for(session, folder / "a.wav")[1] == "a.wav"
        root, under = root_for(session, folder / "b.wav")
        assert (root.mode, root.include, under) == ("scan", ["a.wav", "b.wav"], "b.wav")
        assert judge_path(root, folder / "a.wav").included
        assert not judge_path(root, folder / "c.wav").included
        root, under = root_for(session, folder)
        assert (root.mode, root.include, under) == ("auto", [], "")


@pytest.mark.parametrize(
    ("name", "code"), [("none.wav", "file_missing"), ("text.txt", "left_out"), ("link.wav", "not_a_file")]
)
def test_paths_that_cannot_be_taken_say_why(library: Library, name: str, code: str) -> None:
    (library.folder / "text.txt").write_text("no sound")
    (library.folder / "link.wav").symlink_to("text.txt")
    with pytest.raises(SpressoError) as caught, library.catalog.session() as session:
        root_for(session, library.folder / name)
    assert caught.value.code == code


@pytest.mark.parametrize(
    "settings", [{"mode": "x"}, {"removal_cap": 2}, {"settle_s": -1}, {"colour": "red"}, {"name": "other"}]
)
def test_bad_settings_are_refused(library: Library, settings: dict[str, object]) -> None:
    with library.catalog.session() as session:
        (library.folder.parent / "o").mkdir()
        add_root(session, library.folder.parent / "o", name="other")
    with pytest.raises(SpressoError), library.catalog.session() as session:
        change_root(session, find_root(session, "sfx"), **settings)


def test_unknown_root(library: Library) -> None:
    with library.catalog.read() as session, pytest.raises(SpressoError) as caught:
        find_root(session, "nonsense")
    assert caught.value.exit_code is ExitCode.NOT_FOUND and "sfx" in caught.value.hint


def test_forgetting_a_root_keeps_its_sounds_but_not_its_paths(library: Library) -> None:
    library.put("Gates/a.wav")
    library.scan()
    with library.catalog.session() as session:
        remove_root(session, find_root(session, "sfx"))
    assert library.rows() == {}
    with library.catalog.read() as session:
        assert len(search(session, "")) == 1
        assert search(session, "gates") == []
