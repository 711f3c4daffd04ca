"""Opus, MP3, Vorbis and FLAC by libsndfile's own encoders: what everybody has.

Opus is counted without its container (`ogg_packets`). An MP3 file has none, but says in its first frame by how much it
is delayed, for which there is no room below 64 kbit/s. Vorbis carries its code books, some kilobytes, in every file,
and FLAC its headers: that is what these formats cost, and short sounds pay for it.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import soundfile

from spresso_assets.rivals import ogg_packets
from spresso_assets.rivals.interface import Audio, Head, Point, bad_stream, nearest, pack, point_of, unpack

RATE = 48_000


@dataclass(frozen=True)
class Format:
    """How libsndfile is asked for a format.

    Attributes:
        system: number in streams.
        level: nominal kbit/s of one channel -> ``compression_level``.
        kbps: nominal rates of one channel.
    """

    system: int
    major: str
    subtype: str
    kbps: Sequence[float]
    level: Callable[[float], float]
    bitrate_mode: str | None = None


# libsndfile 1.2 maps its level from 0 to 1 to bit rates in straight lines, but for Vorbis, which has qualities.
FORMATS = {
    "opus": Format(1, "OGG", "OPUS", (6, 8, 12, 24, 48), lambda kbps: (256 - kbps) / 250),
    "mp3": Format(2, "MP3", "MPEG_LAYER_III", (64, 96, 128), lambda kbps: min(0.99, (320 - kbps) / 288), "CONSTANT"),
    "vorbis": Format(3, "OGG", "VORBIS", (32, 64, 96), lambda kbps: {32: 1.0, 64: 0.8, 96: 0.5}[int(kbps)]),
    "flac": Format(4, "FLAC", "PCM_16", (400,), lambda kbps: 1.0),
}


class Classic:
    """One of `FORMATS`."""

    sample_rate = RATE
    channels = (1, 2)

    def __init__(self, name: str) -> None:
        self.name = name
        self._format = FORMATS[name]

    def points(self) -> list[Point]:
        """Operating points of one channel; stereo takes up to twice as much."""
        lossless = self.name == "flac"
        return [Point(self.name if lossless else f"{self.name} {kbps:g} kbps", kbps) for kbps in self._format.kbps]

    def encode(self, audio_CN: Audio, kbps: float) -> bytes:
        """See `interface.Codec`."""
        point = nearest(self.points(), kbps)
        head = Head(audio_CN.shape[1], audio_CN.shape[0], point)
        if not head.samples:
            return pack(self._format.system, head, b"")
        file = self._write(np.clip(audio_CN, -1, 1).T, self._format.kbps[point])
        body = ogg_packets.join(*ogg_packets.packets_of(file)) if self.name == "opus" else file
        return pack(self._format.system, head, body)

    def decode(self, data: bytes) -> Audio:
        """See `interface.Codec`."""
        head, body = unpack(data, self._format.system, self.name)
        point_of(self.points(), head, self.name)
        if not head.samples:
            return np.zeros((head.channels, 0), np.float32)
        if self.name == "opus":
            body = ogg_packets.ogg_of(*ogg_packets.split(body), head.channels, head.samples)
        try:
            with soundfile.SoundFile(io.BytesIO(body)) as file:
                # never more than was promised: a stream may be made up to unfold without end
                audio_NC = file.read(head.samples, dtype="float32", always_2d=True)
        except (soundfile.SoundFileError, RuntimeError) as error:
            raise bad_stream(self.name, "libsndfile does not read it") from error
        if audio_NC.shape != (head.samples, head.channels):
            raise bad_stream(self.name, "it holds another length than it says")
        return np.ascontiguousarray(audio_NC.T)

    def _write(self, audio_NC: Audio, kbps: float) -> bytes:
        wanted = self._format
        file = io.BytesIO()
        extra = {} if wanted.bitrate_mode is None else {"bitrate_mode": wanted.bitrate_mode}
        soundfile.write(
            file,
            audio_NC,
            RATE,
            format=wanted.major,
            subtype=wanted.subtype,
            compression_level=wanted.level(kbps),
            **extra,
        )
        return ogg_packets.with_serial(file.getvalue()) if self.name == "vorbis" else file.getvalue()
