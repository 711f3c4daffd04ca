"""The catalogue that recipes for synthetic sounds enter themselves into.

A recipe takes a random generator and a length in samples and returns float64 of shape [N] (mono) or [2, N]. It needs
no care for level or edges, because `procedural.synthesise` sees to both.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from spresso_assets.audio.ingredients import Rng, Signal

Recipe = Callable[[Rng, int], Signal]


@dataclass(frozen=True)
class Kind:
    """What a recipe makes, for file metadata and for training captions, and the range of its natural length."""

    description: str
    seconds: tuple[float, float]


CATALOGUE: dict[str, Recipe] = {}
KINDS: dict[str, Kind] = {}


def recipe(description: str, seconds: tuple[float, float]) -> Callable[[Recipe], Recipe]:
    """Enter a function into the catalogue under its own name, with the range of its natural length."""

    def enter(function: Recipe) -> Recipe:
        name = function.__name__
        CATALOGUE[name] = function
        KINDS[name] = Kind(description, seconds)
        return function

    return enter
