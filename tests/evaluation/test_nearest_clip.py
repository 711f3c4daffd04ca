"""The floor that remembers: it finds a clip that it knows, at the level and length of what it was given."""

from __future__ import annotations

import numpy as np
import pytest

from spresso_assets.errors import SpressoError
from spresso_assets.evaluation.metrics import compare
from spresso_assets.evaluation.nearest_clip import NearestClip
from spresso_assets.evaluation.systems import entries, mono48
from tests.evaluation.rough import sounds


def test_a_clip_of_the_library_is_found_at_any_level() -> None:
    library = sounds(12)
    system = NearestClip(library)
    (entry,) = entries([system])
    for _, audio_CN, rate in library[:4]:
        given_N = 0.1 * mono48(audio_CN, rate)
        data = system.encode(given_N[None], entry.kbps)
        decoded_CN = system.decode(data)
        assert decoded_CN.shape == (1, len(given_N)) and len(data) == 12
        assert compare(decoded_CN[0], given_N)["mel_distance"] < 1e-3


def test_a_longer_sound_gets_its_clip_repeated() -> None:
    system = NearestClip(sounds(3))
    given = np.tile(mono48(*sounds(3)[1][1:]), 3)[None]
    assert system.decode(system.encode(given, 0.0)).shape == given.shape


def test_an_empty_library_is_one_clear_error() -> None:
    with pytest.raises(SpressoError, match="no_sounds"):
        NearestClip([("silence", np.zeros((1, 4800), np.float32), 48_000)])
