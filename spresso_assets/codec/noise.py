"""Noise as a function of (seed, stream, absolute frame, channel): the same for any chunking and any device.

Philox is a counter-based generator, so the noise of frame one million is reached without drawing what precedes it
(Salmon et al. 2011).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

LATENT_STREAM = 0  # starting point of the sampler
WAVEFORM_STREAM = 1  # noise part of the decoder
_BLOCK_FRAMES = 64
_WORD = 2**64


def frame_noise(seed: int, stream: int, start: int, frames: int, width: int) -> NDArray[np.float32]:
    """Standard normal noise for frames ``start`` .. ``start + frames``: float32 [frames, width].

    Args:
        seed: any integer; taken modulo 2^64.
        stream: independent noise for another purpose under the same seed.
    """
    first, last = start // _BLOCK_FRAMES, -(-(start + frames) // _BLOCK_FRAMES)
    blocks = [
        np.random.Generator(
            np.random.Philox(key=np.array([seed % _WORD, stream], dtype=np.uint64), counter=[0, 0, 0, block])
        ).standard_normal((_BLOCK_FRAMES, width), dtype=np.float32)
        for block in range(first, last)
    ]
    offset = start - first * _BLOCK_FRAMES
    return np.concatenate(blocks)[offset : offset + frames]
