"""Folders that clients may write into."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from plugin_bridge.place_folders import FILE, PlaceFolders
from spresso_assets.errors import SpressoError


def test_nothing_is_allowed_until_somebody_says_so(tmp_path: Path) -> None:
    assert PlaceFolders([], tmp_path).all() == []


def test_allowed_folders_are_kept_and_count_at_once(tmp_path: Path) -> None:
    project, other = tmp_path / "project", tmp_path / "other"
    project.mkdir()
    other.mkdir()
    running = PlaceFolders([other], tmp_path / "state")
    assert PlaceFolders([], tmp_path / "state").allow(project) is True
    assert running.all() == [other, project]
    assert PlaceFolders([], tmp_path / "state").allow(project) is False
    assert stat.S_IMODE((tmp_path / "state" / FILE).stat().st_mode) == 0o600

    assert PlaceFolders([], tmp_path / "state").forget(project) is True
    assert running.all() == [other]
    assert PlaceFolders([], tmp_path / "state").forget(project) is False


def test_a_link_counts_as_the_folder_behind_it(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    folders = PlaceFolders([], tmp_path / "state")
    folders.allow(tmp_path / "link")
    assert folders.all() == [tmp_path / "real"]


def test_what_holds_everything_is_not_allowed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "file").touch()
    for folder in (Path("/"), tmp_path, tmp_path / "nothing", tmp_path / "file", Path("~")):
        with pytest.raises(SpressoError, match="bad_place_folder"):
            PlaceFolders([], tmp_path / "state").allow(folder)
    assert PlaceFolders([], tmp_path / "state").all() == []


def test_a_state_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "project").mkdir()
    with pytest.raises(SpressoError, match="state_not_writable"):
        PlaceFolders([], tmp_path / "file").allow(tmp_path / "project")


@pytest.mark.parametrize("content", ["", "{", "[]", '{"folders": 3}', "\x00", json.dumps({"folders": [1, None, {}]})])
def test_a_damaged_file_allows_nothing(tmp_path: Path, content: str) -> None:
    (tmp_path / FILE).write_text(content)
    assert PlaceFolders([], tmp_path).all() == []
