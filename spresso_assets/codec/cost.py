"""What a codec weighs and what it computes, counted from its real modules without running them.

Weights are counted from the shapes of a bundle's tensors, arithmetic from the modules themselves on the meta device:
shapes go through every layer, numbers do not. One multiply-add counts as two operations; matrix products and
convolutions are counted, Fourier transforms, norms and activations are not (below one per cent).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from spresso_assets.codec.bundle import WEIGHTS
from spresso_assets.codec.config import HOP, POOLS, SAMPLE_RATE, ModelConfig
from spresso_assets.codec.sampling import solve
from spresso_assets.codec.transformer import Transformer

SECONDS = 5.0  # a clip as training sees it; the cost of shorter and longer sounds follows its length
FP16_BYTES = 2

Shapes = dict[str, tuple[int, ...]]


@dataclass(frozen=True)
class Part:
    """Numbers that one part of a codec stores; ``rate`` is the frame rate that alone needs it, None if all do."""

    name: str
    weights: int
    rate: str | None = None

    @property
    def fp16_bytes(self) -> int:
        return FP16_BYTES * self.weights


@dataclass(frozen=True)
class Arithmetic:
    """Operations per second of audio at one frame rate.

    Attributes:
        encode: AudioAE encoder and latent encoder; the search for codes is extra.
        evaluation: the denoiser, once.
        synthesis: AudioAE decoder, with its refinement.
    """

    encode: float
    evaluation: float
    synthesis: float

    def decode(self, evaluations: int) -> float:
        """A whole decode with so many evaluations of the denoiser."""
        return evaluations * self.evaluation + self.synthesis


# -- weights ---------------------------------------------------------------------------------------------------
def meta_modules(config: ModelConfig) -> dict[str, nn.Module]:
    """A bundle's modules without memory for their weights."""
    from spresso_assets.codec.autoencoder import AudioAE
    from spresso_assets.codec.latent_encoder import build_latent_encoder
    from spresso_assets.codec.quantizer import QINCo2

    # The AudioAE computes filter banks when it is made, for which meta tensors have no numbers.
    modules: dict[str, nn.Module] = {"autoencoder": AudioAE(config.autoencoder, config.sigma_data)}
    with torch.device("meta"):
        modules["transformer"] = Transformer(config.transformer, config.sigma_data)
        modules["encoder"] = build_latent_encoder(config.latent_encoder)
        modules |= {f"quantizer.{rate}": QINCo2(q) for rate, q in config.quantizers.items()}
    return {name: module.eval().requires_grad_(False).to("meta") for name, module in modules.items()}


def module_shapes(modules: dict[str, nn.Module]) -> Shapes:
    """Tensor names and shapes as a bundle would store them."""
    return {f"{n}.{k}": tuple(v.shape) for n, m in modules.items() for k, v in m.state_dict().items()}


def bundle_shapes(bundle: Path) -> Shapes:
    """Tensor names and shapes of a bundle, from the head of its weights file."""
    with safe_open(bundle / WEIGHTS, "pt") as f:
        return {name: tuple(f.get_slice(name).get_shape()) for name in f.keys()}  # noqa: SIM118


def parts(shapes: Shapes) -> list[Part]:
    """The parts that the tensors make up, in the order in which sound passes through them; every tensor is in one."""
    counts: dict[tuple[str, str | None], int] = {}
    for name, shape in shapes.items():
        key = _part_of(name)
        counts[key] = counts.get(key, 0) + math.prod(shape)
    order = {name: i for i, name in enumerate(ORDER)}
    rates = {rate: i for i, rate in enumerate((None, *POOLS))}
    ranked = sorted(counts, key=lambda key: (order.get(key[0], len(order)), rates.get(key[1], len(rates))))
    return [Part(name, counts[name, rate], rate) for name, rate in ranked]


ORDER = (
    "autoencoder encoder",
    "autoencoder decoder",
    "latent encoder",
    "quantizer",
    "linear code",
    "denoiser: audio stream",
    "denoiser: text stream",
    "denoiser: modulation",
    "denoiser: rest",
    "f_phi",
    "audio-down QKV",
    "LoRA",
    "student",
)


