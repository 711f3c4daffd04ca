"""Likeness of sounds, against loops over pairs and answers known beforehand."""

from __future__ import annotations

import numpy as np
import pytest

from spresso_assets.evaluation.likeness import clip_vector, found_first, nearest, own_similarity, similarities


def test_cosines_equal_those_of_a_loop() -> None:
    rng = np.random.default_rng(0)
    a_SE, b_TE = rng.standard_normal((5, 7)), rng.standard_normal((4, 7))
    slow = [[float(a @ b / np.sqrt((a @ a) * (b @ b))) for b in b_TE] for a in a_SE]
    assert similarities(a_SE, b_TE) == pytest.approx(np.array(slow))
    assert own_similarity(a_SE[:4], b_TE) == pytest.approx([slow[n][n] for n in range(4)])
    assert similarities(np.zeros((1, 7)), b_TE) == pytest.approx(0)


def test_retrieval_counts_decodes_that_find_their_source() -> None:
    sources = np.eye(4)
    decodes = sources + 0.1
    decodes[2] = [0, 1, 0.5, 0]  # is more like the second source
    assert found_first(decodes, sources).tolist() == [1, 1, 0, 1]
    assert found_first(np.ones((4, 4)), sources).tolist() == [0, 0, 0, 0]  # like all is like none
    # Decodes that know nothing find their source once in as many as there are.
    rng = np.random.default_rng(0)
    chance = [found_first(rng.standard_normal((10, 3)), rng.standard_normal((10, 3))).mean() for _ in range(300)]
    assert np.mean(chance) == pytest.approx(0.1, abs=0.02)


def test_the_nearest_clip_is_the_one_that_was_remembered() -> None:
    rng = np.random.default_rng(0)
    library = rng.standard_normal((50, 16))
    index, cosine = nearest(3 * library[17] + 0.01 * rng.standard_normal(16), library)
    assert index == 17 and cosine == pytest.approx(1, abs=1e-3)
    with pytest.raises(ValueError, match="at least one"):
        nearest(library[0], library[:0])


def test_a_clip_is_the_mean_of_its_windows() -> None:
    assert clip_vector(np.array([[0.0, 2.0], [4.0, 2.0]])).tolist() == [2, 2]
