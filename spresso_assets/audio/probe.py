"""Everything the catalog wants to know of a file before it is encoded, in one pass over its samples.

`probe` streams: a two-hour recording takes no more memory than a short one. It never writes and never runs tools.
"""

from __future__ import annotations

import dataclasses
import os
import time
from dataclasses import dataclass, field
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from spresso_assets.audio.chunk_fields import read_chunk_fields
from spresso_assets.audio.completeness import Completeness, is_complete
from spresso_assets.audio.fields import FieldValue
from spresso_assets.audio.identity import PcmHash, coded_hash, file_hash
from spresso_assets.audio.loudness import LoudnessMeter
from spresso_assets.audio.opening import open_regular, reading_fault, short_name
from spresso_assets.audio.overview import Overview
from spresso_assets.audio.read import OpenSound, cleaned, open_sound, require_finite
from spresso_assets.audio.riff import walk_chunks
from spresso_assets.audio.tags import read_tags
from spresso_assets.audio.ucs import parse_ucs
from spresso_assets.errors import FaultKind, SpressoError

__all__ = ["Completeness", "FieldValue", "Probe", "is_complete", "probe"]

SILENT_PEAK = 10 ** (-80 / 20)
CLIP_LEVEL = 0.9999
CLIP_RUN = 3
DC_LIMIT = 0.01
OVER_LEVEL = 8.0
ULTRASONIC_SHARE = 10 ** (-60 / 10)
LONG_SECONDS = 600.0

_BIT_DEPTHS = {
    **{"PCM_S8": 8, "PCM_U8": 8, "PCM_16": 16, "PCM_24": 24, "PCM_32": 32, "FLOAT": 32, "DOUBLE": 64},
    **{"ULAW": 8, "ALAW": 8, "ALAC_16": 16, "ALAC_20": 20, "ALAC_24": 24, "ALAC_32": 32},
}
_LAYOUTS = {1: "mono", 2: "stereo", 6: "5.1", 8: "7.1"}


@dataclass
class Probe:
    """What was found.

    Attributes:
        container: libsndfile's name: WAV, WAVEX, RF64, W64, AIFF, FLAC, OGG, MP3, CAF...
        subtype: PCM_16, FLOAT, VORBIS...
        sample_rate: hertz.
        channels: count.
        channel_layout: mono, stereo, 5.1, 7.1 or `N channels`.
        frames: samples per channel, counted while decoding.
        duration_s: seconds.
        bit_depth: of lossless codings, else None.
        flags: sorted; any of clipped, dc_offset, long, multichannel, nonfinite, over_full_scale, silent, truncated,
            ultrasonic.
        audio_hash: identity of the sound, see `identity.py`.
        file_sha256: of all bytes.
        peaks: int8 (min, max) pairs of at most 512 columns, all channels in one.
        loudness_db: integrated loudness in LUFS; None below -70.
        peak_db: largest sample in dBFS; None for digital silence.
        fields: metadata with its sources.
        raw_chunks: (id, body) of WAV and AIFF chunks that hold neither sound nor filler.
        timings: seconds spent in `hash_s` (reading and hashing bytes), `decode_s`, `analyse_s`, `metadata_s`.
    """

    container: str
    subtype: str
    sample_rate: int
    channels: int
    channel_layout: str
    frames: int
    duration_s: float
    bit_depth: int | None
    flags: list[str]
    audio_hash: str
    file_sha256: str
    peaks: bytes
    loudness_db: float | None
    peak_db: float | None
    fields: list[FieldValue] = field(default_factory=list)
    raw_chunks: list[tuple[str, bytes]] = field(default_factory=list)
    timings: dict[str, float] = field(default_factory=dict)

    def as_record(self) -> dict[str, Any]:
        """Plain dicts, lists, numbers, texts and bytes: what crosses a process border and what the catalog takes."""
        return dataclasses.asdict(self)

    def as_json(self) -> dict[str, Any]:
        """`as_record` for `json.dumps`: peaks as a list of [min, max], chunks as (id, size)."""
        pairs = np.frombuffer(self.peaks, np.int8).reshape(-1, 2).tolist()
        chunks = [{"id": name, "size": len(body)} for name, body in self.raw_chunks]
        return {**self.as_record(), "peaks": pairs, "raw_chunks": chunks}


def probe(path: str | os.PathLike[str], allow_truncated: bool = False) -> Probe:
    """Look at a file once, thoroughly.

    Args:
        path: the file; only ever opened for reading.
        allow_truncated: describe what is there of a file that is cut, with the flag `truncated`, instead of raising.

    Raises:
        SpressoError: permanent: `not_a_file`, `empty_file`, `truncated_file`, `unsupported_format`, `zero_channels`,
            `too_many_channels`, `bad_sample_rate`, `too_long`, `no_samples`, `nonfinite_samples`, `file_missing`,
            `unreadable_file`; retryable: `unreadable_file` (passing faults), `changed_while_reading`.
    """
    clock = _Clock()
    with open_regular(path) as file:
        before = os.fstat(file.fileno())
        try:
            with open_sound(path, allow_truncated) as sound:
                with clock("hash_s"):
                    file_sha256 = file_hash(file)
                    audio_hash = None if sound.lossless else coded_hash(file, sound.format)
                with clock("metadata_s"):
                    fields, raw_chunks = _metadata(file, sound, os.fspath(path))
                analysis = _Analysis(sound)
                _stream(sound, analysis, clock, allow_truncated)
        except OSError as error:
            raise reading_fault(path, error) from error
        _require_same(path, before)
    return Probe(
        container=sound.format,
        subtype=sound.subtype,
        sample_rate=sound.sample_rate,
        channels=sound.channels,
        channel_layout=_LAYOUTS.get(sound.channels, f"{sound.channels} channels"),
        frames=analysis.frames,
        duration_s=analysis.frames / sound.sample_rate,
        bit_depth=_BIT_DEPTHS.get(sound.subtype),
        flags=analysis.flags(),
        audio_hash=audio_hash or analysis.pcm.digest(),
        file_sha256=file_sha256,
        peaks=analysis.overview.to_bytes(),
        loudness_db=_rounded(analysis.meter.integrated()),
        peak_db=_rounded(20 * float(np.log10(analysis.peak))) if analysis.peak > 0 else None,
        fields=fields,
        raw_chunks=raw_chunks,
        timings=clock.seconds,
    )


