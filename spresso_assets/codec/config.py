"""Every size of the codec in one place: frozen dataclasses, named presets, operating points. No torch here.

The geometry is the paper's (S-PRESSO, section 3): 48 kHz audio, STFT 960/480, 128 latent channels at 100 Hz, codes at
100/t Hz for t = 4, 9, 20, 100. The presets differ in width, in how the 128 channels are made, and in whether the four
frame rates share one adapter.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, field
from typing import Any

from spresso_assets.codec.quantizer_config import QuantizerConfig

SAMPLE_RATE = 48_000
HOP = 480  # samples per latent frame: 100 Hz


@dataclass(frozen=True)
class OperatingPoint:
    """One named point on the rate axis: a frame rate, and continuous latents or M codebooks of 2^bits entries.

    Attributes:
        name: profile name, for example ``1.32kbps``.
        rate: name of the frame rate, ``25hz`` ... ``1hz``; selects adapter heads and quantizer.
        pool: latent frames per token, t in the paper.
        codebooks: M, or None for continuous latents (stored as float16).
        bits: log2 K of each codebook; 0 for continuous latents.
    """

    name: str
    rate: str
    pool: int
    codebooks: int | None = None
    bits: int = 0

    @property
    def frame_rate_hz(self) -> float:
        return SAMPLE_RATE / HOP / self.pool

    def nominal_kbps(self, dim: int = 64) -> float:
        """Payload bit rate without the container, in kbit/s (paper: M log2 K 100/t)."""
        bits_per_token = 16 * dim if self.codebooks is None else self.codebooks * self.bits
        return bits_per_token * self.frame_rate_hz / 1000


OPERATING_POINTS: dict[str, OperatingPoint] = {
    p.name: p
    for p in (
        OperatingPoint("25hz", "25hz", 4),
        OperatingPoint("11hz", "11hz", 9),
        OperatingPoint("5hz", "5hz", 20),
        OperatingPoint("1hz", "1hz", 100),
        OperatingPoint("2.5kbps", "25hz", 4, 10, 10),
        OperatingPoint("1.32kbps", "11hz", 9, 12, 10),
        OperatingPoint("0.48kbps", "5hz", 20, 8, 12),
        OperatingPoint("0.3kbps", "1hz", 100, 25, 12),
        OperatingPoint("0.096kbps", "1hz", 100, 8, 12),
    )
}

POOLS: dict[str, int] = {"25hz": 4, "11hz": 9, "5hz": 20, "1hz": 100}


@dataclass(frozen=True)
class AutoencoderConfig:
    """AudioAE: 48 kHz waveform <-> ``channels`` latent channels at 100 Hz.

    ``encoder='conv'`` is the paper's mirrored Vocos on the complex STFT. ``encoder='logmel'`` is a fixed analysis
    (standardised log-mel energies): smooth, compressive latents that a diffusion model learns within hours; the
    decoder then re-creates phase, and its output is pulled onto the very mel energies that it was asked for.
    """

    channels: int = 128
    encoder: str = "logmel"
    n_fft: int = 960  # synthesis (and conv-encoder) frame
    width: int = 256
    hidden: int = 768
    depth: int = 8
    kernel: int = 7
    # log-mel analysis
    analysis_window: int = 1440
    analysis_fft: int = 2880
    f_min: float = 20.0
    f_max: float = 24_000.0
    power_floor: float = 1e-9  # -90 dB re a full-scale sine's mel power
    refine_steps: int = 4
    # conv encoder
    compression: float = 0.5
    lapped_start: bool = True  # a linear path beside the network that starts as a lapped transform of the low band


@dataclass(frozen=True)
class TransformerConfig:
    """DiT: ``mm_blocks`` multimodal blocks (text, audio-down, audio), then ``audio_blocks`` on audio alone."""

    channels: int = 128
    dim: int = 256
    head_dim: int = 64
    patch: int = 4
    mm_blocks: int = 6
    audio_blocks: int = 6
    mlp_ratio: int = 4
    text_dim: int = 512  # CLAP embedding
    text_width: int = 64
    adaln_single: bool = True  # one modulation projection plus a bias per block (PixArt-alpha); False: one per block
    rates: tuple[str, ...] = ("25hz", "11hz", "5hz", "1hz")
    code_dim: int = 64
    lora_rank: int = 0

    @property
    def heads(self) -> int:
        return self.dim // self.head_dim


@dataclass(frozen=True)
class LatentEncoderConfig:
    """g_psi: x0 -> transformer -> ``code_dim`` -> average pool by t."""

    channels: int = 128
    dim: int = 192
    head_dim: int = 64
    blocks: int = 6
    patch: int = 4
    mlp_ratio: int = 4
    code_dim: int = 64
    rates: tuple[str, ...] = ("25hz", "11hz", "5hz", "1hz")


@dataclass(frozen=True)
class ModelConfig:
    """A whole codec: what a bundle's config.json holds."""

    name: str
    autoencoder: AutoencoderConfig = field(default_factory=AutoencoderConfig)
    transformer: TransformerConfig = field(default_factory=TransformerConfig)
    latent_encoder: LatentEncoderConfig = field(default_factory=LatentEncoderConfig)
    quantizers: dict[str, QuantizerConfig] = field(default_factory=dict)
    sigma_data: float = 0.5
    window_frames: int = 500  # 5 s: what training saw

    def frame_multiple(self, rate: str) -> int:
        """Latent frames must come in multiples of lcm(t, patch): every token then covers real frames only."""
        return math.lcm(POOLS[rate], self.transformer.patch, self.latent_encoder.patch)

    def to_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> ModelConfig:
        """Inverse of `to_dict`. Unknown keys raise TypeError: a bundle from a newer release is not guessed at."""

        def tuples(d: dict[str, Any]) -> dict[str, Any]:
            return {k: tuple(v) if isinstance(v, list) else v for k, v in d.items()}

        return cls(
            name=data["name"],
            autoencoder=AutoencoderConfig(**tuples(data["autoencoder"])),
            transformer=TransformerConfig(**tuples(data["transformer"])),
            latent_encoder=LatentEncoderConfig(**tuples(data["latent_encoder"])),
            quantizers={k: QuantizerConfig(**v) for k, v in data["quantizers"].items()},
            sigma_data=data["sigma_data"],
            window_frames=data["window_frames"],
        )


