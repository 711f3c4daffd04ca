"""`spresso bridge`, without a bridge; tests/plugin_bridge/test_server.py has one."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.conftest import Spresso


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.delenv("SPRESSO_BRIDGE", raising=False)
    return tmp_path / "state" / "spresso"


@pytest.mark.parametrize("verb", ["status", "open"])
def test_no_bridge_is_said(spresso: Spresso, state: Path, verb: str) -> None:
    result = spresso("bridge", verb)
    assert result.code != 0 and "bridge_not_running" in result.err and "spresso serve" in result.err


def test_allowing_folders(spresso: Spresso, state: Path, tmp_path: Path) -> None:
    project = tmp_path / "project"
    project.mkdir()
    assert spresso.ok("bridge", "allow").out == ""
    assert "would be allowed" in spresso.ok("bridge", "allow", project, "--dry-run").out
    assert not state.exists()
    assert spresso.ok("bridge", "allow", project).out == f"allowed: {project}\n"
    assert spresso.ok("bridge", "allow", project, "--json").data["changed"] is False
    assert spresso.ok("bridge", "allow", "--json").data == [str(project)]
    project.rmdir()  # what is gone can still be taken off the list
    assert spresso.ok("bridge", "allow", "--remove", project).out == f"no longer allowed: {project}\n"
    assert spresso.ok("bridge", "allow", "--json").data == []


def test_folders_that_are_not_allowed(spresso: Spresso, state: Path, tmp_path: Path) -> None:
    for folder in ("/", "~", tmp_path / "nothing"):
        for more in ((), ("--dry-run",)):
            result = spresso("bridge", "allow", folder, *more)
            assert result.code == 2 and "bad_place_folder" in result.err
    assert spresso("bridge", "allow", "--remove").code == 2


def test_installing_a_client(spresso: Spresso, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from plugin_bridge import installing

    folder = tmp_path / "clients" / "tool"
    folder.mkdir(parents=True)
    (folder / "a.lua").write_text("a")
    (folder / "install.json").write_text('{"title": "Tool", "files": ["a.lua"], "next": "Restart Tool."}')
    known = installing.clients(folder.parent)
    monkeypatch.setattr(installing, "clients", lambda folder=None: known)
    target = tmp_path / "target"
    target.mkdir()

    assert spresso.ok("bridge", "install", "--json").data == [
        {"client": "tool", "title": "Tool", "next": "Restart Tool."}
    ]
    assert spresso("bridge", "install", "tool").code == 2  # where?
    assert spresso("bridge", "install", "nothing", target).code == 2
    planned = spresso.ok("bridge", "install", "tool", target, "--dry-run")
    assert "new" in planned.out and not list(target.iterdir())
    done = spresso.ok("bridge", "install", "tool", target)
    assert str(target / "a.lua") in done.out and "Restart Tool." in done.err
    assert (target / "a.lua").read_text() == "a"
