"""How fast systems are beside each other: the same sounds, one after the other, at given numbers of threads."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from spresso_assets.codec.config import SAMPLE_RATE
from spresso_assets.errors import SpressoError
from spresso_assets.evaluation.records import Record, Records
from spresso_assets.evaluation.sounds import Sound, unfit
from spresso_assets.evaluation.systems import Entry, given, measured, mono48, passed, weigh
from spresso_assets.evaluation.timing import stopwatch

THREADS = (1, 2)
TIMES = ("encode_wall_s", "encode_cpu_s", "decode_wall_s", "decode_cpu_s")


@dataclass(frozen=True)
class Speed:
    """One system at one point with some threads: seconds of sound per second.

    Attributes:
        encode, decode: per second of wall time; ``_cpu``: per second of processor time, all threads together.
        encode_bytes, decode_bytes: memory that a call took on top of what was there, with the first sound.
    """

    system: str
    point: str
    threads: int
    sounds: int
    seconds: float
    encode: float
    encode_cpu: float
    decode: float
    decode_cpu: float
    encode_bytes: int | None
    decode_bytes: int | None


def measure_speed(
    entries: Sequence[Entry],
    sounds: Sequence[Sound],
    records: Records,
    *,
    threads: Sequence[int] = THREADS,
    skip: Callable[[str, SpressoError], None] | None = None,
    progress: Callable[[int, int, str], None] | None = None,
) -> list[Speed]:
    """Encode and decode every sound with every system; what the records hold already is not measured again.

    Conversions of sample rates are not timed. Each system carries the first sound once before it is timed, to weigh
    its memory, and as first calls pay for what later ones find ready. The sound is the outer loop: should the machine
    slow down for a while, it does so for all systems alike. Systems that do not compute with torch decide about threads
    themselves.

    Args:
        skip: told of points that fail.
        progress: told how many passages are done, of how many, and what is in work.
    """
    fit = [(name, mono48(audio_CN, rate)) for name, audio_CN, rate in sounds if unfit((name, audio_CN, rate)) is None]
    before, done = torch.get_num_threads(), 0
    try:
        for number in threads:
            torch.set_num_threads(number)
            weights: dict[tuple[str, str], dict[str, Any]] = {}
            for name, reference_N in fit:
                for entry in entries:
                    done += 1
                    if measured(records, name, entry, _quality(number)) is not None:
                        continue
                    if progress is not None:
                        progress(done, len(threads) * len(fit) * len(entries), f"{entry.point}: {name}")
                    try:
                        if entry.key not in weights:
                            weights[entry.key] = weigh(entry, fit[0][1])
                        _, _, times = passed(entry, given(entry.system, reference_N), stopwatch)
                    except SpressoError as error:
                        if skip is not None:
                            skip(f"{name}, {entry.system.name} {entry.point}", error)
                        continue
                    about = {
                        "sound": name,
                        "seconds": round(len(reference_N) / SAMPLE_RATE, 6),
                        "weights": entry.weights,
                    }
                    key = {"method": entry.system.name, "profile": entry.point, "quality": _quality(number)}
                    records.add({**about, **key, **times, **weights[entry.key]})
    finally:
        torch.set_num_threads(before)
    return [
        _speed(entry, number, found)
        for entry in entries
        for number in threads
        if (found := [r for name, _ in fit if (r := measured(records, name, entry, _quality(number))) is not None])
    ]


def _quality(threads: int) -> str:
    """Under which records of times are kept beside those of quality."""
    return f"{threads} threads"


def _speed(entry: Entry, threads: int, found: Sequence[Record]) -> Speed:
    seconds = sum(record["seconds"] for record in found)
    # The clock of processor time ticks coarsely: no sound takes less than one tick.
    speeds = [round(seconds / max(sum(record[name] for record in found), 1e-6), 3) for name in TIMES]
    most = (max((r[name] for r in found if name in r), default=None) for name in ("encode_bytes", "decode_bytes"))
    return Speed(*entry.key, threads, len(found), round(seconds, 3), *speeds, *most)
