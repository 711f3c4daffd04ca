"""The hand-made embedding and its distances, on distributions whose distance is known."""

from __future__ import annotations

import numpy as np
import pytest

from spresso_assets.evaluation.embedding import DIMENSIONS, Whitening, embed, frechet_distance, kernel_distance


def test_one_vector_per_half_second_and_at_least_one() -> None:
    rng = np.random.default_rng(0)
    for seconds, rows in ((0.1, 1), (1.0, 1), (1.6, 3), (5.0, 9)):
        vectors = embed((0.1 * rng.standard_normal(round(seconds * 48_000))).astype(np.float32))
        assert vectors.shape == (rows, DIMENSIONS), seconds
        assert np.isfinite(vectors).all()
    assert np.isfinite(embed(np.zeros(4800, np.float32))).all()


def test_modulation_is_seen_in_its_band() -> None:
    time = np.arange(48_000) / 48_000
    carrier = np.random.default_rng(0).standard_normal(48_000)
    modulation = slice(3 * 64, 3 * 64 + 8)
    slow, fast = (embed((0.1 * carrier * (1 + 0.9 * np.sin(2 * np.pi * f * time))).astype(np.float32)) for f in (3, 30))
    assert slow[0, modulation].argmax() == 0 or slow[0, modulation].argmax() == 1
    assert fast[0, modulation].argmax() == 6


def test_whitening_makes_the_reference_round() -> None:
    rng = np.random.default_rng(0)
    mixed = rng.standard_normal((500, 12)) @ rng.standard_normal((12, 12)) + 7
    white = Whitening.of(mixed, dimensions=8)(mixed)
    assert white.shape == (500, 8)
    assert white.mean(0) == pytest.approx(0, abs=1e-9)
    assert np.cov(white.T) == pytest.approx(np.eye(8), abs=1e-6)


def test_few_vectors_get_few_dimensions() -> None:
    few = np.random.default_rng(0).standard_normal((20, 205))
    assert Whitening.of(few)(few).shape == (20, 5)


def test_a_single_vector_whitens_without_infinities() -> None:
    one = np.random.default_rng(0).standard_normal((1, 205))
    assert np.isfinite(Whitening.of(one)(one + 1)).all()


def test_frechet_distance_of_gaussians() -> None:
    rng = np.random.default_rng(0)
    base = rng.standard_normal((4000, 3))
    assert frechet_distance(base, base) == pytest.approx(0, abs=1e-9)
    assert frechet_distance(base + np.array([2, 0, 0]), base) == pytest.approx(4, abs=1e-6)
    # Equal means, deviations 3 and 1 in three directions: 3 (3 - 1)^2.
    assert frechet_distance(3 * (base - base.mean(0)), base - base.mean(0)) == pytest.approx(12, rel=0.05)


def test_kernel_distance_is_about_zero_for_takes_of_one_set_and_not_for_another() -> None:
    rng = np.random.default_rng(0)
    sounds = np.repeat(np.arange(150), 2)
    reference, take = rng.standard_normal((2, 300, 4))
    assert abs(kernel_distance(take, reference, sounds)) < 1
    assert kernel_distance(take + 1, reference, sounds) > 10
    # Paired sets share each sound's character; that must not count as likeness of the sets.
    character = np.repeat(rng.standard_normal((150, 4)), 2, axis=0)
    paired = kernel_distance(character + 0.1 * take, character + 0.1 * reference, sounds)
    assert abs(paired) < 0.3
    with pytest.raises(ValueError, match="two sounds"):
        kernel_distance(take, reference, np.zeros(300, np.int64))
