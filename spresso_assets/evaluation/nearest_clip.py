"""A system that knows nothing but other sounds: it sends the number of the most similar clip of a library.

Given the clips that a codec was trained on it shows what remembering alone would get, at hardly any bits. A codec that
is not clearly better has memorised its training set, or the test set stands in it.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from spresso_assets.codec.config import SAMPLE_RATE
from spresso_assets.errors import ExitCode, SpressoError
from spresso_assets.evaluation.embedding import Whitening, embed
from spresso_assets.evaluation.likeness import clip_vector, nearest
from spresso_assets.evaluation.metrics import PEAK
from spresso_assets.evaluation.sounds import Sound
from spresso_assets.evaluation.systems import Audio, mono48

STREAM = struct.Struct("<IIf")  # clip, samples, RMS level


@dataclass(frozen=True)
class _Whole:
    name: str
    kbps: float


class NearestClip:
    """As `systems.System`; likeness by the hand-made embedding, standardised over the library."""

    name = "nearest-clip"
    sample_rate = SAMPLE_RATE
    channels = (1,)

    def __init__(self, library: Iterable[Sound]) -> None:
        """Look at every clip; all of them stay in memory.

        Raises:
            SpressoError: ``no_sounds`` for an empty library.
        """
        self._clips = [clip_N for _, audio_CN, rate in library if (clip_N := mono48(audio_CN, rate)).any()]
        if not self._clips:
            raise SpressoError(
                "the library for the nearest clip holds no sounds",
                code="no_sounds",
                hint="Name a folder of sounds.",
                exit_code=ExitCode.NOT_FOUND,
            )
        windows = [embed(_scaled(clip_N)) for clip_N in self._clips]
        self._whiten = Whitening.entrywise(np.concatenate(windows))
        self._vectors_TE = np.stack([clip_vector(self._whiten(found)) for found in windows])

    def points(self) -> list[_Whole]:
        """One, of no rate to speak of."""
        return [_Whole("nearest clip", 0.0)]

    def encode(self, audio_CN: Audio, kbps: float) -> bytes:
        """As `systems.System`."""
        vector_E = clip_vector(self._whiten(embed(_scaled(audio_CN[0]))))
        index, _ = nearest(vector_E, self._vectors_TE)
        return STREAM.pack(index, audio_CN.shape[1], _rms(audio_CN[0]))

    def decode(self, data: bytes) -> Audio:
        """The clip, repeated or cut to the length, at the level of the source."""
        index, samples, level = STREAM.unpack(data)
        sound_N = np.resize(self._clips[index], samples)
        return (sound_N * np.float32(level / max(_rms(sound_N), 1e-9)))[None].astype(np.float32)


def _scaled(x_N: Audio) -> Audio:
    return (x_N * np.float32(PEAK / max(float(np.abs(x_N).max(initial=0)), 1e-6))).astype(np.float32)


def _rms(x_N: Audio) -> float:
    return float(np.sqrt(np.square(x_N, dtype=np.float64).mean())) if len(x_N) else 0.0
