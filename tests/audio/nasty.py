"""Files as strangers have them: broken, lying, odd or no files at all, each with what must come of it.

`build(folder)` makes them all and says for each whether it is a sound (`ok`) or which error it must give.
"""

from __future__ import annotations

import io
import os
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

RATE = 48_000


@dataclass(frozen=True)
class Nasty:
    """One entry of the folder: its path, and `ok` or an error code."""

    path: Path
    expected: str


def tone(frames: int = 9_600, channels: int = 1) -> np.ndarray:
    """A 440 Hz tone, float64 [frames, channels]."""
    wave = 0.5 * np.sin(2 * np.pi * 440 * np.arange(frames) / RATE)
    return np.repeat(wave[:, None], channels, axis=1)


def encoded(container: str, subtype: str, x_NC: np.ndarray | None = None, rate: int = RATE, **options: str) -> bytes:
    """A well-formed file of the given kind, as bytes."""
    buffer = io.BytesIO()
    soundfile.write(buffer, tone() if x_NC is None else x_NC, rate, subtype, format=container, **options)
    return buffer.getvalue()


def chunk(name: bytes, body: bytes, declared: int | None = None) -> bytes:
    """A RIFF chunk that may lie about its size."""
    return name + struct.pack("<I", len(body) if declared is None else declared) + body + b"\0" * (len(body) % 2)


def riff(*chunks: bytes, form: bytes = b"RIFF", size: int | None = None) -> bytes:
    """A WAV file of ready chunks."""
    body = b"WAVE" + b"".join(chunks)
    return form + struct.pack("<I", len(body) if size is None else size) + body


def fmt(channels: int = 1, rate: int = RATE, bits: int = 16, tag: int = 1) -> bytes:
    """A format chunk; any lie is possible."""
    width = channels * bits // 8
    return chunk(b"fmt ", struct.pack("<HHIIHH", tag, channels, rate, rate * width & 0xFFFFFFFF, width & 0xFFFF, bits))


def pcm(frames: int = 9_600) -> bytes:
    """16-bit samples of the tone."""
    return (tone(frames)[:, 0] * 32_767).astype("<i2").tobytes()


def floats(x: np.ndarray) -> bytes:
    """A 32-bit float WAV of these samples, whatever they are."""
    return riff(fmt(bits=32, tag=3), chunk(b"data", np.asarray(x, "<f4").tobytes()))


