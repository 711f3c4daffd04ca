"""Files: the same bytes however they are asked for, and the same sound in every format."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import soundfile

from plugin_bridge.render import encode
from spresso_assets.audio.write import write_blocks
from spresso_assets.errors import SpressoError
from tests.plugin_bridge.render.fakes import a_take, samples_of


@pytest.mark.parametrize("bits", ["16", "24", "32f"])
def test_samples_are_those_that_an_export_writes(tmp_path: Path, bits: str) -> None:
    take = a_take(1, 150_001, 2, bits=bits)
    sound = samples_of(take)
    subtype = {"16": "PCM_16", "24": "PCM_24", "32f": "FLOAT"}[bits]
    write_blocks(tmp_path / "export.wav", iter([sound]), 2, take.frames, 48_000, subtype)
    exported = (tmp_path / "export.wav").read_bytes()
    at = exported.index(b"data") + 8
    assert encode.wav_bytes(take, sound.T)[4096:] == exported[at:]


@pytest.mark.parametrize("bits", ["16", "24", "32f"])
def test_pieces_in_any_order_are_the_whole(bits: str) -> None:
    take = a_take(2, 140_000, 1, bits=bits)
    samples = samples_of(take).T
    whole = encode.wav_bytes(take, samples)
    encoder = encode.WavEncoder(take)
    for first, last in ((139_999, 140_000), (0, 1), (65_530, 65_540), (70_000, 140_000), (1, 131_073)):
        part = encode.wav_part(take, encoder, first, samples[first:last])
        at = 4096 + first * take.frame_bytes
        assert part == whole[at : at + len(part)]
        assert len(part) == (last - first) * take.frame_bytes + (take.data_bytes % 2) * (last == take.frames)


def test_integers_clip_and_silence_stays_silent() -> None:
    take = a_take(1, 4, bits="16")
    words = encode.WavEncoder(take).words(0, np.array([[2.0], [-2.0], [0.0], [0.5]], np.float32))
    assert words[:3, 0].tolist() == [32767, -32768, 0] and abs(words[3, 0] - 16384) <= 1


def test_an_odd_number_of_bytes_is_padded() -> None:
    take = a_take(1, 3, 1, bits="24")
    made = encode.wav_bytes(take, samples_of(take).T)
    assert len(made) == 4096 + 9 + 1 == take.wav_bytes and made[-1] == 0


@pytest.mark.parametrize("bits", ["16", "24"])
def test_flac_holds_the_samples_of_the_wav(bits: str) -> None:
    take = a_take(3, 70_000, 2, 44_100, bits=bits)
    samples = samples_of(take).T
    flac, rate = soundfile.read(io.BytesIO(encode.file(take, samples, "flac")), dtype="int32")
    wav, _ = soundfile.read(io.BytesIO(encode.file(take, samples, "wav")), dtype="int32")
    assert rate == 44_100 and np.array_equal(flac, wav)


def test_vorbis_sounds_alike_and_has_every_frame() -> None:
    take = a_take(4, 48_000, 2)
    tone = 0.5 * np.sin(np.arange(48_000) * 0.05)[:, None].repeat(2, 1).astype(np.float32)
    found, rate = soundfile.read(io.BytesIO(encode.file(take, tone, "ogg")))
    assert (rate, len(found)) == (48_000, 48_000)
    assert np.corrcoef(found[:, 0], tone[:, 0])[0, 1] > 0.999


@pytest.mark.parametrize(
    ("format", "params", "channels"), [("flac", {"bits": "32f"}, 1), ("ogg", {}, 12), ("mp3", {}, 1)]
)
def test_what_a_format_cannot_hold_is_refused(format: str, params: dict[str, str], channels: int) -> None:
    with pytest.raises(SpressoError, match="bad_format"):
        encode.check_format(a_take(0, 10, channels, **params), format)
