from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
import wavinfo

from spresso_assets.audio import riff
from spresso_assets.audio.broadcast import build_ixml
from spresso_assets.audio.read import read_audio
from spresso_assets.audio.write import write_blocks, write_wav
from spresso_assets.errors import SpressoError


@pytest.mark.parametrize("name", ["a.wav", "a.flac"])
@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24"])
def test_samples_on_the_grid_come_back_exactly(tmp_path: Path, noise_CN: np.ndarray, name: str, subtype: str) -> None:
    write_wav(tmp_path / name, noise_CN, 44_100, subtype)
    sound = read_audio(tmp_path / name)
    assert sound.sample_rate == 44_100
    assert np.array_equal(sound.samples, noise_CN)


@pytest.mark.parametrize("channels", [1, 2, 3, 6, 8, 64])
def test_channels(tmp_path: Path, channels: int) -> None:
    x_CN = np.linspace(-1, 1, channels * 50, dtype=np.float32).reshape(channels, 50)
    write_wav(tmp_path / "a.wav", x_CN, 48_000, "FLOAT")
    assert np.array_equal(read_audio(tmp_path / "a.wav").samples, x_CN)


def test_dither_turns_rounding_into_noise(tmp_path: Path) -> None:
    # A tone of less than one step vanishes when rounded; with dither it is there, under noise.
    t = np.arange(480_000) / 48_000
    x_CN = (0.4 / 32_768 * np.sin(2 * np.pi * 1_000 * t)).astype(np.float32)[None]
    write_wav(tmp_path / "a.wav", x_CN, 48_000, "PCM_16")
    y = read_audio(tmp_path / "a.wav").samples[0]
    spectrum = np.abs(np.fft.rfft(y)) / len(y) * 2 * 32_768
    assert spectrum[10_000] == pytest.approx(0.4, abs=0.05)
    harmonics = spectrum[[20_000, 30_000, 40_000, 50_000]]
    assert harmonics.max() < 0.02


def test_silence_stays_silent_and_loud_samples_clip(tmp_path: Path) -> None:
    x_CN = np.array([[0.0, 0.0, 1.7, -1.7, 0.1234567]], np.float32)
    write_wav(tmp_path / "a.wav", x_CN, 48_000, "PCM_24")
    y = read_audio(tmp_path / "a.wav").samples[0]
    assert y[0] == y[1] == 0
    assert y[2] == pytest.approx(1.0, abs=1e-6)
    assert y[3] == -1.0


def test_equal_input_gives_equal_bytes(tmp_path: Path) -> None:
    x_CN = np.random.default_rng(0).standard_normal((2, 100_000)).astype(np.float32) * 0.1
    for suffix in (".wav", ".flac"):
        for name in ("a", "b"):
            write_wav(tmp_path / (name + suffix), x_CN, 48_000, "PCM_16", bext={"description": "x"})
        assert (tmp_path / ("a" + suffix)).read_bytes() == (tmp_path / ("b" + suffix)).read_bytes()


def test_provenance_is_read_by_another_reader(tmp_path: Path) -> None:
    bext = {
        "description": "regenerated door",
        "originator": "spresso",
        "time_reference": 96_000,
        "coding_history": "A=SPRESSO,F=48000,B=1.3,M=mono,T=seed 7",
    }
    path = tmp_path / "a.wav"
    write_wav(path, np.zeros((1, 999), np.float32), 48_000, bext=bext, ixml=build_ixml({"NOTE": "a re-synthesis"}))
    info = wavinfo.WavInfoReader(str(path))
    assert info.bext.description == "regenerated door"
    assert info.bext.time_reference == 96_000
    assert info.bext.coding_history.strip("\0\r\n") == bext["coding_history"]
    assert info.ixml.parsed.findtext("NOTE") == "a re-synthesis"
    assert info.data.frame_count == 999


def test_a_flac_carries_its_provenance_in_comments(tmp_path: Path) -> None:
    path = tmp_path / "a.flac"
    write_wav(path, np.zeros((1, 99), np.float32), 48_000, bext={"description": "door", "coding_history": "A=SPRESSO"})
    with soundfile.SoundFile(path) as handle:
        assert (handle.title, handle.comment) == ("door", "A=SPRESSO")


def test_beyond_4_gb_the_file_is_an_rf64(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, noise_CN: np.ndarray) -> None:
    monkeypatch.setattr(riff, "RF64_FROM", 1_000)
    path = tmp_path / "a.wav"
    write_wav(path, noise_CN, 48_000, "PCM_16", bext={"description": "long"}, ixml="<BWFXML/>")
    assert soundfile.info(path).format == "RF64"
    walked = riff.read_chunks(path)
    assert walked.complete
    assert [chunk.id for chunk in walked.chunks] == ["ds64", "bext", "fmt ", "data", "iXML"]
    assert np.array_equal(read_audio(path).samples, noise_CN)


def test_a_failed_write_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, noise_CN: np.ndarray
) -> None:
    path = tmp_path / "a.wav"
    write_wav(path, noise_CN, 48_000)
    before = path.read_bytes()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("spresso_assets.audio.write.os.fsync", full)
    with pytest.raises(SpressoError) as caught:
        write_wav(path, noise_CN * 0.5, 48_000)
    assert caught.value.code == "disk_full"
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.wav"]


@pytest.mark.parametrize(
    ("name", "subtype", "code"), [("a.flac", "FLOAT", "unsupported_subtype"), ("no/a.wav", "PCM_16", "cannot_write")]
)
def test_errors(tmp_path: Path, name: str, subtype: str, code: str) -> None:
    with pytest.raises(SpressoError) as caught:
        write_wav(tmp_path / name, np.zeros((1, 10), np.float32), 48_000, subtype)
    assert caught.value.code == code


def test_samples_that_are_no_numbers_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SpressoError) as caught:
        write_wav(tmp_path / "a.wav", np.array([[0.1, np.nan]], np.float32), 48_000)
    assert caught.value.code == "nonfinite_samples"


@pytest.mark.parametrize(("name", "subtype"), [("a.wav", "PCM_24"), ("a.wav", "FLOAT"), ("a.flac", "PCM_16")])
def test_a_sound_in_blocks_gives_the_file_of_the_whole(tmp_path: Path, name: str, subtype: str) -> None:
    x_CN = np.random.default_rng(0).uniform(-0.5, 0.5, (2, 200_001)).astype(np.float32)
    write_wav(tmp_path / name, x_CN, 48_000, subtype)
    whole = (tmp_path / name).read_bytes()
    for cuts in ([1, 1, 70_000], [65_536, 131_072], []):
        write_blocks(tmp_path / name, np.split(x_CN, cuts, 1), 2, 200_001, 48_000, subtype)
        assert (tmp_path / name).read_bytes() == whole


def test_blocks_that_fail_halfway_leave_no_file(tmp_path: Path) -> None:
    def blocks() -> Iterator[np.ndarray]:
        yield np.zeros((1, 100_000), np.float32)
        raise SpressoError("the code ends here", code="spr_truncated")

    with pytest.raises(SpressoError):
        write_blocks(tmp_path / "a.wav", blocks(), 1, 200_000, 48_000)
    with pytest.raises(ValueError, match="announced"):
        write_blocks(tmp_path / "a.wav", [np.zeros((1, 99), np.float32)], 1, 100, 48_000)
    assert not list(tmp_path.iterdir())
