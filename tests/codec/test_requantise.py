"""Stored latents quantised later: the stream that encoding gives, but for latents that were rounded to 16 bits."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from spresso_assets.codec.bitstream import pack, read_header, unpack
from spresso_assets.codec.codec import SPresso
from spresso_assets.errors import SpressoError


@pytest.fixture(scope="module")
def codec(tiny_bundle: Path) -> SPresso:
    return SPresso.load(tiny_bundle)


def sounds() -> list[tuple[np.ndarray, int]]:
    random = np.random.default_rng(0)
    lengths = (0.2, 1.3, 3.1)
    return [((0.1 * random.standard_normal((2, int(s * 16_000)))).astype(np.float32), 16_000) for s in lengths]


@pytest.mark.parametrize("mode", ["mono", "dual", "parametric"])
def test_it_is_what_encoding_gives_but_for_ties(codec: SPresso, mode: str) -> None:
    stored = codec.encode_many(sounds(), "25hz", mode)
    made = codec.requantise(stored, "2.5kbps")
    wanted = codec.encode_many(sounds(), "2.5kbps", mode)
    equal = total = 0
    for ours, theirs in zip(made, wanted, strict=True):
        assert replace(read_header(ours), coded=False) == replace(read_header(theirs), coded=False)
        a, b = unpack(ours, codec.entropy)[1], unpack(theirs, codec.entropy)[1]
        equal, total = equal + int((a == b).sum()), total + a.size
    assert equal / total > 0.95
    assert [codec.requantise([one], "2.5kbps")[0] for one in stored] == made, "together as one by one"


def test_silence_stays_silent(codec: SPresso) -> None:
    stored = codec.encode(np.zeros((1, 8000), np.float32), 16_000, "25hz")
    (made,) = codec.requantise([stored], "2.5kbps")
    assert made == codec.encode(np.zeros((1, 8000), np.float32), 16_000, "2.5kbps")


@pytest.mark.parametrize(
    ("stored_at", "point", "code"),
    [
        ("2.5kbps", "2.5kbps", "not_quantisable"),
        ("11hz", "2.5kbps", "not_quantisable"),
        ("25hz", "25hz", "not_quantisable"),
    ],
)
def test_only_latents_of_the_same_rate_become_codes(codec: SPresso, stored_at: str, point: str, code: str) -> None:
    stored = codec.encode_many(sounds()[:1], stored_at)
    with pytest.raises(SpressoError, match=code):
        codec.requantise(stored, point)


def test_another_models_latents_are_refused(codec: SPresso) -> None:
    (stored,) = codec.encode_many(sounds()[:1], "25hz")
    header, z = unpack(stored)
    with pytest.raises(SpressoError, match="wrong_model"):
        codec.requantise([pack(replace(header, model_id="000000"), z)], "2.5kbps")
