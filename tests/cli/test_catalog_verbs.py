"""init, doctor, root, scan, search, show, stats, profile, models and jobs on a small catalog."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from spresso_assets.audio.read import read_audio
from spresso_assets.audio.write import write_wav
from tests.cli.conftest import Spresso, make_sounds


def test_init_may_run_twice_and_dry(spresso: Spresso, tmp_path: Path) -> None:
    assert spresso.ok("init", "--dry-run", "--json").data["dry_run"] is True
    assert not (tmp_path / "catalog.db").exists()
    first, second = spresso.ok("init", "--json"), spresso.ok("init", "--json")
    assert first.data["existed"] is False and second.data["existed"] is True
    assert "2.5kbps" in first.data["profiles"]


def test_init_without_a_bundle_warns_and_works(spresso: Spresso, tmp_path: Path) -> None:
    result = spresso.ok("init", "--bundle", tmp_path / "none", "--json")
    assert result.data["profiles"] == [] and "no model weights" in result.json["warnings"][0]


def test_doctor_is_happy_with_a_good_set_up_and_names_problems(filled: Spresso, sounds: Path, tmp_path: Path) -> None:
    good = filled.ok("doctor", "--json")
    assert {finding["level"] for finding in good.data} <= {"ok", "note"}
    sounds.rename(tmp_path / "away")
    bad = filled("doctor", "--json", "--bundle", tmp_path / "none")
    assert bad.code == 5
    assert {finding["code"] for finding in bad.data if finding["level"] == "problem"} == {
        "model_missing",
        "root_offline",
    }


def test_doctor_finds_damaged_weights(filled: Spresso, tiny_bundle: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    broken.mkdir()
    for file in tiny_bundle.iterdir():
        (broken / file.name).write_bytes(file.read_bytes() + b"x" * file.name.endswith("safetensors"))
    result = filled("doctor", "--bundle", broken, "--json")
    assert result.code == 5
    assert "weights_mismatch" in {finding["code"] for finding in result.data}


def test_root_life(spresso: Spresso, sounds: Path) -> None:
    spresso.ok("init")
    spresso.ok("root", "add", sounds, "--dry-run")
    assert spresso.ok("root", "list", "--json").data == []
    spresso.ok("root", "add", sounds, "--name", "lib", "--exclude", "Rain/")
    assert spresso("root", "add", sounds, "--json").json["error"]["code"] == "root_exists"
    assert spresso("root", "add", sounds / "Doors").code == 1
    assert spresso.ok("root", "set", "lib", "--settle", "3", "--json").data["changed"] == {"settle_s": [0.0, 3.0]}
    assert spresso("root", "set", "lib", "--mode", "telepathy").code == 2
    out = spresso.ok("root", "test", sounds / "Rain" / "RAINGen_Heavy rain on a tin roof_JD_LIB.wav", "--json").data
    assert out["included"] is False and "Rain/" in out["reason"]
    spresso.ok("root", "pause", "lib")
    assert spresso.ok("root", "show", "lib", "--json").data["state"] == "paused"
    assert spresso("scan").code == 4
    spresso.ok("root", "resume", "lib")
    spresso.ok("scan", "--settle", "0")
    assert spresso.ok("root", "show", "lib", "--json").data["files"] == {"present": 2}
    assert spresso("root", "remove", "lib").code == 1
    spresso.ok("root", "remove", "lib", "--yes", "--dry-run")
    spresso.ok("root", "remove", "lib", "--yes")
    assert spresso("root", "show", "lib").code == 4


def test_removed_root_leaves_its_sounds(filled: Spresso) -> None:
    filled.ok("root", "remove", "sfx", "--yes")
    assert filled.ok("stats", "--json").data["assets"] == 3
    assert len(filled.ok("search", "door", "--json").data) == 2


def test_scan_counts_and_exit_codes(filled: Spresso, sounds: Path, tmp_path: Path) -> None:
    make_sounds(sounds, ["Wind/gust.wav"])
    dry = filled.ok("scan", "--dry-run", "--json").data[0]
    assert (dry["new"], dry["unchanged"]) == (1, 3)
    assert filled.ok("scan", "sfx", "--json").data[0]["new"] == 1
    assert filled.ok("scan", sounds / "Wind", "--json").data[0]["waiting"] == 1
    assert filled("scan", "elsewhere").code == 4
    sounds.rename(tmp_path / "away")
    assert filled("scan", "sfx").code == 14


def test_search_options(filled: Spresso, sounds: Path) -> None:
    paths = filled.ok("search", "metal", "-p").out.splitlines()
    assert [Path(path) for path in paths] == [sounds / "Doors/DOORMetl_Metal door_JD_LIB.wav"]
    assert len(filled.ok("search", "--json").data) == 3
    assert len(filled.ok("search", "--limit", "1", "--json").data) == 1
    assert filled("search", "nofield:x").code == 2


def test_negated_words_need_no_quotes(filled: Spresso, tmp_path: Path) -> None:
    found = filled.ok("search", "door", "-wooden", "--sort", "-duration", "--json").data
    assert [hit["name"] for hit in found] == ["Metal door"]
    assert filled.ok("search", "-door", "-p").out.splitlines() == filled.ok("search", "rain", "-p").out.splitlines()
    assert filled.ok("stats", "-door", "--json").data["assets"] == 1
    assert filled.ok("encode", "-door", "--profile", "11hz", "--dry-run", "--json").data["sounds"] == 1
    written = filled.ok("export", "door", "-wooden", tmp_path / "out", "--as", "latent", "--dry-run", "--json").data
    assert len(written) == 1
    assert filled("search", "door", "-x").code == 2


def test_fields_are_listed_without_a_catalog(spresso: Spresso) -> None:
    records = {record["name"]: record for record in spresso.ok("fields", "--json").data}
    assert records["duration"]["sortable"] and not records["tag"]["sortable"]
    assert "duration:0.5..2" in spresso.ok("fields").out


def test_folders_become_tags_and_a_new_name_is_shown(filled: Spresso, sounds: Path) -> None:
    filled.ok("root", "set", "sfx", "--tags-from-dirs")
    assert len(filled.ok("search", "tag:Doors", "--json").data) == 2
    make_sounds(sounds, ["Wind/Alps/gust.wav"])
    filled.ok("ingest", sounds)
    assert len(filled.ok("search", "tag:Wind", "tag:Alps", "--json").data) == 1
    (sounds / "Gates").mkdir()
    (sounds / "Doors/DOORMetl_Metal door_JD_LIB.wav").rename(sounds / "Gates/GATEMetl_Iron gate_JD_LIB.wav")
    filled.ok("ingest", sounds)
    hit = filled.ok("search", "tag:gates", "--json").data[0]
    assert hit["name"] == "Iron gate"
    record = filled.ok("show", hit["uid"], "--json").data[0]
    assert record["fields"]["cat_id"]["value"] == "GATEMetl" and record["tags"] == ["Gates"]
    filled.ok("root", "set", "sfx", "--no-tags-from-dirs")
    assert filled("search", "tag:gates").code == 4


def test_show_tells_files_fields_and_renditions(filled: Spresso) -> None:
    uid = filled.ok("search", "metal", "--json").data[0]["uid"]
    record = filled.ok("show", uid[:8], "--json").data[0]
    assert record["uid"] == uid
    assert record["fields"]["cat_id"] == {"value": "DOORMetl", "source": "ucs_filename"}
    assert record["files"][0]["state"] == "present"
    assert [made["profile"] for made in record["renditions"]] == ["2.5kbps"]
    assert record["renditions"][0]["kbps"] > 2.5
    assert "peaks" not in record
    assert len(filled.ok("show", uid[:8], "--json", "--peaks").data[0]["peaks"]) > 2
    text = filled.ok("show", uid[:8]).out
    assert "▂" in text and "ucs_filename" in text
    assert filled("show", uid[:8], "ffffff").code == 3


def test_stats(filled: Spresso) -> None:
    data = filled.ok("stats", "--json").data
    assert (data["assets"], data["files"], data["encoded"]) == (3, 3, 3)
    assert data["profiles"][0]["kbps"] > data["profiles"][0]["nominal_kbps"]
    assert "TRUE RATE" in filled.ok("stats").out


def test_profiles(filled: Spresso) -> None:
    names = [profile["name"] for profile in filled.ok("profile", "list", "--json").data]
    assert len(names) == 9
    filled.ok("profile", "default", "0.3kbps", "--dry-run")
    filled.ok("profile", "default", "11hz")
    default = [p["name"] for p in filled.ok("profile", "list", "--json").data if p["default"]]
    assert default == ["11hz"]
    assert filled("profile", "default", "9kbps").code == 2


def test_profiles_in_other_channel_modes_encode_and_decode(filled: Spresso, sounds: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    write_wav(sounds / "wide.wav", (0.1 * rng.standard_normal((2, 8000))).astype(np.float32), 16_000, "PCM_16")
    filled.ok("profile", "add", "wide", "--like", "1.32kbps", "--dry-run")
    assert filled("profile", "default", "wide").code == 2
    added = filled.ok("profile", "add", "wide", "--like", "1.32kbps", "--channels", "parametric", "--json").data
    assert added["channel_mode"] == "parametric" and round(added["kbps"], 3) == 1.477
    assert filled("profile", "add", "wide", "--json").json["error"]["code"] == "profile_exists"
    filled.ok("ingest", "--settle", "0", sounds)
    filled.ok("encode", "--profile", "wide")
    made = [profile for profile in filled.ok("stats", "--json").data["profiles"] if profile["name"] == "wide"]
    assert made[0]["renditions"] == 4
    filled.ok("export", "wide", tmp_path / "out", "--profile", "wide")
    (back,) = (tmp_path / "out").rglob("*.wav")
    left, right = read_audio(back).samples
    assert abs(float(np.corrcoef(left, right)[0, 1])) < 0.5


def test_models(filled: Spresso) -> None:
    models = filled.ok("models", "list", "--json").data
    assert [(model["in_use"], model["renditions"]) for model in models] == [(True, 3)]


def test_jobs_list_show_retry_cancel_pause(filled: Spresso, sounds: Path) -> None:
    (sounds / "broken.wav").write_bytes(b"RIFF\x10\0\0\0WAVEjunk")
    assert filled("ingest", sounds).code == 3
    failed = filled.ok("jobs", "list", "--status", "failed", "--json").data
    assert len(failed) == 1 and failed[0]["error_code"] and failed[0]["hint"]
    shown = filled.ok("jobs", "show", failed[0]["uid"], "--json").data
    assert shown["path"] == "broken.wav"
    filled.ok("jobs", "show", failed[0]["uid"][-12:])
    assert filled.ok("jobs", "retry", "--dry-run", "--json").data["queued"] == 1
    assert filled.ok("jobs", "retry", "--error", failed[0]["error_code"], "--json").data["queued"] == 1
    assert filled("jobs", "cancel").code == 1
    assert filled.ok("jobs", "cancel", "--yes", "--json").data["cancelled"] == 1
    filled.ok("jobs", "pause", "encode", "--reason", "maintenance")
    assert filled("doctor", "--json").code == 5
    assert filled.ok("jobs", "resume", "encode", "--json").data["was_paused"] is True
    assert filled("jobs", "pause", "nonsense").code == 2
    assert filled("jobs", "list", "--since", "soon").code == 2
    assert filled.ok("jobs", "prune", "--days", "0", "--json").data["forgotten"] > 0