def rf64(form: bytes) -> bytes:
    """A WAV whose sizes stand in a ds64 chunk."""
    data = pcm()
    sizes = chunk(b"ds64", struct.pack("<QQQI", 4 + 36 + 24 + 8 + len(data), len(data), len(data) // 2, 0))
    return riff(sizes, fmt(), chunk(b"data", data, 0xFFFFFFFF), form=form, size=0xFFFFFFFF)


def rifx() -> bytes:
    """A big-endian WAV."""
    data = np.frombuffer(pcm(), "<i2").astype(">i2").tobytes()
    head = b"fmt " + struct.pack(">IHHIIHH", 16, 1, 1, RATE, 2 * RATE, 2, 16)
    body = b"WAVE" + head + b"data" + struct.pack(">I", len(data)) + data
    return b"RIFX" + struct.pack(">I", len(body)) + body


def flac_without_length() -> bytes:
    """A FLAC whose encoder did not know how long the sound would be: legal, total samples 0."""
    data = bytearray(encoded("FLAC", "PCM_16"))
    data[21] &= 0xF0
    data[22:26] = bytes(4)
    return bytes(data)


def with_nan(share: float) -> np.ndarray:
    """The tone with a share of its samples replaced by NaN."""
    x = tone()[:, 0].copy()
    x[: int(share * len(x))] = np.nan
    return x


XML_BOMB = (
    b'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b "bbbb"><!ENTITY c "&b;&b;&b;">]><BWFXML><NOTE>&c;</NOTE></BWFXML>'
)
_NOISE = np.random.default_rng(0).integers(0, 256, 20_000, np.uint8).tobytes()

# Name, expected outcome, and how its bytes are made.
FILES: tuple[tuple[str, str, Callable[[], bytes]], ...] = (
    # Cut, empty and unfinished
    ("empty.wav", "empty_file", lambda: b""),
    ("cut.wav", "truncated_file", lambda: encoded("WAV", "PCM_16")[:10_000]),
    ("header_only.wav", "truncated_file", lambda: encoded("WAV", "PCM_16")[:44]),
    ("cut_header.wav", "truncated_file", lambda: encoded("WAV", "PCM_16")[:20]),
    (
        "cut.flac",
        "truncated_file",
        lambda: encoded("FLAC", "PCM_16", np.random.default_rng(1).normal(0, 0.1, 50_000))[:60_000],
    ),
    ("cut.ogg", "truncated_file", lambda: encoded("OGG", "VORBIS", tone(96_000))[:-300]),
    ("cut.aiff", "truncated_file", lambda: encoded("AIFF", "PCM_16")[:10_000]),
    ("cut.mp3", "truncated_file", lambda: encoded("MP3", "MPEG_LAYER_III", tone(192_000))[:9_000]),
    ("cut.w64", "truncated_file", lambda: encoded("W64", "PCM_16")[:10_000]),
    ("cut.caf", "truncated_file", lambda: encoded("CAF", "PCM_16")[:10_000]),
    ("cut.au", "truncated_file", lambda: encoded("AU", "PCM_16")[:10_000]),
    ("huge_declared.wav", "truncated_file", lambda: riff(fmt(), chunk(b"data", pcm(), 0xFFFFFF00))),
    ("never_finished.wav", "truncated_file", lambda: riff(fmt(), chunk(b"data", pcm(), 0), size=0)),
    ("no_data_chunk.wav", "truncated_file", lambda: riff(fmt())),
    ("zero_length_data.wav", "no_samples", lambda: riff(fmt(), chunk(b"data", b""))),
    # Headers that lie, samples that are none
    ("zero_channels.wav", "zero_channels", lambda: riff(fmt(channels=0), chunk(b"data", pcm()))),
    ("zero_hertz.wav", "bad_sample_rate", lambda: riff(fmt(rate=0), chunk(b"data", pcm()))),
    ("one_hertz.wav", "bad_sample_rate", lambda: riff(fmt(rate=1), chunk(b"data", pcm()))),
    ("two_gigahertz.wav", "bad_sample_rate", lambda: riff(fmt(rate=2_147_483_647), chunk(b"data", pcm()))),
    ("300_channels.wav", "too_many_channels", lambda: riff(fmt(channels=300), chunk(b"data", bytes(600 * 50)))),
    ("all_nan.wav", "nonfinite_samples", lambda: floats(with_nan(1.0))),
    ("infinite.wav", "nonfinite_samples", lambda: floats(np.where(np.arange(9_600) % 10, 0.1, np.inf))),
    ("few_nan.wav", "ok", lambda: floats(with_nan(0.001))),
    ("text.wav", "unsupported_format", lambda: b"this is a shopping list\n" * 50),
    ("noise.flac", "unsupported_format", lambda: _NOISE),
    ("zeros.wav", "unsupported_format", lambda: bytes(5_000)),
    ("matrix.wav", "unsupported_format", lambda: encoded("MAT5", "PCM_16")),
    ("page.mp3", "unsupported_format", lambda: b"<!DOCTYPE html><html><body>404</body></html>"),
    # Odd, but sounds
    ("8_bit.wav", "ok", lambda: encoded("WAV", "PCM_U8")),
    ("24_bit.wav", "ok", lambda: encoded("WAV", "PCM_24")),
    ("double.wav", "ok", lambda: encoded("WAV", "DOUBLE")),
    ("adpcm.wav", "ok", lambda: encoded("WAV", "IMA_ADPCM")),
    ("192_khz.wav", "ok", lambda: encoded("WAV", "PCM_24", rate=192_000)),
    ("surround.wav", "ok", lambda: encoded("WAVEX", "PCM_24", tone(9_600, 6))),
    ("rf64.wav", "ok", lambda: rf64(b"RF64")),
    ("bw64.wav", "ok", lambda: rf64(b"BW64")),
    ("rifx.wav", "ok", rifx),
    ("sony.w64", "ok", lambda: encoded("W64", "PCM_16")),
    ("one_sample.wav", "ok", lambda: riff(fmt(), chunk(b"data", b"\0\x40"))),
    ("flac_named.wav", "ok", lambda: encoded("FLAC", "PCM_24")),
    ("no_length.flac", "ok", flac_without_length),
    ("junk_in_front.mp3", "ok", lambda: b"junk" * 500 + encoded("MP3", "MPEG_LAYER_III")),
    ("padded_id3.mp3", "ok", lambda: b"ID3\3\0\0\0\0\0\x0a" + bytes(800) + encoded("MP3", "MPEG_LAYER_III")),
    ("odd_chunk.wav", "ok", lambda: riff(b"note\3\0\0\0abc", fmt(), chunk(b"data", pcm()))),
    ("garbage_behind.wav", "ok", lambda: riff(fmt(), chunk(b"data", pcm())) + _NOISE[:500]),
    ("wrong_riff_size.wav", "ok", lambda: riff(fmt(), chunk(b"data", pcm()), size=17)),
    ("streamed.wav", "ok", lambda: riff(fmt(), chunk(b"data", pcm(), 0xFFFFFFFF), size=0xFFFFFFFF)),
    ("xml_bomb.wav", "ok", lambda: riff(fmt(), chunk(b"iXML", XML_BOMB), chunk(b"data", pcm()))),
    ("Türen – 開門 🚪.wav", "ok", lambda: encoded("WAV", "PCM_16")),
    ("new\nline.wav", "ok", lambda: encoded("WAV", "PCM_16")),
    ("-rf.wav", "ok", lambda: encoded("WAV", "PCM_16")),
    ("n" * 246 + ".wav", "ok", lambda: encoded("WAV", "PCM_16")),
)


def build(folder: Path, long_seconds: float = 2 * 3600, too_long_seconds: float = 5 * 3600) -> list[Nasty]:
    """Fill an existing, empty folder and return what is in it."""
    entries = []
    for name, expected, make in FILES:
        path = folder / name
        path.write_bytes(make())
        entries.append(Nasty(path, expected))
    entries.append(Nasty(_silence(folder / "two_hours_of_silence.flac", long_seconds), "ok"))
    entries.append(Nasty(_silence(folder / "five_hours.flac", too_long_seconds), "too_long"))
    return entries + _special_files(folder)


def _silence(path: Path, seconds: float, rate: int = 8_000) -> Path:
    with soundfile.SoundFile(path, "w", rate, 1, "PCM_16", format="FLAC") as handle:
        second = np.zeros(rate * 60, np.int16)
        for _ in range(int(seconds // 60)):
            handle.write(second)
    return path


def _special_files(folder: Path) -> list[Nasty]:
    """Things that have a name like a sound but are no files; permissions only where they bind."""
    (folder / "folder.wav").mkdir()
    os.mkfifo(folder / "pipe.wav")
    (folder / "device.wav").symlink_to("/dev/zero")
    (folder / "dangling.wav").symlink_to(folder / "nowhere.wav")
    (folder / "loop.wav").symlink_to(folder / "loop.wav")
    forbidden = folder / "forbidden.wav"
    forbidden.write_bytes(encoded("WAV", "PCM_16"))
    forbidden.chmod(0)
    return [
        Nasty(folder / "folder.wav", "not_a_file"),
        Nasty(folder / "pipe.wav", "not_a_file"),
        Nasty(folder / "device.wav", "not_a_file"),
        Nasty(folder / "dangling.wav", "file_missing"),
        Nasty(folder / "loop.wav", "unreadable_file"),
        Nasty(forbidden, "ok" if os.geteuid() == 0 else "unreadable_file"),
    ]