class _Clock:
    """Adds up seconds by name: `with clock("decode_s"): ...`."""

    def __init__(self) -> None:
        self.seconds = {"hash_s": 0.0, "metadata_s": 0.0, "decode_s": 0.0, "analyse_s": 0.0}
        self._name, self._since = "", 0.0

    def __call__(self, name: str) -> _Clock:
        self._name = name
        return self

    def __enter__(self) -> None:
        self._since = time.perf_counter()

    def __exit__(self, *_: object) -> None:
        self.seconds[self._name] += time.perf_counter() - self._since


def _stream(sound: OpenSound, analysis: _Analysis, clock: _Clock, allow_truncated: bool) -> None:
    blocks = sound.blocks()
    try:
        while True:
            with clock("decode_s"):
                block = next(blocks, None)
            if block is None:
                break
            with clock("analyse_s"):
                analysis.add(block)
    except SpressoError as error:
        if not (allow_truncated and error.code == "truncated_file" and analysis.frames):
            raise
        analysis.cut = True
    require_finite(sound.name, analysis.nonfinite, analysis.frames * sound.channels)


class _Analysis:
    """All measurements that one pass over the samples feeds."""

    def __init__(self, sound: OpenSound) -> None:
        self.sound = sound
        self.frames = self.nonfinite = 0
        self.cut = not sound.completeness.complete
        self.clipped = False
        self.sum_C = np.zeros(sound.channels)
        self.pcm = PcmHash(sound.sample_rate, sound.channels)
        self.meter = LoudnessMeter(sound.sample_rate, sound.channels)
        self.overview = Overview(sound.frames)

    def add(self, block: NDArray[np.float32] | NDArray[np.float64]) -> None:
        """Take the next decoded samples [n, C]."""
        x_NC, broken = cleaned(block)
        self.nonfinite += broken
        self.frames += len(x_NC)
        if self.sound.lossless:
            self.pcm.add(block, x_NC)
        self.overview.add(x_NC)
        self.sum_C += x_NC.sum(axis=0, dtype=np.float64)
        self.meter.add(np.ascontiguousarray(x_NC.T))
        if not self.clipped and self.peak >= CLIP_LEVEL:
            self.clipped = _has_plateau(x_NC)

    @property
    def peak(self) -> float:
        """Largest magnitude so far."""
        return max(-self.overview.low, self.overview.high)

    @property
    def offset(self) -> float:
        """Largest magnitude of a channel's mean."""
        return float(np.abs(self.sum_C).max()) / max(self.frames, 1)

    def flags(self) -> list[str]:
        """The flags that hold, sorted."""
        sound = self.sound
        held = {
            "truncated": self.cut,
            "silent": self.peak < SILENT_PEAK,
            "clipped": self.clipped,
            "over_full_scale": self.peak > OVER_LEVEL,
            "nonfinite": self.nonfinite > 0,
            # In a click of a few periods a mean is no offset.
            "dc_offset": self.frames > 0.05 * sound.sample_rate and self.offset > DC_LIMIT,
            "ultrasonic": self.meter.ultrasonic_share > ULTRASONIC_SHARE and self.peak >= SILENT_PEAK,
            "multichannel": sound.channels > 2,
            "long": self.frames > LONG_SECONDS * sound.sample_rate,
        }
        return sorted(name for name, holds in held.items() if holds)


def _has_plateau(x_NC: NDArray[np.float32]) -> bool:
    """Whether CLIP_RUN samples in a row sit at full scale on the same side: one alone may be a true peak."""
    for hot in (x_NC >= CLIP_LEVEL, x_NC <= -CLIP_LEVEL):
        run = hot
        for k in range(1, CLIP_RUN):
            run = run[:-1] & hot[k:]
        if run.any():
            return True
    return False


def _metadata(file: BinaryIO, sound: OpenSound, path: str) -> tuple[list[FieldValue], list[tuple[str, bytes]]]:
    riff = walk_chunks(file)
    fields, chunks = read_chunk_fields(file, riff) if riff.form else ([], [])
    if not riff.form:
        fields = read_tags(file, sound.format, sound.subtype)
    return fields + parse_ucs(os.path.basename(path)), chunks


def _require_same(path: str | os.PathLike[str], before: os.stat_result) -> None:
    """A file that changed under the reader was read half old, half new."""
    try:
        after = os.stat(path)
    except OSError as error:
        raise reading_fault(path, error) from error
    if (after.st_size, after.st_mtime_ns, after.st_ino) != (before.st_size, before.st_mtime_ns, before.st_ino):
        raise SpressoError(
            f"{short_name(path)} changed while it was read",
            code="changed_while_reading",
            hint="It is probed again once it has been quiet for a while.",
            kind=FaultKind.RETRYABLE,
        )


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 2)
