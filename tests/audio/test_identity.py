"""An asset is its sound: what may change without making another asset, and what may not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
from mutagen.flac import FLAC
from mutagen.id3 import ID3, TIT2
from mutagen.oggvorbis import OggVorbis
from mutagen.wave import WAVE

from spresso_assets.audio.probe import probe
from tests.audio import nasty


def test_containers_and_word_lengths_do_not_matter(tmp_path: Path, noise_CN: np.ndarray) -> None:
    kinds = [("a.wav", "PCM_16"), ("b.wav", "PCM_24"), ("c.wav", "FLOAT"), ("d.wav", "DOUBLE"), ("e.wav", "PCM_32")]
    kinds += [("f.flac", "PCM_16"), ("g.aiff", "PCM_24"), ("h.w64", "PCM_16"), ("i.caf", "ALAC_16")]
    for name, subtype in kinds:
        soundfile.write(tmp_path / name, noise_CN.T, 48_000, subtype)
    assert len({probe(tmp_path / name).audio_hash for name, _ in kinds}) == 1


def test_one_step_of_one_sample_matters(tmp_path: Path, noise_CN: np.ndarray) -> None:
    changed = (noise_CN * 32_768).astype(np.int16)
    soundfile.write(tmp_path / "a.wav", changed.T, 48_000, "PCM_16")
    changed[1, 777] += 1
    soundfile.write(tmp_path / "b.wav", changed.T, 48_000, "PCM_16")
    assert probe(tmp_path / "a.wav").audio_hash != probe(tmp_path / "b.wav").audio_hash


def test_the_lowest_bits_of_32_bit_words_matter(tmp_path: Path) -> None:
    words = np.random.default_rng(0).integers(-(2**31), 2**31, 1_000, np.int32)
    soundfile.write(tmp_path / "a.wav", words, 48_000, "PCM_32")
    soundfile.write(tmp_path / "b.wav", words ^ 1, 48_000, "PCM_32")
    assert probe(tmp_path / "a.wav").audio_hash != probe(tmp_path / "b.wav").audio_hash


def test_rate_and_channels_matter(tmp_path: Path) -> None:
    x = np.zeros(1_000)
    soundfile.write(tmp_path / "a.wav", x, 48_000)
    soundfile.write(tmp_path / "b.wav", x, 44_100)
    soundfile.write(tmp_path / "c.wav", x.reshape(-1, 2), 48_000)
    assert len({probe(tmp_path / name).audio_hash for name in ("a.wav", "b.wav", "c.wav")}) == 3


def test_minus_zero_is_zero(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.zeros(100), 48_000, "FLOAT")
    soundfile.write(tmp_path / "b.wav", -np.zeros(100), 48_000, "FLOAT")
    assert probe(tmp_path / "a.wav").audio_hash == probe(tmp_path / "b.wav").audio_hash


def _retag(path: Path) -> None:
    text = "a title that is long enough to move every page and frame behind it " * 200
    if path.suffix == ".mp3":
        tags = ID3()
        tags.add(TIT2(encoding=3, text=[text]))
        tags.save(path)
    elif path.suffix == ".wav":
        wave = WAVE(path)
        wave.add_tags()
        wave.tags.add(TIT2(encoding=3, text=[text]))
        wave.save()
    else:
        file = (OggVorbis if path.suffix == ".ogg" else FLAC)(path)
        file["title"] = text
        file.save()


@pytest.mark.parametrize(
    ("name", "container", "subtype", "prefix"),
    [
        ("a.wav", "WAV", "PCM_16", "pcm-sha256:"),
        ("a.flac", "FLAC", "PCM_16", "pcm-sha256:"),
        ("a.ogg", "OGG", "VORBIS", "bytes-sha256:"),
        ("a.mp3", "MP3", "MPEG_LAYER_III", "bytes-sha256:"),
        ("b.wav", "WAV", "IMA_ADPCM", "bytes-sha256:"),
    ],
)
def test_retagging_changes_the_file_but_not_the_sound(
    tmp_path: Path, name: str, container: str, subtype: str, prefix: str
) -> None:
    path = tmp_path / name
    path.write_bytes(nasty.encoded(container, subtype, nasty.tone(96_000)))
    before = probe(path)
    _retag(path)
    after = probe(path)
    assert before.file_sha256 != after.file_sha256
    assert before.audio_hash == after.audio_hash
    assert before.audio_hash.startswith(prefix)
    assert [value.value[:7] for value in after.fields if value.field == "title"] == ["a title"]


def test_another_lossy_sound_is_another_sound(tmp_path: Path) -> None:
    for name, frames in (("a.ogg", 48_000), ("b.ogg", 48_001)):
        (tmp_path / name).write_bytes(nasty.encoded("OGG", "VORBIS", nasty.tone(frames)))
    assert probe(tmp_path / "a.ogg").audio_hash != probe(tmp_path / "b.ogg").audio_hash
