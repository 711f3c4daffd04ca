"""A waveform at a glance: minima and maxima of at most 512 stretches of a sound."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

COLUMNS = 512


class Overview:
    """Collects extremes while a sound streams past.

    With a known length every column covers its exact share. Without one, columns start narrow and merge in pairs
    whenever they run out, which ends with 257 to 512 of them.
    """

    def __init__(self, frames: int | None) -> None:
        self._frames_known = frames is not None
        columns = min(COLUMNS, frames) if frames is not None else 2 * COLUMNS
        total = frames if frames is not None else 2 * COLUMNS
        self._edges = np.arange(columns + 1, dtype=np.int64) * total // max(columns, 1)
        self._low = np.full(columns, np.inf, np.float32)
        self._high = np.full(columns, -np.inf, np.float32)
        self._at = 0
        self.low = self.high = 0.0

    def add(self, x_NC: NDArray[np.float32]) -> None:
        """Take the next samples [n, C]; all channels share a column."""
        if not len(x_NC):
            return
        while not self._frames_known and self._at + len(x_NC) > self._edges[-1]:
            self._merge()
            self._edges *= 2
        channels = x_NC.shape[1]
        first = int(np.searchsorted(self._edges, self._at, "right")) - 1
        last = int(np.searchsorted(self._edges, self._at + len(x_NC), "left"))
        starts = np.maximum(self._edges[first:last] - self._at, 0) * channels
        flat = np.ascontiguousarray(x_NC).reshape(-1)
        lows, highs = np.minimum.reduceat(flat, starts), np.maximum.reduceat(flat, starts)
        # The first column may have begun in the block before.
        if self._at > self._edges[first]:
            lows[0], highs[0] = min(lows[0], self._low[first]), max(highs[0], self._high[first])
        self._low[first:last], self._high[first:last] = lows, highs
        self.low, self.high = min(self.low, float(lows.min())), max(self.high, float(highs.max()))
        self._at += len(x_NC)

    def _merge(self) -> None:
        half = len(self._low) // 2
        low = np.minimum(self._low[0::2], self._low[1::2])
        high = np.maximum(self._high[0::2], self._high[1::2])
        self._low, self._high = np.full_like(low, np.inf, shape=2 * half), np.full_like(high, -np.inf, shape=2 * half)
        self._low[:half], self._high[:half] = low, high

    def to_bytes(self) -> bytes:
        """int8 pairs (min, max), 127 being full scale; rounded outwards, so that only true silence looks silent."""
        used = int(np.searchsorted(self._edges, self._at, "left"))
        if used > COLUMNS:
            self._merge()
            used = (used + 1) // 2
        pairs = np.stack([np.floor(self._low[:used] * 127), np.ceil(self._high[:used] * 127)], axis=1)
        return np.clip(pairs, -127, 127).astype(np.int8).tobytes()
