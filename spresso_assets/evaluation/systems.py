"""What a codec has to offer to be compared, and how a sound is carried through it.

Everything is compared in mono: a system that codes two channels would spend bits on what the figures do not see.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from spresso_assets.audio.resample import resample
from spresso_assets.codec.config import SAMPLE_RATE
from spresso_assets.errors import SpressoError
from spresso_assets.evaluation.records import Record, Records
from spresso_assets.evaluation.timing import peak_memory, stopwatch

Audio = NDArray[np.float32]
Watch = Callable[[dict[str, Any], str], AbstractContextManager[None]]  # notes what a block costs, see `timing`


class RatePoint(Protocol):
    """An operating point: its name, and its nominal rate in kbit/s."""

    @property
    def name(self) -> str:
        """As in tables."""
        ...

    @property
    def kbps(self) -> float:
        """By which `System.encode` is told the point."""
        ...


class System(Protocol):
    """A codec behind one interface."""

    @property
    def name(self) -> str:
        """One word."""
        ...

    @property
    def sample_rate(self) -> int:
        """Hertz, of what goes in and comes out."""
        ...

    @property
    def channels(self) -> Sequence[int]:
        """Channel counts that it takes."""
        ...

    def points(self) -> Sequence[RatePoint]:
        """Its operating points."""
        ...

    def encode(self, audio_CN: Audio, kbps: float) -> bytes:
        """[C, N] at the nominal rate of a point -> everything that `decode` needs."""
        ...

    def decode(self, data: bytes) -> Audio:
        """-> [C, N], of the length that went in."""
        ...


@runtime_checkable
class Varied(Protocol):
    """A system that makes another sound of one stream with another seed."""

    def decode_take(self, data: bytes, take: int) -> Audio:
        """Take 0 is what ``decode`` gives."""
        ...


@dataclass(frozen=True)
class Entry:
    """A system at one of its points.

    Attributes:
        weights: by which measurements with other weights are told apart; empty where there are none.
    """

    system: System
    point: str
    kbps: float
    weights: str = ""

    @property
    def key(self) -> tuple[str, str]:
        """What tells rows apart."""
        return self.system.name, self.point


def is_trained(system: System) -> bool:
    """Whether the system's sound means anything: one of random weights is there to be timed."""
    return not getattr(system, "untrained", False)


def entries(
    systems: Iterable[System], max_kbps: float | None = None, weights: Mapping[str, str] | None = None
) -> list[Entry]:
    """Every system at every point up to a nominal rate, in the order given, low rates first.

    Args:
        weights: by name of system, see `Entry`.
    """
    return [
        Entry(system, point.name, point.kbps, (weights or {}).get(system.name, ""))
        for system in systems
        for point in sorted(system.points(), key=lambda p: p.kbps)
        if max_kbps is None or point.kbps <= max_kbps
    ]


@dataclass(frozen=True)
class Passage:
    """What came of a sound in a system: the decode as mono 48 kHz, the bytes between, and what it cost."""

    decoded_N: Audio
    data: bytes
    cost: dict[str, Any]


def mono48(audio_CN: Audio, rate: int) -> Audio:
    """The mean of the channels at 48 kHz, in which all is compared."""
    return resample(audio_CN.mean(0, keepdims=True), rate, SAMPLE_RATE)[0]


def carry(entry: Entry, reference_N: Audio, takes: int = 1) -> tuple[Passage, list[Audio]]:
    """Encode and decode mono 48 kHz sound; conversions to and from the system's rate are not timed.

    Returns:
        what came of it, and ``takes - 1`` more decodes where the system can vary.

    Raises:
        SpressoError: ``system_length`` if a decode has another length than what went in; what the system raises.
    """
    system = entry.system
    given_CN = given(system, reference_N)
    data, found_CN, cost = passed(entry, given_CN, stopwatch)
    decoded_N = _checked(entry, found_CN, given_CN.shape[1])
    more: list[Audio] = []
    if takes > 1 and isinstance(system, Varied):
        more = [_checked(entry, system.decode_take(data, n), given_CN.shape[1]) for n in range(1, takes)]
    return Passage(decoded_N, data, cost), more


def weigh(entry: Entry, reference_N: Audio) -> dict[str, Any]:
    """The memory that encoding and decoding a sound take, in bytes; empty where that cannot be told.

    Raises:
        SpressoError: what the system raises.
    """
    return passed(entry, given(entry.system, reference_N), peak_memory)[2]


def passed(entry: Entry, given_CN: Audio, watch: Watch) -> tuple[bytes, Audio, dict[str, Any]]:
    """Encode and decode what a system takes: the stream, what came of it, and what ``watch`` noted of both."""
    noted: dict[str, Any] = {}
    with watch(noted, "encode"):
        data = entry.system.encode(given_CN, entry.kbps)
    with watch(noted, "decode"):
        found_CN = entry.system.decode(data)
    return data, found_CN, noted


def measured(records: Records, sound: str, entry: Entry, quality: str = "") -> Record | None:
    """What was measured of a sound at a system's point, if it was with the same weights."""
    record = records.get((sound, *entry.key, quality))
    return record if record is not None and record.get("weights", "") == entry.weights else None


def given(system: System, reference_N: Audio) -> Audio:
    """Mono 48 kHz as the system takes it, [C, N] at its rate."""
    given_CN = resample(reference_N[None], SAMPLE_RATE, system.sample_rate)
    return given_CN if 1 in system.channels else np.repeat(given_CN, min(system.channels), axis=0)


def _checked(entry: Entry, found_CN: Audio, samples: int) -> Audio:
    if found_CN.ndim != 2 or found_CN.shape[1] != samples or not np.isfinite(found_CN).all():
        shape = "x".join(map(str, found_CN.shape))
        raise SpressoError(
            f"'{entry.system.name}' gave {shape} samples, or such as are no numbers, for {samples}",
            code="system_length",
            hint="A system has to give back as many samples as it was given; this point is left out for this sound.",
        )
    return mono48(np.asarray(found_CN, np.float32), entry.system.sample_rate)