def _quantizers(own_1hz: int, own: int | None = None, **sizes: Any) -> dict[str, QuantizerConfig]:
    return {
        "25hz": QuantizerConfig(codebooks=10, bits=10, own_codebooks=own, **sizes),
        "11hz": QuantizerConfig(codebooks=12, bits=10, own_codebooks=own, **sizes),
        "5hz": QuantizerConfig(codebooks=8, bits=12, own_codebooks=own, **sizes),
        "1hz": QuantizerConfig(codebooks=25, bits=12, own_codebooks=own_1hz, **sizes),
    }


PRESETS: dict[str, ModelConfig] = {
    # What ships: one adapter shared by all frame rates, because its compute budget is hours.
    "small": ModelConfig(
        name="small",
        # Late residuals look alike: at 1 Hz eighteen of the 25 steps share one codebook, and the bundle stays small.
        quantizers=_quantizers(own_1hz=8),
    ),
    # For tests: every code path in about 1 MB of random weights.
    "tiny": ModelConfig(
        name="tiny",
        autoencoder=AutoencoderConfig(width=32, hidden=64, depth=2, refine_steps=1),
        transformer=TransformerConfig(dim=32, head_dim=16, mm_blocks=2, audio_blocks=1, text_width=16),
        latent_encoder=LatentEncoderConfig(dim=32, head_dim=16, blocks=1),
        quantizers=_quantizers(own_1hz=1, own=1, width=16, hidden=16, blocks=1),
    ),
}
