"""A sound's outline in one or more lines of text, drawn from the peaks that the catalog keeps."""

from __future__ import annotations

from itertools import pairwise

BLOCKS = " ▁▂▃▄▅▆▇█"


def outline(peaks: bytes, width: int = 64) -> str:
    """One line of blocks: how loud the sound is over its length.

    Args:
        peaks: int8 (lowest, highest) pairs over equal parts of the sound.
        width: characters.
    """
    pairs = memoryview(peaks).cast("b").tolist()
    heights = [max(abs(low), abs(high)) for low, high in zip(pairs[::2], pairs[1::2], strict=True)]
    if not heights:
        return ""
    width = min(width, len(heights))
    bounds = [len(heights) * n // width for n in range(width + 1)]
    loudest = [max(heights[a:b]) for a, b in pairwise(bounds)]
    return "".join(BLOCKS[-(-height * (len(BLOCKS) - 1) // 128)] for height in loudest)
