"""A stretch of a long signal that moves forward: what chunked processing with context needs to hold, and no more."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

Block = NDArray[np.float32]


class Rolling:
    """Reads blocks [B, n, ...] as they are asked for; what lies before the last `take` is forgotten.

    Beyond the end of the blocks the signal goes on as zeros.
    """

    def __init__(self, blocks: Iterable[Block]) -> None:
        self._blocks = iter(blocks)
        self._held: list[Block] = []
        self._start = self._stop = 0

    def take(self, start: int, stop: int) -> Block:
        """Samples ``start`` .. ``stop`` along axis 1; ``start`` must not be smaller than in the call before."""
        if start < self._start:
            raise ValueError(f"samples from {start} are forgotten, those from {self._start} are held")
        while self._stop < stop or not self._held:
            block = next(self._blocks, None)
            if block is None:
                break
            self._held.append(block)
            self._stop += block.shape[1]
        held = self._held[0] if len(self._held) == 1 else np.concatenate(self._held, 1)
        held = held[:, start - self._start :]
        self._held, self._start = [held], min(start, self._stop)
        missing = stop - max(self._stop, start)
        taken = held[:, : stop - start]
        return np.pad(taken, [(0, 0), (0, missing), *[(0, 0)] * (taken.ndim - 2)]) if missing > 0 else taken
