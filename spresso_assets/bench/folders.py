"""Folders of sounds to measure with: procedural sound effects, each of them different."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from spresso_assets.audio.procedural import CATALOGUE, synthesise
from spresso_assets.audio.write import write_wav

RATE = 48_000
TAKES = 40  # syntheses; every other sound is cut out of one of them


def write_folder(folder: Path, count: int, *, shortest_s: float, longest_s: float, seed: int = 0) -> float:
    """Write ``count`` mono WAV files (48 kHz, 16 bit) of uniformly distributed lengths.

    Returns:
        seconds of sound written.
    """
    rng = np.random.default_rng(seed)
    names = sorted(CATALOGUE)
    takes = [synthesise(names[n % len(names)], seed + n, 2 * longest_s)[:1] for n in range(min(count, TAKES))]
    total = 0
    for number in range(count):
        take_1N = takes[number % len(takes)]
        length = int(rng.uniform(shortest_s, longest_s) * RATE)
        start = int(rng.integers(0, take_1N.shape[1] - length))
        # a level of its own makes every cut another sound, even where the take is silent
        part_1N = take_1N[:, start : start + length] * (0.3 + 0.7 * rng.random()) + 1e-4 * rng.standard_normal(
            (1, length)
        )
        place = folder / f"{number // 500:03d}"
        place.mkdir(parents=True, exist_ok=True)
        write_wav(place / f"sound {number}.wav", part_1N.astype(np.float32), RATE, "PCM_16")
        total += length
    return total / RATE
