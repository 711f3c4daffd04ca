from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from spresso_assets.audio.completeness import is_complete
from tests.audio import nasty

HISS = np.random.default_rng(3).normal(0, 0.1, 30_000)
KINDS = {
    "wav": nasty.encoded("WAV", "PCM_16", HISS),
    "rf64": nasty.rf64(b"RF64"),
    "aiff": nasty.encoded("AIFF", "PCM_24", HISS),
    "w64": nasty.encoded("W64", "PCM_16", HISS),
    "caf": nasty.encoded("CAF", "PCM_16", HISS),
    "au": nasty.encoded("AU", "PCM_16", HISS),
    "flac": nasty.encoded("FLAC", "PCM_16", HISS),
    "vorbis": nasty.encoded("OGG", "VORBIS", HISS),
    "opus": nasty.encoded("OGG", "OPUS", HISS),
}


@pytest.mark.parametrize("kind", KINDS)
def test_whole_files_are_complete(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "sound"
    path.write_bytes(KINDS[kind])
    verdict = is_complete(path)
    assert verdict.complete, verdict.reason


@pytest.mark.parametrize("kind", KINDS)
def test_a_copy_in_progress_is_not_complete_at_any_point(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "sound"
    whole = KINDS[kind]
    # Some writers end with a chunk behind the samples; it starts within the last hundred bytes.
    cuts = {*np.linspace(0, len(whole) - 120, 40).astype(int).tolist(), *range(4, 60)}
    for cut in cuts:
        path.write_bytes(whole[:cut])
        verdict = is_complete(path)
        assert not verdict.complete, f"{cut} of {len(whole)} bytes: {verdict.reason}"


def test_an_mp3_that_says_its_size_is_checked(tmp_path: Path) -> None:
    whole = nasty.encoded("MP3", "MPEG_LAYER_III", nasty.tone(480_000))
    path = tmp_path / "sound.mp3"
    path.write_bytes(whole)
    assert is_complete(path).complete
    path.write_bytes(whole[: len(whole) // 2])
    assert not is_complete(path).complete


def test_a_cut_chunk_behind_the_samples_costs_no_sound(tmp_path: Path) -> None:
    path = tmp_path / "sound.wav"
    path.write_bytes(nasty.riff(nasty.fmt(), nasty.chunk(b"data", nasty.pcm()), nasty.chunk(b"LIST", b"INFO", 400)))
    verdict = is_complete(path)
    assert not verdict.complete
    assert verdict.audio_complete


def test_a_header_that_was_never_finished_is_told_apart(tmp_path: Path) -> None:
    path = tmp_path / "sound.wav"
    path.write_bytes(nasty.riff(nasty.fmt(), nasty.chunk(b"data", nasty.pcm(), 0), size=0))
    assert is_complete(path).unfinished


def test_flac_with_an_id3v1_tag_behind_is_complete(tmp_path: Path) -> None:
    path = tmp_path / "sound.flac"
    path.write_bytes(KINDS["flac"] + b"TAG" + bytes(125))
    assert is_complete(path).complete


def test_a_hole_in_the_last_flac_frame_is_found(tmp_path: Path) -> None:
    whole = bytearray(KINDS["flac"])
    whole[-200:-100] = bytes(100)
    path = tmp_path / "sound.flac"
    path.write_bytes(bytes(whole))
    assert not is_complete(path).complete
