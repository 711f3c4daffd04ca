"""From the catalog's metadata to a file of captions, and what `train prepare` says to a bad one."""

from __future__ import annotations

import json
from pathlib import Path

from tests.cli.conftest import Spresso

CAPTIONS = {
    "Doors/DOORMetl_Metal door_JD_LIB.wav": "Metal door. Door metl",
    "Doors/DOORWood_Wooden door slams_JD_LIB.wav": "Wooden door slams. Door wood",
    "Rain/RAINGen_Heavy rain on a tin roof_JD_LIB.wav": "Heavy rain on a tin roof. Rain gen",
}


def test_every_sound_gets_a_line_and_a_file_is_never_replaced_unasked(filled: Spresso, tmp_path: Path) -> None:
    target = tmp_path / "captions.jsonl"
    assert filled.ok("--json", "train", "captions", target).data == {"target": str(target), "captions": 3}
    records = [json.loads(line) for line in target.read_text().splitlines()]
    assert {r["path"]: r["caption"] for r in records} == CAPTIONS
    before = target.read_bytes()
    again = filled("train", "captions", target)
    assert again.code == 1 and "target_exists" in again.err
    filled.ok("train", "captions", target, "--force", "--root", "sfx")
    unknown = filled("train", "captions", target, "--force", "--root", "nowhere")
    assert unknown.code == 4 and "root_unknown" in unknown.err
    assert target.read_bytes() == before and [p.name for p in tmp_path.glob("captions*")] == [target.name]


def test_what_cannot_be_read_is_told_before_any_work(spresso: Spresso, sounds: Path, tmp_path: Path) -> None:
    captions, run = tmp_path / "captions.jsonl", tmp_path / "run"
    captions.write_text("{}\n")
    alone = spresso("train", "prepare", sounds, "--run", run, "--captions", captions)
    assert alone.code == 2 and "--clap" in alone.err
    missing = spresso("train", "prepare", sounds, "--run", run, "--captions", captions, "--clap", tmp_path / "none")
    assert missing.code == 13 and "text_model_missing" in missing.err
    assert not run.exists()
