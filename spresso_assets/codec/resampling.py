"""Sample-rate conversion of a stream (soxr HQ: -137 dB aliases). How the stream is cut into blocks leaves no trace."""

from __future__ import annotations

import numpy as np
import soxr
from numpy.typing import NDArray

Audio = NDArray[np.float32]


class Resampler:
    """Blocks [C, n] at ``source`` Hz in, blocks [C, m] at ``target`` Hz out; m may be 0 while the filter fills."""

    def __init__(self, channels: int, source: int, target: int) -> None:
        self._channels = channels
        same = source == target
        self._stream = None if same else soxr.ResampleStream(source, target, channels, dtype="float32", quality="HQ")

    def feed(self, audio_CN: Audio) -> Audio:
        """What has become ready with these samples."""
        if self._stream is None:
            return audio_CN
        return self._converted(audio_CN, last=False)

    def finish(self) -> Audio:
        """What was still in the filter. The total is N * target / source samples, rounded either way."""
        nothing = np.zeros((self._channels, 0), np.float32)
        return nothing if self._stream is None else self._converted(nothing, last=True)

    def _converted(self, audio_CN: Audio, *, last: bool) -> Audio:
        assert self._stream is not None
        # soxr takes one channel as a plain vector only.
        block = np.ascontiguousarray(audio_CN[0] if self._channels == 1 else audio_CN.T)
        out = self._stream.resample_chunk(block, last=last)
        return np.asarray(out[None] if self._channels == 1 else out.T, np.float32)
