"""Levels decode and quality: does it sound, and how far from its source?"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from spresso_assets.catalog.columns import now_us
from spresso_assets.codec.bitstream import read_header
from spresso_assets.errors import SpressoError
from spresso_assets.verify.finding import Finding, error, info, warning

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from spresso_assets.catalog.models import Asset, EncodeProfile, Rendition

SILENT_PEAK = 1e-6
AUDIBLE_DB = -80.0
SPREAD = 3.0  # median absolute deviations above the median, from where a sound is an outlier
LEAST_EXCESS = 0.1  # and at least a decibel above it
FEWEST = 8  # below so many there is no saying what is usual


class Decoder(Protocol):
    """The part of `codec.SPresso` that is needed here."""

    weights_sha256: str

    def decode(
        self, data: bytes, seed: int | None = 0, steps: int | None = None, quality: str = "default"
    ) -> tuple[NDArray[np.float32], int]:
        """.spr bytes -> (float32 [C, N], rate)."""
        ...


@dataclass(frozen=True)
class Heard:
    """A decode that was good, for comparison."""

    samples: NDArray[np.float32]
    sample_rate: int


def decode_one(codec: Decoder, rendition: Rendition, asset: Asset, about: str) -> tuple[Heard | None, list[Finding]]:
    """Decode a rendition with its own seed; returns the sound, or what is wrong with it."""
    ids = {"asset_id": asset.id, "rendition_id": rendition.id}
    again = "spresso verify --level decode --repair encodes it again"
    try:
        samples, rate = codec.decode(rendition.payload, seed=rendition.decode_seed)
    except SpressoError as fault:
        return None, [error("decode_failed", about, f"cannot be decoded: {fault.message}", fault.hint or again, **ids)]
    if not np.isfinite(samples).all():
        return None, [error("decode_nonfinite", about, "decodes to samples that are no numbers", again, **ids)]
    if (samples.shape[1], rate) != (asset.frames, asset.sample_rate):
        message = f"decodes to {samples.shape[1]} samples at {rate} Hz instead of {asset.frames} at {asset.sample_rate}"
        return None, [error("decode_length", about, message, again, **ids)]
    silent = read_header(rendition.payload).silent or not len(samples) or float(np.abs(samples).max()) < SILENT_PEAK
    audible = "silent" not in asset.flags and asset.loudness is not None and asset.loudness > AUDIBLE_DB
    if silent and audible:
        return None, [error("decode_silent", about, "decodes to silence, and its source is none", again, **ids)]
    return Heard(samples, rate), []


def measure(heard: Heard, path: Path, seed: int) -> dict[str, Any] | None:
    """Compare a decode with its source file; None for sounds of which the figure says nothing.

    Raises:
        SpressoError: as `audio.read.read_audio`.
    """
    from spresso_assets.audio.read import read_audio
    from spresso_assets.audio.resample import resample
    from spresso_assets.evaluation.judging import LONGEST_S, judge, quality_record

    source = read_audio(path)
    if source.frames < 0.05 * source.sample_rate or float(np.abs(source.samples).max()) < SILENT_PEAK:
        return None
    samples = round(LONGEST_S * heard.sample_rate)
    source_CN = resample(source.samples.astype(np.float32), source.sample_rate, heard.sample_rate)
    value = judge(heard.samples[:, :samples], source_CN[:, :samples], heard.sample_rate)
    return quality_record(value, seed, now_us()) if math.isfinite(value) else None


@dataclass(frozen=True)
class Measured:
    """A distance from the source, 1 less the quality, with what is needed to tell an outlier."""

    asset: Asset
    profile: EncodeProfile
    rendition_id: int
    value: float


@dataclass(frozen=True)
class Judged:
    """A distance beside what is usual under its profile: the median. ``low`` where it stands out."""

    measured: Measured
    usual: float
    low: bool


def judged(measured: list[Measured]) -> list[Judged]:
    """Compare distances with those of their profile, worst first; of profiles with too few to say, nothing."""
    by_profile: dict[str, list[Measured]] = {}
    for one in measured:
        by_profile.setdefault(one.profile.name, []).append(one)
    found = []
    for group in by_profile.values():
        if len(group) < FEWEST:
            continue
        values = np.array([one.value for one in group])
        median = float(np.median(values))
        spread = float(np.median(np.abs(values - median)))
        limit = median + max(SPREAD * spread, LEAST_EXCESS)
        found += [Judged(one, median, one.value > limit) for one in sorted(group, key=lambda one: -one.value)]
    return found


def outlier(found: Judged, higher: str | None, is_mended: bool) -> Finding:
    """A sound that its profile does not carry.

    Args:
        higher: the next profile that carries more, if there is one.
        is_mended: the sound is there under such a one.
    """
    one = found.measured
    name, uid = one.profile.name, one.asset.uid[:8]
    about = f"{uid} {name}"
    message = f"stands {one.value:.2f} from its source, others of {name} {found.usual:.2f}"
    if is_mended:
        return info("quality_low", about, f"{message}; it is there at a higher rate, too", asset_id=one.asset.id)
    hint = f"Listen: spresso decode {uid} --profile {name}"
    hint += f". Then: spresso reencode id:{uid} --profile {higher}" if higher else ""
    return warning("quality_low", about, message, hint, asset_id=one.asset.id)
