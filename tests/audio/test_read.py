from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from spresso_assets.audio.mpeg import frame_length
from spresso_assets.audio.read import iter_blocks, read_audio
from spresso_assets.errors import SpressoError
from tests.audio import nasty


@pytest.mark.parametrize(
    ("container", "subtype", "tolerance"),
    [
        ("WAV", "PCM_16", 0),
        ("WAV", "PCM_24", 0),
        ("WAV", "FLOAT", 0),
        ("WAV", "DOUBLE", 0),
        ("WAVEX", "PCM_24", 0),
        ("RF64", "PCM_16", 0),
        ("W64", "PCM_24", 0),
        ("AIFF", "PCM_16", 0),
        ("CAF", "PCM_24", 0),
        ("CAF", "ALAC_16", 0),
        ("AU", "PCM_16", 0),
        ("FLAC", "PCM_16", 0),
        ("FLAC", "PCM_24", 0),
        ("WAV", "PCM_U8", 0.01),
        ("WAV", "ULAW", 0.05),
    ],
)
def test_every_lossless_container_gives_the_samples_back(
    tmp_path: Path, noise_CN: np.ndarray, container: str, subtype: str, tolerance: float
) -> None:
    path = tmp_path / "sound"
    soundfile.write(path, noise_CN.T, 48_000, subtype, format=container)
    sound = read_audio(path)
    assert sound.sample_rate == 48_000
    assert sound.samples.dtype == np.float32
    assert sound.samples.shape == noise_CN.shape
    assert np.abs(sound.samples - noise_CN).max() <= tolerance


@pytest.mark.parametrize(("container", "subtype"), [("OGG", "VORBIS"), ("OGG", "OPUS"), ("MP3", "MPEG_LAYER_III")])
@pytest.mark.parametrize("frames", [1, 100, 48_000, 100_001])
def test_lossy_containers_keep_their_length(tmp_path: Path, container: str, subtype: str, frames: int) -> None:
    path = tmp_path / "sound"
    path.write_bytes(nasty.encoded(container, subtype, nasty.tone(frames)))
    assert read_audio(path).frames == frames


@pytest.mark.parametrize("rate", [8_000, 24_000, 44_100, 48_000])
@pytest.mark.parametrize("channels", [1, 2])
def test_an_mp3_of_variable_rate_that_tells_no_length_is_read_to_its_end(
    tmp_path: Path, rate: int, channels: int
) -> None:
    hiss = np.random.default_rng(0).normal(0, 0.1, (4 * rate, channels))
    loud_first = np.concatenate((hiss, np.zeros((8 * rate, channels)), 0.1 * hiss))
    whole = nasty.encoded("MP3", "MPEG_LAYER_III", loud_first, rate, bitrate_mode="VARIABLE")
    path = tmp_path / "sound.mp3"
    path.write_bytes(whole[frame_length(whole[:4]) :])  # the first frame is the one that counts the others
    samples = read_audio(path).samples
    assert abs(samples.shape[1] - 16 * rate) < 4 * 1_152
    assert np.abs(samples[:, -3 * rate : -rate]).max() > 0.01


def test_blocks_join_to_the_whole(tmp_path: Path, noise_CN: np.ndarray) -> None:
    path = tmp_path / "sound.flac"
    soundfile.write(path, noise_CN.T, 48_000, "PCM_16")
    blocks = list(iter_blocks(path, frames=7_001))
    assert max(block.shape[1] for block in blocks) == 7_001
    assert np.array_equal(np.concatenate(blocks, axis=1), noise_CN)


@pytest.mark.parametrize("name", ["cut.wav", "cut.flac", "cut.aiff"])
def test_what_is_there_of_a_cut_file_can_be_had(nasty_files: list[nasty.Nasty], name: str) -> None:
    path = next(entry.path for entry in nasty_files if entry.path.name == name)
    with pytest.raises(SpressoError) as caught:
        read_audio(path)
    assert caught.value.code == "truncated_file"
    assert read_audio(path, allow_truncated=True).frames > 1_000


def test_few_broken_samples_become_zeros(nasty_files: list[nasty.Nasty]) -> None:
    path = next(entry.path for entry in nasty_files if entry.path.name == "few_nan.wav")
    samples = read_audio(path).samples
    assert np.isfinite(samples).all()
    assert not samples[0, :9].any()
    assert samples[0, 9:].any()


def test_values_beyond_full_scale_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "loud.wav"
    soundfile.write(path, np.full(100, 3.5), 48_000, "FLOAT")
    assert read_audio(path).samples.max() == 3.5


def test_the_file_is_not_touched(tmp_path: Path) -> None:
    path = tmp_path / "sound.wav"
    path.write_bytes(nasty.encoded("WAV", "PCM_16"))
    path.chmod(0o444)
    before = (path.read_bytes(), path.stat().st_mtime_ns)
    read_audio(path)
    assert (path.read_bytes(), path.stat().st_mtime_ns) == before


SEEDS = [
    nasty.encoded("WAV", "PCM_16", nasty.tone(500)),
    nasty.encoded("AIFF", "PCM_16", nasty.tone(500)),
    nasty.encoded("FLAC", "PCM_16", nasty.tone(500)),
    nasty.encoded("OGG", "VORBIS", nasty.tone(500)),
    nasty.encoded("MP3", "MPEG_LAYER_III", nasty.tone(500)),
    nasty.encoded("CAF", "PCM_16", nasty.tone(500)),
    nasty.encoded("W64", "PCM_16", nasty.tone(500)),
    nasty.rf64(b"RF64"),
]


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_damage_gives_a_sound_or_an_error_with_a_code(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    original = bytearray(data.draw(st.sampled_from(SEEDS)))
    for _ in range(data.draw(st.integers(1, 6))):
        original[data.draw(st.integers(0, min(len(original), 200) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.getbasetemp() / "damaged"
    path.write_bytes(bytes(original[: data.draw(st.integers(0, len(original)))]))
    try:
        sound = read_audio(path)
    except SpressoError as error:
        assert error.code
        assert "\n" not in error.message
    else:
        assert np.isfinite(sound.samples).all()
        assert sound.frames > 0


@settings(max_examples=100, deadline=None)
@given(content=st.binary(max_size=300))
def test_arbitrary_bytes_never_crash(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "arbitrary"
    path.write_bytes(content)
    with pytest.raises(SpressoError):
        read_audio(path)
