"""What an export does with files that are there, with rates, and with originals."""

from __future__ import annotations

import csv
import hashlib
from pathlib import Path

import pytest

from spresso_assets.audio.read import read_audio
from tests.cli.conftest import Spresso

FAST = ("--quality", "preview")


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "manifest.csv").open(newline="") as sheet:
        return list(csv.DictReader(sheet))


def test_overwrite_never_changed_always(filled: Spresso, tmp_path: Path) -> None:
    out = tmp_path / "out"
    filled.ok("export", "slams", out, *FAST)
    (row,) = rows(out)
    target = out / row["file"]
    assert hashlib.sha256(target.read_bytes()).hexdigest() == row["sha256"]
    first = target.stat().st_mtime_ns

    def skipped(*options: str) -> bool:
        return bool(filled.ok("export", "slams", out, *FAST, *options, "--json").data[0]["skipped"])

    assert skipped() and skipped("--overwrite", "changed") and target.stat().st_mtime_ns == first
    filled.ok("encode", "slams", "--profile", "0.3kbps")
    assert not skipped("--overwrite", "changed", "--profile", "0.3kbps"), "another take by its own word"
    assert skipped("--overwrite", "changed", "--profile", "0.3kbps")
    target.write_text("something else")
    assert skipped() and target.read_text() == "something else"
    assert not skipped("--overwrite", "changed") and not skipped("--overwrite", "always")


def test_changed_originals_and_latents_are_told_by_their_bytes(filled: Spresso, tmp_path: Path) -> None:
    for kind in ("original", "latent"):
        out = tmp_path / kind
        filled.ok("export", "slams", out, "--as", kind)
        (row,) = rows(out)
        options = ("export", "slams", out, "--as", kind, "--overwrite", "changed", "--json")
        assert filled.ok(*options).data[0]["skipped"] is True
        (out / row["file"]).write_bytes(b"x" + (out / row["file"]).read_bytes()[1:])
        assert filled.ok(*options).data[0]["skipped"] is False
        assert filled.ok(*options).data[0]["skipped"] is True


@pytest.mark.parametrize(("rate", "frames"), [("48000", 14_400), ("44100", 13_230), ("8000", 2_400)])
def test_another_rate_has_the_same_length(filled: Spresso, tmp_path: Path, rate: str, frames: int) -> None:
    out = tmp_path / "out"
    filled.ok("export", "slams", out, "--rate", rate, *FAST)
    sound = read_audio(out / rows(out)[0]["file"])
    assert (sound.sample_rate, sound.frames) == (int(rate), frames)


def test_originals_keep_every_chunk_and_are_never_moved(filled: Spresso, sounds: Path, tmp_path: Path) -> None:
    before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in sounds.rglob("*.wav")}
    out = tmp_path / "out"
    filled.ok("export", "", out, "--as", "original")
    for row in rows(out):
        assert (out / row["file"]).read_bytes() == Path(row["original"]).read_bytes()
        assert hashlib.sha256((out / row["file"]).read_bytes()).hexdigest() == row["sha256"]
    assert {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in sounds.rglob("*.wav")} == before
    assert not list(out.rglob(".spresso-*"))


@pytest.mark.parametrize(
    "options",
    [
        ("--as", "wishes"),
        ("--overwrite", "maybe"),
        ("--format", "mp3"),
        ("--bit-depth", "12"),
        ("--metadata", "some"),
        ("--manifest", "xml"),
        ("--rate", "1"),
    ],
)
def test_wrong_words_cost_nothing(filled: Spresso, tmp_path: Path, options: tuple[str, str]) -> None:
    result = filled("export", "", tmp_path / "out", *options, "--json")
    assert result.code in (1, 2) and result.json["error"]["code"] in ("bad_format", "bad_sample_rate")
    assert not (tmp_path / "out").exists()
