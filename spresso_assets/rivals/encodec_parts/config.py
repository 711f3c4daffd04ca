"""Sizes of the EnCodec-like codec and of its prior."""

from __future__ import annotations

from dataclasses import dataclass

from spresso_assets.rivals.soundstream.config import SeanetConfig

NAME, SYSTEM = "encodec-ours", 33


@dataclass(frozen=True)
class PriorConfig:
    """Sizes of the Transformer over codes.

    Attributes:
        dim, layers, heads: feed-forward layers are four times as wide as ``dim``.
        context: frames that a frame may look back at.
        codebooks, bits: of the codes.
    """

    dim: int = 48
    layers: int = 3
    heads: int = 4
    context: int = 256
    codebooks: int = 8
    bits: int = 10


PRESETS = {
    "small": SeanetConfig(
        sample_rate=48_000,
        channels=2,
        width=12,
        kernel=3,
        dilations=(1,),
        compress=2,
        recurrent=2,
        causal=False,
        dim=48,
        codebooks=8,
        denoise="none",
        offered=(1, 2, 4, 8),
    ),
    "tiny": SeanetConfig(
        sample_rate=48_000,
        channels=2,
        width=4,
        strides=(4, 8, 15),
        kernel=3,
        dilations=(1,),
        compress=2,
        recurrent=1,
        causal=False,
        dim=8,
        codebooks=4,
        bits=4,
        denoise="none",
        offered=(1, 2, 4),
    ),
}
PRIORS = {"small": PriorConfig(), "tiny": PriorConfig(dim=16, layers=2, heads=2, codebooks=4, bits=4)}
