"""The sounds that people hear in a report or a listening test, kept beside it as FLAC files.

Names say nothing: who takes a blind test may look at them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from spresso_assets.audio.write import write_wav
from spresso_assets.codec.config import SAMPLE_RATE
from spresso_assets.errors import SpressoError
from spresso_assets.evaluation.comparison import Comparison
from spresso_assets.evaluation.metrics import PEAK
from spresso_assets.evaluation.pictures import spectrogram_png
from spresso_assets.evaluation.sounds import Sound
from spresso_assets.evaluation.spectra import Signal
from spresso_assets.evaluation.systems import Audio, Entry, carry, mono48

ANCHOR = ("anchor", "3.5 kHz low-pass")
ANCHOR_HZ = 3500.0
SOURCE = ("", "")
Key = tuple[str, str]  # system, point


class Listening:
    """A folder of decodes by (sound, system, point), each with its spectrogram.

    All sounds of one source are scaled by the factor that brings the source to a peak of 0.7, so that differences in
    level stay.
    """

    def __init__(self, folder: Path, conditions: dict[str, Any], weights: Mapping[str, str] | None = None) -> None:
        """Files are made as they are wanted.

        Args:
            folder: of the files; must exist.
            conditions: of the measurement: others make other files.
            weights: of systems by name, see `systems.Entry`: so do these.
        """
        self.folder = folder
        self._conditions = json.dumps(conditions, sort_keys=True)
        self._weights = weights or {}

    def sound(self, name: str, key: Key = SOURCE) -> Path:
        """Where a decode, the source or the anchor belongs."""
        told = "\0".join((self._conditions, name, *key, self._weights.get(key[0], "")))
        return self.folder / f"{hashlib.sha256(told.encode(errors='surrogateescape')).hexdigest()[:16]}.flac"

    def picture(self, name: str, key: Key = SOURCE) -> Path:
        """Where its spectrogram belongs."""
        return self.sound(name, key).with_suffix(".png")

    def has(self, name: str, key: Key = SOURCE) -> bool:
        """Whether both are there; the sound is written last."""
        return self.sound(name, key).is_file()

    def keep(self, name: str, key: Key, x_N: Audio, gain: float) -> None:
        """Write sound and picture.

        Raises:
            SpressoError: ``cannot_write``, ``disk_full``.
        """
        scaled_N = (x_N * np.float32(gain)).astype(np.float32)
        try:
            self.picture(name, key).write_bytes(spectrogram_png(scaled_N))
        except OSError as error:
            raise SpressoError(f"{self.folder} cannot be written: {error.strerror}", code="cannot_write") from error
        write_wav(self.sound(name, key), scaled_N[None], SAMPLE_RATE, "PCM_16")


def fill(
    listening: Listening,
    entries: Sequence[Entry],
    sounds: Iterable[Sound],
    skip: Callable[[str, SpressoError], None],
    progress: Callable[[str], None],
) -> None:
    """Make what is missing of these sounds: the source, the anchor, and the decode of every entry.

    Decodes are made once more: to keep all of a measurement would take more space than the archive itself.
    """
    for name, audio_CN, rate in sounds:
        reference_N = mono48(audio_CN, rate)
        gain = PEAK / max(float(np.abs(reference_N).max(initial=0)), 1e-6)
        if not listening.has(name):
            listening.keep(name, SOURCE, reference_N, gain)
        if not listening.has(name, ANCHOR):
            listening.keep(name, ANCHOR, low_passed(reference_N, ANCHOR_HZ), gain)
        for entry in entries:
            if listening.has(name, entry.key):
                continue
            progress(f"{entry.system.name} {entry.point}: {name}")
            try:
                listening.keep(name, entry.key, carry(entry, reference_N)[0].decoded_N, gain)
            except SpressoError as error:
                skip(f"{name}, {entry.system.name} {entry.point}", error)


def low_passed(x_N: Signal, cutoff_hz: float) -> Audio:
    """The low anchor of ITU-R BS.1534-3: flat to the cutoff within 0.1 dB, down by 50 dB from 4/3 of it.

    Linear phase without delay: a raised cosine between both in the spectrum of the whole sound.
    """
    padded = len(x_N) + SAMPLE_RATE // 10
    hz_F = np.fft.rfftfreq(padded, 1 / SAMPLE_RATE)
    slope_F = np.clip((hz_F - cutoff_hz) / (cutoff_hz / 3), 0, 1)
    spectrum_F = np.fft.rfft(x_N, padded) * (0.5 + 0.5 * np.cos(np.pi * slope_F))
    return np.fft.irfft(spectrum_F, padded)[: len(x_N)].astype(np.float32)


def badness(comparison: Comparison) -> dict[str, float]:
    """Mean mel distance of each sound over the points that it has, worst first."""
    found: dict[str, list[float]] = {}
    for record in comparison.records:
        if (value := record["metrics"].get("mel_distance")) is not None:
            found.setdefault(record["sound"], []).append(value)
    means = {name: float(np.mean(values)) for name, values in found.items()}
    return dict(sorted(means.items(), key=lambda item: -item[1]))
