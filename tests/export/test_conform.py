"""From used decodes back to originals, however they are listed; what cannot be had is told, and the rest goes on."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from spresso_assets.audio.write import write_wav
from spresso_assets.export.provenance import provenance_of
from tests.cli.conftest import Spresso

SLAM = "Doors/DOORWood_Wooden door slams_JD_LIB.wav"


@pytest.fixture
def used(filled: Spresso, tmp_path: Path) -> Path:
    """A folder of two decoded doors with its manifest."""
    filled.ok("export", "door", tmp_path / "used", "--name", "{CatID}/{FXName}", "--quality", "preview")
    return tmp_path / "used"


def test_a_manifest_leads_back_to_equal_bytes(filled: Spresso, sounds: Path, used: Path, tmp_path: Path) -> None:
    out = tmp_path / "conformed"
    dry = filled.ok("conform", used / "manifest.csv", out, "--dry-run", "--json").data
    assert len(dry) == 2 and not out.exists()
    filled.ok("conform", used / "manifest.csv", out)
    for used_file in used.rglob("*.wav"):
        original = out / used_file.relative_to(used)
        assert original.read_bytes() in {path.read_bytes() for path in sounds.rglob("*.wav")}
    slam = out / "DOORWood/Wooden door slams_spr.wav"
    assert slam.read_bytes() == (sounds / SLAM).read_bytes(), "the decode's name, the original's sound"
    assert slam.stat().st_mtime_ns == (sounds / SLAM).stat().st_mtime_ns
    slam.write_text("mine")
    assert all(item["skipped"] for item in filled.ok("conform", used / "manifest.csv", out, "--json").data)
    filled.ok("conform", used / "manifest.csv", out, "--overwrite")
    assert slam.read_bytes() == (sounds / SLAM).read_bytes()


def test_files_that_were_renamed_know_where_they_come_from(filled: Spresso, sounds: Path, used: Path) -> None:
    edit = used.parent / "edit"
    edit.mkdir()
    shutil.copy(used / "DOORWood/Wooden door slams_spr.wav", edit / "reel 3 slam.wav")
    out = used.parent / "out"
    (record,) = filled.ok("conform", edit, out, "--json").data
    assert (out / "reel 3 slam.wav").read_bytes() == (sounds / SLAM).read_bytes()
    assert record["asset"] == filled.ok("search", "slams", "--json").data[0]["uid"]
    listed = used.parent / "used.txt"
    listed.write_text("edit/reel 3 slam.wav\n\n")
    assert filled.ok("conform", listed, out, "--json").data[0]["skipped"] is True
    assert filled.ok("conform", edit / "reel 3 slam.wav", out, "--dry-run", "--json").data[0]["skipped"] is True


def test_flac_decodes_know_it_too(filled: Spresso, tmp_path: Path) -> None:
    filled.ok("export", "slams", tmp_path / "flac", "--format", "flac", "--quality", "preview", "--bit-depth", "16")
    (decode,) = (tmp_path / "flac").glob("*.flac")
    assert provenance_of(decode)["ASSET"] == filled.ok("search", "slams", "--json").data[0]["uid"]
    assert filled.ok("conform", tmp_path / "flac", tmp_path / "out", "--json").data[0]["file"].endswith("_spr.wav")


def test_what_is_offline_missing_or_unknown_is_told(filled: Spresso, sounds: Path, used: Path, tmp_path: Path) -> None:
    (sounds / SLAM).unlink()
    write_wav(used / "mine.wav", np.zeros((1, 100), np.float32), 48_000, "PCM_16")
    result = filled("conform", used, tmp_path / "out", "--json")
    assert result.code == 3 and len(result.data) == 1
    assert {fault["path"]: fault["code"] for fault in result.json["failures"]} == {
        "DOORWood/Wooden door slams_spr.wav": "file_missing",
        "mine.wav": "not_a_decode",
    }
    sounds.rename(tmp_path / "away")
    result = filled("conform", used / "manifest.csv", tmp_path / "other", "--json")
    assert result.code == 3 and {fault["code"] for fault in result.json["failures"]} == {"root_offline"}
    assert not (tmp_path / "other").exists()


def test_a_rotten_original_is_not_handed_out(filled: Spresso, sounds: Path, used: Path, tmp_path: Path) -> None:
    slam = sounds / SLAM
    times = slam.stat()
    slam.write_bytes(slam.read_bytes()[:-1] + b"\x7f")
    os.utime(slam, ns=(times.st_atime_ns, times.st_mtime_ns))
    result = filled("conform", used / "manifest.csv", tmp_path / "out", "--json")
    assert [fault["code"] for fault in result.json["failures"]] == ["original_changed"]
    assert not list((tmp_path / "out").rglob("*slams*"))


def test_lists_from_anybody(filled: Spresso, used: Path, tmp_path: Path) -> None:
    for name, content in (
        ("evil.json", json.dumps([{"file": "../../x.wav", "asset": "00", "kind": "decoded"}])),
        ("half.json", "[{"),
        ("wrong.csv", "a,b\n1,2\n"),
        ("session.ptx", "x"),
    ):
        (tmp_path / name).write_text(content)
        result = filled("conform", tmp_path / name, tmp_path / "out", "--json")
        assert result.code == 2 and result.json["error"]["code"] == "bad_list"
    assert filled("conform", tmp_path / "none", tmp_path / "out").code == 4