def _part_of(name: str) -> tuple[str, str | None]:
    """(part, frame rate or None) of a bundle's tensor."""
    words = name.split(".")
    rate = next((w for w in words if w in POOLS), None)
    rate = rate or next((r for r in POOLS if f"residual_std_{r}_C" in words), None)
    if words[0] == "autoencoder":
        return ("autoencoder encoder" if words[1] == "encoder" else "autoencoder decoder"), None
    if words[0] == "encoder":
        return ("linear code" if "project" in words else "latent encoder"), rate
    if words[0] != "transformer":
        return words[0], rate
    if "down_qkv" in words:
        return "audio-down QKV", rate
    if words[1] == "lora":
        return "LoRA", rate
    if words[1] == "f_phi" or words[1] == "rate_vec":
        return "f_phi", rate
    if words[1] in ("sketches", "embed_sketch") or words[1].startswith("residual_std"):
        return "linear code", rate
    if any("modul" in w for w in words):
        return "denoiser: modulation", None
    if words[1] in ("mm_blocks", "audio_blocks"):
        return f"denoiser: {words[3]} stream", None
    return "denoiser: rest", None


def one_rate(found: Iterable[Part], rate: str) -> int:
    """Numbers that an installation for one frame rate needs: all that rates share, and that rate's own."""
    return sum(p.weights for p in found if p.rate in (None, rate))


# -- arithmetic ------------------------------------------------------------------------------------------------
def arithmetic(config: ModelConfig, modules: dict[str, nn.Module]) -> dict[str, Arithmetic]:
    """Operations per second of audio of a clip of 5 s, by frame rate.

    Args:
        modules: of `meta_modules`.
    """
    autoencoder: Any = modules["autoencoder"]
    encoder, denoiser = modules["encoder"], modules["transformer"]
    channels, dim = config.autoencoder.channels, config.transformer.code_dim
    result = {}
    for rate in config.rates:
        multiple = config.frame_multiple(rate)
        frames = math.ceil(SECONDS * SAMPLE_RATE / HOP / multiple) * multiple
        x0_BTC, audio_BN = _empty(1, frames, channels), _empty(1, frames * HOP)
        z_BFD = _empty(1, frames // POOLS[rate], dim)

        def analyse(audio_BN: Tensor = audio_BN, x0_BTC: Tensor = x0_BTC, rate: str = rate) -> None:
            autoencoder.encoder(audio_BN)
            encoder(x0_BTC, rate)

        def evaluate(x0_BTC: Tensor = x0_BTC, z_BFD: Tensor = z_BFD, rate: str = rate) -> None:
            denoiser(x0_BTC, _empty(1), z_BFD, rate, None, x0_BTC)

        def synthesise(x0_BTC: Tensor = x0_BTC, audio_BN: Tensor = audio_BN) -> None:
            autoencoder.decode(x0_BTC, audio_BN)

        result[rate] = Arithmetic(*(operations(run) / SECONDS for run in (analyse, evaluate, synthesise)))
    return result


def evaluations(config: ModelConfig) -> dict[str, int]:
    """How often each named quality asks the denoiser, or the few-step student where a bundle has one."""
    from spresso_assets.codec.decoding import QUALITIES

    counts = {}
    for name, quality in QUALITIES.items():
        asked: list[float] = []

        def answer(x: Tensor, sigma: float, asked: list[float] = asked) -> Tensor:
            asked.append(sigma)
            return x

        solve(quality.solver, answer, torch.zeros(()), quality.sigmas())
        counts[name] = len(asked)
    if config.student:
        counts["preview"] = len(config.student.sigmas)
    return counts


def operations(run: Callable[[], object]) -> int:
    """Operations of matrix products and convolutions while ``run`` is called."""
    with FlopCounterMode(display=False) as counter:
        run()
    return counter.get_total_flops()


def _empty(*shape: int) -> Tensor:
    return torch.empty(*shape, device="meta")
