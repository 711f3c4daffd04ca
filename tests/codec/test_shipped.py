"""The bundle that ships: small enough, complete, and telling sounds apart at every operating point."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from spresso_assets.audio.procedural import synthesise
from spresso_assets.codec.bundle import CARD, WEIGHTS, default_bundle, read_config
from spresso_assets.codec.codec import SPresso
from spresso_assets.codec.config import OPERATING_POINTS
from spresso_assets.codec.stft import LogMel

KINDS = ("rain", "door", "laser", "glass")


@pytest.fixture(scope="module")
def shipped() -> SPresso:
    return SPresso.load(default_bundle())


@pytest.fixture(scope="module")
def sounds() -> list[np.ndarray]:
    return [synthesise(kind, 4242, 1.5)[:1] for kind in KINDS]


def _distance(a_CN: np.ndarray, b_CN: np.ndarray) -> float:
    """Mean |log10 mel power| difference; 0.1 is one decibel."""
    mel = LogMel(2048, 512, 2048, 96, 48_000, 20, 24_000, 1e-9)
    length = a_CN.shape[1] // 512 * 512
    pair_2N = torch.from_numpy(np.stack([a_CN[0, :length], b_CN[0, :length]]))
    a_TM, b_TM = mel(pair_2N)
    return float((a_TM - b_TM).abs().mean())


def test_it_is_complete_and_small() -> None:
    bundle = default_bundle()
    _, facts = read_config(bundle)
    assert facts["trained"] is True
    assert (bundle / WEIGHTS).stat().st_size <= 64e6
    card = (bundle / CARD).read_text(encoding="utf-8")
    assert facts["weights_sha256"][:12] in card
    sources = Path(__file__).resolve().parents[2] / "spresso_assets" / "models" / "small" / CARD
    assert "CC-BY-SA" in sources.read_text(encoding="utf-8")


@pytest.mark.parametrize("point", OPERATING_POINTS)
def test_a_decode_is_far_closer_to_its_source_than_to_any_other_sound(
    shipped: SPresso, sounds: list[np.ndarray], point: str
) -> None:
    streams = shipped.encode_many([(s, 48_000) for s in sounds], point)
    decoded = [shipped.decode(stream, seed=1)[0] for stream in streams]
    for i, sound in enumerate(sounds):
        own = _distance(decoded[i], sound)
        others = [_distance(d, sound) for j, d in enumerate(decoded) if j != i]
        assert own < 0.6 and own < 0.7 * min(others), (KINDS[i], point, own, others)


def test_variations_differ_and_repeat(shipped: SPresso, sounds: list[np.ndarray]) -> None:
    stream = shipped.encode(sounds[0], 48_000, "1.32kbps")
    first, again, other = (shipped.decode(stream, seed=s)[0] for s in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    correlation = float(np.corrcoef(first[0], other[0])[0, 1])
    assert abs(correlation) < 0.5  # another take of the rain, not the same one again
    assert _distance(first, other) < 0.35
