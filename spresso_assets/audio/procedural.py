"""Sound effects from nothing: a catalogue of recipes, each strongly varied by its seed.

They fill the demo archive, give training material without any licence, and serve as test signals with known content.
`synthesise(name, seed)` is a pure function: the same name, seed and length give the same samples on one numpy version.
"""

from __future__ import annotations

import zlib

import numpy as np
from numpy.typing import NDArray

# Importing the recipes is what fills the catalogue.
from spresso_assets.audio import recipes_places, recipes_things
from spresso_assets.audio.ingredients import bandpass, fade, seconds_to_samples
from spresso_assets.audio.recipe_book import CATALOGUE, KINDS, Kind, Recipe
from spresso_assets.errors import ExitCode, SpressoError

__all__ = ["CATALOGUE", "KINDS", "Kind", "Recipe", "recipes_places", "recipes_things", "synthesise"]


def synthesise(name: str, seed: int, seconds: float | None = None) -> NDArray[np.float32]:
    """Make one sound.

    Args:
        name: a key of `CATALOGUE`.
        seed: any non-negative integer; each gives another member of the family.
        seconds: length; left out, the recipe's natural length for that seed.

    Returns:
        float32 [1 or 2, N] at 48 kHz, peak between -12 and -1 dBFS, nothing non-finite.

    Raises:
        SpressoError: `unknown_sound` for a name that is not in the catalogue.
    """
    if name not in CATALOGUE:
        raise SpressoError(
            f"there is no procedural sound named {name!r}",
            code="unknown_sound",
            hint=f"Choose one of: {', '.join(sorted(CATALOGUE))}.",
            exit_code=ExitCode.NOT_FOUND,
        )
    rng = np.random.default_rng([zlib.crc32(name.encode()), seed])
    natural = rng.uniform(*KINDS[name].seconds)
    n = seconds_to_samples(natural if seconds is None else seconds)
    raw = np.atleast_2d(CATALOGUE[name](rng, n))
    level = 10 ** (rng.uniform(-12.0, -1.0) / 20)
    # Below 20 Hz nothing is heard, but it would take headroom and move the cone.
    raw = np.stack([fade(bandpass(channel, 20.0, np.inf)) for channel in raw])
    return (raw * level / max(float(np.abs(raw).max()), 1e-9)).astype(np.float32)
