"""Every size of the codec in one place: frozen dataclasses, named presets, operating points. No torch here.

The geometry is the paper's (S-PRESSO, section 3): 48 kHz audio, STFT 960/480, 128 latent channels at 100 Hz, codes at
100/t Hz for t = 4, 9, 20, 100. The presets differ in width, in how the 128 channels are made, and in whether the four
frame rates share one adapter.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, field
from typing import Any, Literal

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
RATE_OF_POOL = {pool: rate for rate, pool in POOLS.items()}


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
    """DiT: ``mm_blocks`` multimodal blocks (text, audio-down, audio), then ``audio_blocks`` on audio alone.

    Attributes:
        adaln_single: one modulation projection for all blocks plus a bias per block (PixArt-alpha); False gives each
            block its own projection (DiT).
        rates: frame rates that can condition; an empty tuple makes the bare prior.
        adapters: ``per_rate`` gives every frame rate its own LoRA and audio-down Q, K, V on one frozen prior (paper);
            ``shared`` has one set for all, and tells rates apart by an embedding.
        lora_rank: rank of the low-rank update that an adapter brings; 0 for none (the whole denoiser was trained, or
            the update is folded in).
        linear_code: the code carries a linear sketch of x0 and diffusion makes what it leaves open; False diffuses x0
            itself (paper).
    """

    channels: int = 128
    dim: int = 256
    head_dim: int = 64
    patch: int = 4
    mm_blocks: int = 6
    audio_blocks: int = 6
    mlp_ratio: int = 4
    text_dim: int = 512  # CLAP embedding
    text_width: int = 64
    adaln_single: bool = True
    rates: tuple[str, ...] = ("25hz", "11hz", "5hz", "1hz")
    code_dim: int = 64
    adapters: Literal["shared", "per_rate"] = "shared"
    lora_rank: int = 0
    linear_code: bool = True

    @property
    def heads(self) -> int:
        return self.dim // self.head_dim


@dataclass(frozen=True)
class LatentEncoderConfig:
    """g_psi: x0 -> transformer -> ``code_dim`` -> average pool by t.

    Attributes:
        blocks: depth of one network for all rates; or the depth of each rate's own network (paper).
        linear_code: a linear projection of the token's window is added (see `latent_encoder`); False is the paper's.
    """

    channels: int = 128
    dim: int = 192
    head_dim: int = 64
    blocks: int | dict[str, int] = 6
    patch: int = 4
    mlp_ratio: int = 4
    code_dim: int = 64
    rates: tuple[str, ...] = ("25hz", "11hz", "5hz", "1hz")
    linear_code: bool = True


@dataclass(frozen=True)
class StudentConfig:
    """The few-step student of a bundle (see `student`).

    Attributes:
        rank: of its low-rank updates.
        sigmas: its noise levels, decreasing; one evaluation each.
        start_scale: of the starting noise, as its teacher's solver had it.
    """

    rank: int
    sigmas: tuple[float, ...]
    start_scale: float = 1.0


@dataclass(frozen=True)
class ModelConfig:
    """A whole codec: what a bundle's config.json holds.

    Raises:
        ValueError: the parts contradict each other (rates, adapters, linear code).
    """

    name: str
    autoencoder: AutoencoderConfig = field(default_factory=AutoencoderConfig)
    transformer: TransformerConfig = field(default_factory=TransformerConfig)
    latent_encoder: LatentEncoderConfig = field(default_factory=LatentEncoderConfig)
    quantizers: dict[str, QuantizerConfig] = field(default_factory=dict)
    sigma_data: float = 0.5
    window_frames: int = 500  # 5 s: what training saw
    student: StudentConfig | None = None

    def __post_init__(self) -> None:
        denoiser, encoder = self.transformer, self.latent_encoder
        if denoiser.rates != encoder.rates:
            raise ValueError(f"the denoiser knows the rates {denoiser.rates}, the latent encoder {encoder.rates}")
        if self.per_rate != isinstance(encoder.blocks, dict):
            raise ValueError("adapters per rate and latent encoders per rate come together")
        if denoiser.linear_code != encoder.linear_code:
            raise ValueError("a linear code needs both its projection and its sketch")
        if self.per_rate and denoiser.linear_code:
            raise ValueError("a linear code changes the one prior that adapters per rate have in common")

    @property
    def rates(self) -> tuple[str, ...]:
        """Frame rates that this codec can do."""
        return self.transformer.rates

    @property
    def per_rate(self) -> bool:
        """Whether every frame rate has networks of its own, trained apart on one frozen prior."""
        return self.transformer.adapters == "per_rate"

    def with_lora(self, rank: int) -> ModelConfig:
        """The same codec with adapters of another rank; 0 has no low-rank update."""
        return dataclasses.replace(self, transformer=dataclasses.replace(self.transformer, lora_rank=rank))

    def only(self, *rates: str) -> ModelConfig:
        """The same codec with some of its frame rates; with none, the bare prior."""
        depth = self.latent_encoder.blocks
        kept = {r: depth[r] for r in rates} if isinstance(depth, dict) else depth
        return dataclasses.replace(
            self,
            transformer=dataclasses.replace(self.transformer, rates=rates),
            latent_encoder=dataclasses.replace(self.latent_encoder, rates=rates, blocks=kept),
            quantizers={r: q for r, q in self.quantizers.items() if r in rates},
        )

    def frame_multiple(self, rate: str | None) -> int:
        """Latent frames must come in multiples of lcm(t, patch): every token then covers real frames only.

        Without a rate, what the prior needs: whole patches.
        """
        return math.lcm(POOLS[rate] if rate else 1, self.transformer.patch, self.latent_encoder.patch)

    def filled_up(self, frames: int, rate: str | None) -> int:
        """So many latent frames, and as many more as make whole tokens and patches."""
        multiple = self.frame_multiple(rate)
        return -(-frames // multiple) * multiple

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
            student=StudentConfig(**tuples(data["student"])) if data.get("student") else None,
        )


def _quantizers(own_1hz: int, own: int | None = None, **sizes: Any) -> dict[str, QuantizerConfig]:
    return {
        "25hz": QuantizerConfig(codebooks=10, bits=10, own_codebooks=own, **sizes),
        "11hz": QuantizerConfig(codebooks=12, bits=10, own_codebooks=own, **sizes),
        "5hz": QuantizerConfig(codebooks=8, bits=12, own_codebooks=own, **sizes),
        "1hz": QuantizerConfig(codebooks=25, bits=12, own_codebooks=own_1hz, **sizes),
    }


def _paper_quantizers(codebooks: int, codebooks_1hz: int, **sizes: Any) -> dict[str, QuantizerConfig]:
    """One quantizer per rate with pre-selection codebooks of its own; operating points use prefixes of its codes."""
    return {
        rate: QuantizerConfig(
            codebooks=codebooks_1hz if rate == "1hz" else codebooks,
            bits=10 if rate in ("25hz", "11hz") else 12,
            tied_preselect=False,
            **sizes,
        )
        for rate in POOLS
    }


PRESETS: dict[str, ModelConfig] = {
    # The paper: learned high-fidelity AudioAE, one adapter per frame rate on one frozen prior, diffusion of x0 itself.
    # Widths and ranks are ours where it is silent; QINCo2 is its authors' medium model.
    "full": ModelConfig(
        name="full",
        autoencoder=AutoencoderConfig(encoder="conv", width=512, hidden=1536, depth=8, refine_steps=0),
        transformer=TransformerConfig(
            dim=768, patch=1, text_width=768, adaln_single=False, adapters="per_rate", lora_rank=32, linear_code=False
        ),
        latent_encoder=LatentEncoderConfig(
            dim=512, patch=1, blocks={"25hz": 6, "11hz": 10, "5hz": 12, "1hz": 12}, linear_code=False
        ),
        quantizers=_paper_quantizers(codebooks=20, codebooks_1hz=25, width=384, hidden=384, blocks=4),
    ),
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
    # `full` shrunk for tests: every switch of the paper, in seconds.
    "tiny-full": ModelConfig(
        name="tiny-full",
        autoencoder=AutoencoderConfig(encoder="conv", width=32, hidden=64, depth=2, refine_steps=0),
        transformer=TransformerConfig(
            dim=32,
            head_dim=16,
            patch=1,
            mm_blocks=2,
            audio_blocks=1,
            text_width=16,
            adaln_single=False,
            adapters="per_rate",
            lora_rank=2,
            linear_code=False,
        ),
        latent_encoder=LatentEncoderConfig(
            dim=32, head_dim=16, patch=1, blocks={"25hz": 1, "11hz": 1, "5hz": 2, "1hz": 2}, linear_code=False
        ),
        quantizers=_paper_quantizers(codebooks=12, codebooks_1hz=25, width=16, hidden=16, blocks=1),
    ),
}
