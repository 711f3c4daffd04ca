"""Clients go where their programs look."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from plugin_bridge.installing import CLIENTS, Client, client_named, clients, install, target_of
from spresso_assets.errors import SpressoError


def a_client(folder: Path, **manifest: Any) -> Client:
    """A client of two files, one in a folder, and one that clients share."""
    own = folder / "clients" / "tool"
    (own / "icons" / "__pycache__").mkdir(parents=True)
    (own / "search.lua").write_text("search")
    (own / "icons" / "a.svg").write_text("icon")
    (own / "icons" / "__pycache__" / "x.pyc").write_text("junk")
    (own.parent / "shared.py").write_text("shared")
    told = {"title": "Tool", "files": ["search.lua", "icons/", "../shared.py"], "next": "Restart Tool.", **manifest}
    (own / "install.json").write_text(json.dumps(told))
    return client_named("tool", own.parent)


@pytest.mark.parametrize("client", clients(), ids=lambda client: client.name)
def test_what_a_client_of_ours_names_is_there(client: Client, tmp_path: Path) -> None:
    assert client.manifest.title and client.manifest.files
    if client.manifest.build:
        pytest.skip("is built first; its own test does that")
    files = install(client, tmp_path / "target")
    assert files and all(file.what == "new" and file.path.is_file() for file in files)


def test_clients_of_ours_have_a_page() -> None:
    pages = CLIENTS.parents[1] / "docs" / "how-to"
    for client in clients():
        # an add-on for an older version of a program stands on the page of that program
        names = (client.name, client.name.rstrip("0123456789"))
        assert any((pages / f"bridge-{name}.md").is_file() for name in names), client.name


def test_files_arrive_and_are_left_alone_when_they_are_the_same(tmp_path: Path) -> None:
    client, target = a_client(tmp_path), tmp_path / "deep" / "target"
    planned = install(client, target, dry_run=True)
    assert [file.what for file in planned] == ["new"] * 3 and not target.exists()

    installed = install(client, target)
    assert installed == planned
    found = {str(path.relative_to(target)): path.read_text() for path in target.rglob("*") if path.is_file()}
    assert found == {"search.lua": "search", "icons/a.svg": "icon", "shared.py": "shared"}

    os.utime(target / "shared.py", ns=(1, 1))
    (target / "search.lua").write_text("an older one")
    (target / "mine.lua").write_text("mine")
    assert [file.what for file in install(client, target)] == ["changed", "same", "same"]
    assert (target / "search.lua").read_text() == "search"
    assert (target / "shared.py").stat().st_mtime_ns == 1
    assert (target / "mine.lua").read_text() == "mine"


def test_a_named_folder_wins(tmp_path: Path) -> None:
    client = a_client(tmp_path, inside="addons/spresso", targets={"linux": str(tmp_path / "default")})
    (tmp_path / "game").mkdir()
    assert target_of(client, tmp_path / "game") == tmp_path / "game" / "addons" / "spresso"
    with pytest.raises(SpressoError, match="bad_folder"):
        target_of(client, tmp_path / "nothing")


def test_the_place_of_this_system_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("APPDATA", str(tmp_path / "Roaming"))
    client = a_client(tmp_path, targets={"linux": "~/.tool/scripts", "win32": "%APPDATA%/Tool"})
    assert target_of(client, None, "linux") == tmp_path / ".tool" / "scripts"
    assert target_of(client, None, "win32") == tmp_path / "Roaming" / "Tool"
    with pytest.raises(SpressoError, match="install_where"):
        target_of(client, None, "darwin")
    monkeypatch.delenv("APPDATA")
    with pytest.raises(SpressoError, match="install_where"):
        target_of(client, None, "win32")


def test_the_newest_version_is_taken(tmp_path: Path) -> None:
    client = a_client(tmp_path, targets={"linux": f"{tmp_path}/tool/*/addons"})
    with pytest.raises(SpressoError, match="no folder of Tool"):
        target_of(client, None, "linux")
    for version in ("3.9", "3.10", "2.83", "readme.txt"):
        (tmp_path / "tool" / version).mkdir(parents=True)
    (tmp_path / "tool" / "readme.txt").rmdir()
    (tmp_path / "tool" / "readme.txt").touch()
    assert target_of(client, None, "linux") == tmp_path / "tool" / "3.10" / "addons"


def test_of_several_places_the_one_that_is_used_is_taken(tmp_path: Path) -> None:
    client = a_client(tmp_path, targets={"linux": [f"{tmp_path}/old/x", f"{tmp_path}/new/x"]})
    assert target_of(client, None, "linux") == tmp_path / "old" / "x"
    (tmp_path / "new").mkdir()
    assert target_of(client, None, "linux") == tmp_path / "new" / "x"


def test_a_build_happens_in_a_copy(tmp_path: Path) -> None:
    command = ["sh", "-c", "mkdir out && tr a-z A-Z < search.lua > out/built"]
    client = a_client(tmp_path, build=command, files=["out/"])
    assert [file.what for file in install(client, tmp_path / "target")] == ["new"]
    assert (tmp_path / "target" / "out" / "built").read_text() == "SEARCH"
    assert not (client.folder / "out").exists()


@pytest.mark.parametrize("command", [["sh", "-c", "echo no compiler >&2; exit 1"], ["a-program-that-is-not-there"]])
def test_a_build_that_fails_changes_nothing(tmp_path: Path, command: list[str]) -> None:
    client = a_client(tmp_path, build=command)
    with pytest.raises(SpressoError, match="build_failed"):
        install(client, tmp_path / "target")
    assert not (tmp_path / "target").exists()


def test_a_place_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    client = a_client(tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(SpressoError, match="cannot_write"):
        install(client, tmp_path / "file")


def test_an_unknown_client_is_told_which_there_are(tmp_path: Path) -> None:
    a_client(tmp_path)
    with pytest.raises(SpressoError, match="Clients: tool"):
        client_named("protools", tmp_path / "clients")
