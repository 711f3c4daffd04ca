"""What every system that S-PRESSO is compared with can do, and the few bytes around what it says.

Axes: C channels, N samples.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from spresso_assets.codec import bitstream
from spresso_assets.codec.bitstream_header import Reader, varint
from spresso_assets.errors import SpressoError

Audio = npt.NDArray[np.float32]

MAGIC = b"RV"
MAX_SAMPLES, MAX_CHANNELS = 1 << 34, 255


@dataclass(frozen=True)
class Point:
    """An operating point: how people call it, and its nominal rate in kbit/s."""

    name: str
    kbps: float


class Codec(Protocol):
    """A system. It hears and gives sound at its own sample rate; whoever asks converts."""

    @property
    def name(self) -> str:
        """One word, as in ``--systems``."""
        ...

    @property
    def sample_rate(self) -> int:
        """Hertz."""
        ...

    @property
    def channels(self) -> Sequence[int]:
        """Channel counts that it takes as they are; others are coded channel by channel, or mixed by the caller."""
        ...

    def points(self) -> list[Point]:
        """Operating points, lowest rate first."""
        ...

    def encode(self, audio_CN: Audio, kbps: float) -> bytes:
        """Sound [C, N] at an operating point's nominal rate -> a stream that says everything `decode` needs."""
        ...

    def decode(self, data: bytes) -> Audio:
        """A stream -> sound [C, N], as many samples as there were.

        Raises:
            SpressoError: ``rival_stream_bad``.
        """
        ...


@dataclass(frozen=True)
class Head:
    """What stands before the body of a stream: sizes, and the number of the operating point."""

    samples: int
    channels: int
    point: int


def pack(system: int, head: Head, body: bytes) -> bytes:
    """A stream: 5 bytes, the number of samples in as many as it needs, the body, and the check that .spr has.

    Args:
        system: number of the system, 0 … 255.
    """
    front = MAGIC + bytes([system, head.channels, head.point]) + varint(head.samples)
    return bitstream.checked(front + body)


def unpack(data: bytes, system: int, name: str) -> tuple[Head, bytes]:
    """Head and body of a stream of one system.

    Raises:
        SpressoError: ``rival_stream_bad`` for a foreign, truncated or damaged one.
    """
    if data[:2] != MAGIC or len(data) < 8:
        raise bad_stream(name, "it does not begin like one")
    end = bitstream.end_of_codes(data)
    if not bitstream.is_whole(data, end):
        raise bad_stream(name, "its check does not match: it is cut or damaged")
    if data[2] != system:
        raise bad_stream(name, "another system made it")
    reader = Reader(data[:end], 5)
    try:
        head = Head(reader.varint(), data[3], data[4])
    except SpressoError as error:
        raise bad_stream(name, "its length is cut") from error
    if not head.channels or head.samples > MAX_SAMPLES:
        raise bad_stream(name, "it names an impossible size")
    return head, data[reader.position : end]


def nearest(points: Sequence[Point], kbps: float) -> int:
    """Index of the operating point with this nominal rate, or the nearest one."""
    return min(range(len(points)), key=lambda k: abs(points[k].kbps - kbps))


def point_of(points: Sequence[Point], head: Head, name: str) -> Point:
    """The operating point that a stream names.

    Raises:
        SpressoError: ``rival_stream_bad`` if there is no such point.
    """
    if head.point >= len(points):
        raise bad_stream(name, "it names an operating point that there is not")
    return points[head.point]


def as_long(audio_CN: Audio, samples: int) -> Audio:
    """Sound cut, or filled up with zeros, to the length that a stream names."""
    return np.pad(audio_CN, ((0, 0), (0, max(0, samples - audio_CN.shape[1]))))[:, :samples]


def bad_stream(name: str, why: str) -> SpressoError:
    """The one error for bytes that a system cannot have made."""
    return SpressoError(
        f"this is no stream of '{name}': {why}",
        code="rival_stream_bad",
        hint="Make it again from the source, by the same version.",
    )
