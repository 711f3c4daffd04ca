"""`root` and `scan` as people type them."""

from __future__ import annotations

from pathlib import Path

from tests.cli.conftest import Spresso


def test_a_pause_says_who_why_and_until_when(filled: Spresso) -> None:
    told = filled.ok("root", "pause", "sfx", "--for", "12h", "--reason", "the NAS is being moved", "--json").data
    assert told["state"] == "paused" and told["until"] and told["reason"] == "the NAS is being moved"
    assert "the NAS is being moved" in filled.ok("root", "list").out
    assert filled("scan").code == 4, "there is nothing to scan"
    assert filled.ok("root", "resume", "sfx", "--json").data["state"] == "active"


def test_caps_belong_to_a_root(filled: Spresso) -> None:
    changed = filled.ok("root", "set", "sfx", "--removal-cap", "20", "--abort-cap", "80", "--json").data["changed"]
    assert changed == {"removal_cap": [0.05, 0.2], "abort_cap": [0.5, 0.8]}


def test_a_path_is_explained(filled: Spresso, sounds: Path) -> None:
    some = next(path for path in sounds.rglob("*") if path.is_file())
    told = filled.ok("root", "test", some, "--json").data
    assert told["included"] and told["known"] == "present" and told["next"].startswith("nothing: it was read")
    assert "(" in told["backend"], "and why"
    assert "out," in filled.ok("root", "test", sounds / "x.txt").out


def test_quick_scans(filled: Spresso) -> None:
    report = filled.ok("scan", "sfx", "--quick", "--json").data[0]
    assert report["quick"] and report["new"] == report["missing"] == 0 and report["unchanged"] > 0
