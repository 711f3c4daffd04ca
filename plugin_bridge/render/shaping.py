"""From what the decoder gives to what was asked for: channels, rate, part and gain, block by block."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from plugin_bridge.render.sounds import Samples
from plugin_bridge.render.takes import Take
from spresso_assets.audio.resample import resample_blocks


def shaped(blocks: Iterable[NDArray[np.float32]], take: Take) -> Iterator[Samples]:
    """Decoded blocks [C, n] at the rate of the source -> blocks float32 [n, channels] of the take, ``frames`` in all.

    Nothing is decoded that lies behind the part that is wanted.
    """
    mixed = (_mixed(block, take.channels) for block in blocks)
    gain = np.float32(10 ** (take.gain_db / 20))
    at, stop = 0, take.start + take.frames
    for block_CN in resample_blocks(mixed, take.channels, take.source_rate, take.sample_rate):
        first, last = max(take.start - at, 0), min(stop - at, block_CN.shape[1])
        at += block_CN.shape[1]
        if first < last:
            part_NC = np.ascontiguousarray(block_CN[:, first:last].T)
            yield part_NC if take.gain_db == 0 else part_NC * gain
        if at >= stop:
            return


def _mixed(block_CN: NDArray[np.float32], channels: int) -> NDArray[np.float32]:
    """To one channel, the mean; to two, the first two, or the one twice."""
    have = len(block_CN)
    if channels == have:
        return block_CN
    if channels == 1:
        return block_CN.mean(0, keepdims=True, dtype=np.float32)
    return block_CN[:2] if have > 2 else np.repeat(block_CN, 2, 0)
