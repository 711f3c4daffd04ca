"""Sizes of convolutional codecs: SoundStream's, and EnCodec's, which has the same skeleton."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

NAME, SYSTEM = "soundstream", 32


@dataclass(frozen=True)
class SeanetConfig:
    """Sizes of encoder, decoder and residual quantizer.

    Attributes:
        sample_rate: hertz. channels: of the audio.
        width: channels after the first convolution; they double with every stride.
        strides: of the encoder's blocks; their product is the samples per frame.
        kernel: of residual units. dilations: one unit each. compress: by how much a unit is narrower inside.
        recurrent: layers of LSTM beside the codes, in encoder and decoder.
        causal: padding before only, so that sound can stream; else on both sides, with layers normalised over time.
        dim: numbers per frame that are quantised. codebooks, bits: of the quantizer.
        denoise: where a condition can be given that takes noise away, if anywhere.
        offered: numbers of codebooks of the operating points.
    """

    sample_rate: int = 24_000
    channels: int = 1
    width: int = 16
    strides: tuple[int, ...] = (2, 4, 5, 8)
    kernel: int = 7
    dilations: tuple[int, ...] = (1, 3, 9)
    compress: int = 1
    recurrent: int = 0
    causal: bool = True
    dim: int = 48
    codebooks: int = 24
    bits: int = 10
    denoise: Literal["none", "encoder", "decoder"] = "encoder"
    offered: tuple[int, ...] = (4, 8, 16, 24)

    @property
    def hop(self) -> int:
        """Samples per frame."""
        return math.prod(self.strides)

    def kbps(self, codebooks: int) -> float:
        """Rate of so many codebooks, without head and check."""
        return codebooks * self.bits * self.sample_rate / self.hop / 1000


PRESETS = {
    "small": SeanetConfig(),
    "tiny": SeanetConfig(width=4, strides=(2, 4), dilations=(1, 3), dim=8, codebooks=4, bits=4, offered=(1, 2, 4)),
}
