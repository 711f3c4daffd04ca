"""Which sound a decode resembles: its own source, another one, or something that a model has memorised.

Axes: S sounds, W windows, E entries of an embedding.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.float64]


def clip_vector(windows_WE: Vectors) -> Vectors:
    """One vector for a sound: the mean over its windows, [E]."""
    return np.asarray(windows_WE.mean(0))


def similarities(a_SE: Vectors, b_TE: Vectors) -> Vectors:
    """Cosines of all pairs, [S, T], -1 to 1; a vector of zeros is like nothing, 0."""
    a_SE, b_TE = (x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12) for x in (a_SE, b_TE))
    return a_SE @ b_TE.T


def own_similarity(decoded_SE: Vectors, reference_SE: Vectors) -> Vectors:
    """Cosine of each decode with its own source, [S] (CLAP similarity, with CLAP's embedding)."""
    return np.asarray(np.diagonal(similarities(decoded_SE, reference_SE)))


def found_first(decoded_SE: Vectors, reference_SE: Vectors) -> Vectors:
    """1 for each decode that is more like its own source than like any other of the set, else 0, [S].

    The mean is retrieval R@1. It depends on the number of sounds: compare sets of one size only. Equally like two
    sources counts as not found.
    """
    all_ST = similarities(decoded_SE, reference_SE)
    own_S = np.diagonal(all_ST).copy()
    np.fill_diagonal(all_ST, -np.inf)
    return (own_S > all_ST.max(1, initial=-np.inf)).astype(np.float64)


def nearest(vector_E: Vectors, library_TE: Vectors) -> tuple[int, float]:
    """Index and cosine of the clip of a library that is most like a sound.

    A decode that is nearer to a training clip than to its own source has been remembered, not coded.

    Raises:
        ValueError: an empty library.
    """
    if not len(library_TE):
        raise ValueError("a library needs at least one clip")
    like_T = similarities(vector_E[None], library_TE)[0]
    best = int(like_T.argmax())
    return best, float(like_T[best])
