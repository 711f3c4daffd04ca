"""decode, export, encode, codec and demo: what people get back, and what it says about itself."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from spresso_assets.audio.probe import probe
from spresso_assets.audio.read import read_audio
from spresso_assets.audio.write import write_wav
from tests.cli.conftest import Spresso, make_sounds


def uid(filled: Spresso, query: str) -> str:
    return str(filled.ok("search", query, "--json").data[0]["uid"])


def test_decode_has_the_length_and_rate_of_the_original(filled: Spresso, sounds: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.wav"
    filled.ok("decode", uid(filled, "metal")[:8], "-o", out)
    original = read_audio(sounds / "Doors/DOORMetl_Metal door_JD_LIB.wav")
    decoded = read_audio(out)
    assert (decoded.frames, decoded.sample_rate, decoded.channels) == (
        original.frames,
        original.sample_rate,
        original.channels,
    )


def test_seeds_are_variations_and_repeat(filled: Spresso, tmp_path: Path) -> None:
    sound = uid(filled, "metal")
    records = filled.ok("decode", sound, "-o", tmp_path / "v", "--variations", "2", "--json").data
    first, second = (read_audio(Path(record["path"])).samples for record in records)
    assert records[1]["seed"] == records[0]["seed"] + 1
    assert not np.array_equal(first, second)
    again = tmp_path / "again.wav"
    filled.ok("decode", sound, "-o", again, "--seed", str(records[1]["seed"]))
    assert again.read_bytes() == Path(records[1]["path"]).read_bytes()


def test_decoded_files_say_what_they_are(filled: Spresso, tmp_path: Path) -> None:
    sound = uid(filled, "metal")
    out = tmp_path / "out.wav"
    filled.ok("decode", sound, "-o", out, "--seed", "7")
    chunks = dict(probe(out).raw_chunks)
    bext, ixml = chunks["bext"].decode("utf-8", "replace"), chunks["iXML"].decode()
    assert "S-PRESSO" in bext and sound in bext and "SEED=7" in bext
    assert "not the original recording" in ixml and sound in ixml and "2.5kbps" in ixml


def test_decode_does_not_replace_files_or_write_on_a_dry_run(filled: Spresso, tmp_path: Path) -> None:
    out = tmp_path / "out.wav"
    filled.ok("decode", uid(filled, "metal"), "-o", out, "--dry-run")
    assert not out.exists()
    out.write_text("mine")
    assert filled("decode", uid(filled, "metal"), "-o", out).code == 1
    assert out.read_text() == "mine"
    filled.ok("decode", uid(filled, "metal"), "-o", out, "--force")


def test_decode_of_something_that_is_not_encoded(filled: Spresso) -> None:
    assert filled("decode", uid(filled, "metal"), "--profile", "1hz").code == 4


def test_encode_makes_only_what_is_missing(filled: Spresso) -> None:
    dry = filled.ok("encode", "--profile", "0.3kbps", "--dry-run", "--json").data
    assert dry["sounds"] == 3
    made = filled.ok("encode", "door", "--profile", "0.3kbps", "--json").data
    assert made["sounds"] == 2 and made["run"]["jobs"]["encode"] == {"encoded": 2}
    assert filled.ok("encode", "--profile", "0.3kbps", "--json").data["sounds"] == 1
    assert filled.ok("encode", "--profile", "0.3kbps", "--json").data["sounds"] == 0


@pytest.mark.parametrize(("kind", "suffix"), [("decoded", "_spr.wav"), ("latent", ".spr"), ("original", ".wav")])
def test_export_with_manifest(filled: Spresso, sounds: Path, tmp_path: Path, kind: str, suffix: str) -> None:
    out = tmp_path / "out"
    assert filled.ok("export", "door", out, "--as", kind, "--dry-run", "--json").data[0]["dry_run"] is True
    assert not out.exists()
    filled.ok("export", "door", out, "--as", kind, "--name", "{CatID}/{FXName}")
    with (out / "manifest.csv").open(newline="") as sheet:
        rows = list(csv.DictReader(sheet))
    assert sorted(row["file"] for row in rows) == [
        f"DOORMetl/Metal door{suffix}",
        f"DOORWood/Wooden door slams{suffix}",
    ]
    for row in rows:
        assert (out / row["file"]).stat().st_size == int(row["bytes"])
        assert Path(row["original"]).is_file()
        if kind == "original":
            assert (out / row["file"]).read_bytes() == Path(row["original"]).read_bytes()
    assert all(
        item["skipped"]
        for item in filled.ok("export", "door", out, "--as", kind, "--name", "{CatID}/{FXName}", "--json").data
    )


def test_export_refuses_roots_and_bad_templates(filled: Spresso, sounds: Path, tmp_path: Path) -> None:
    assert filled("export", "", sounds / "out").code == 2
    assert filled("export", "", tmp_path / "out", "--name", "{Nmae}").code == 2
    assert filled("export", "saxophone", tmp_path / "out").code == 4


def test_export_goes_on_when_an_original_is_gone(filled: Spresso, sounds: Path, tmp_path: Path) -> None:
    (sounds / "Doors/DOORMetl_Metal door_JD_LIB.wav").unlink()
    result = filled("export", "door", tmp_path / "out", "--as", "original", "--json")
    assert result.code == 3
    assert len(result.data) == 1 and result.json["failures"][0]["code"] == "file_missing"


def test_single_file_codec(spresso: Spresso, tmp_path: Path) -> None:
    make_sounds(tmp_path, ["in.wav"], seconds=1.0)
    spresso.ok("codec", "encode", tmp_path / "in.wav", tmp_path / "out.spr", "--profile", "0.3kbps")
    info = spresso.ok("codec", "info", tmp_path / "out.spr", "--json").data[0]
    assert (info["samples"], info["sample_rate"], info["codebooks"]) == (16_000, 16_000, 25)
    assert info["bytes"] == (tmp_path / "out.spr").stat().st_size
    spresso.ok("codec", "decode", tmp_path / "out.spr", tmp_path / "back.flac", "--seed", "3")
    assert read_audio(tmp_path / "back.flac").frames == 16_000
    assert spresso("codec", "encode", tmp_path / "in.wav", tmp_path / "out.spr").code == 1
    (tmp_path / "bad.spr").write_bytes(b"nonsense")
    assert spresso("codec", "info", tmp_path / "bad.spr").code == 1
    assert spresso("codec", "info", tmp_path / "out.spr", tmp_path / "none.spr").code == 3
    assert spresso("codec", "info", tmp_path / "none.spr").code == 4


@pytest.mark.parametrize(
    ("channels", "samples", "sample_rate", "level"),
    [
        (1, 1, 48_000, 0.5),
        (2, 44_100, 44_100, 0.3),
        (2, 5_000, 48_000, 0.0),
        (6, 9_000, 192_000, 0.3),
        (1, 700, 8_000, 0.9),
    ],
)
def test_odd_sounds_go_through_the_single_file_codec(
    spresso: Spresso, tmp_path: Path, channels: int, samples: int, sample_rate: int, level: float
) -> None:
    """One sample, stereo, silence, surround at 192 kHz, telephone rate: each comes back at its length and rate."""
    rng = np.random.default_rng(0)
    sound = (level * rng.uniform(-1, 1, (channels, samples))).astype(np.float32)
    write_wav(tmp_path / "in.wav", sound, sample_rate)
    spresso.ok("codec", "encode", tmp_path / "in.wav", tmp_path / "a.spr", "--profile", "1.32kbps")
    spresso.ok("codec", "decode", tmp_path / "a.spr", tmp_path / "out.wav")
    back = read_audio(tmp_path / "out.wav")
    assert (back.channels, back.frames, back.sample_rate) == (channels, samples, sample_rate)
    assert bool(np.abs(back.samples).max() > 0) == (level > 0)


def test_missing_bundle_is_code_13(filled: Spresso, tmp_path: Path) -> None:
    assert filled("decode", uid(filled, "metal"), "--bundle", tmp_path / "none").code == 13


def test_ingest_without_a_bundle_makes_sounds_searchable(spresso: Spresso, sounds: Path, tmp_path: Path) -> None:
    spresso("init", "--bundle", tmp_path / "none")
    result = spresso.ok("ingest", sounds, "--bundle", tmp_path / "none", "--json")
    assert result.json["warnings"]
    assert len(spresso.ok("search", "door", "--json").data) == 2


def test_ingest_limit_and_dry_run(spresso: Spresso, sounds: Path) -> None:
    spresso.ok("init")
    assert spresso.ok("ingest", sounds, "--dry-run", "--json").data["roots"][0]["new"] == 3
    assert spresso.ok("stats", "--json").data["files"] == 0
    spresso.ok("ingest", sounds, "--limit", "2", "--no-encode")
    assert spresso.ok("stats", "--json").data["assets"] == 2
    run = spresso.ok("ingest", sounds, "--no-encode", "--json").data["run"]
    assert run["jobs"] == {"probe": {"new": 1}}


def test_watch_once(filled: Spresso, sounds: Path) -> None:
    make_sounds(sounds, ["Wind/gust.wav"])
    events = [json.loads(line) for line in filled.ok("watch", "--once", "--json").out.splitlines()]
    assert [event["event"] for event in events] == ["scan", "probe", "encode"]
    assert filled.ok("stats", "--json").data["encoded"] == 4


def test_demo(spresso: Spresso, tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    record = spresso.ok("demo", folder, "--json").data
    assert len(record["sounds"]) >= 12 and len(record["decoded"]) == 2 and record["found"]
    assert all(Path(item["path"]).is_file() for item in record["decoded"])
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "file").write_text("precious")
    assert spresso("demo", tmp_path / "mine").code == 1
    assert (tmp_path / "mine" / "file").exists()
