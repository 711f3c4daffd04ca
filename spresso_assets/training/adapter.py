"""Step 1, the continuous diffusion autoencoder: g_psi, f_phi and audio-down on top of the prior (section 3.3).

The paper freezes the prior and trains a LoRA on it, for every frame rate apart; a model with ``lora_rank > 0`` does
that. With ``lora_rank = 0`` the whole denoiser is trained, which pays when the prior itself has seen hours and not
months of compute: that is how `small` is made.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn

from spresso_assets.codec.config import POOLS, ModelConfig
from spresso_assets.codec.latent_encoder import LatentEncoder
from spresso_assets.training.denoising import Denoising, DenoisingConfig, require_cache
from spresso_assets.training.loop import CHECKPOINT, Loop, LoopConfig
from spresso_assets.training.source import Source

LINEAR_CODE = ("encoder.project.", "transformer.sketches.")


@dataclass(frozen=True)
class AdapterConfig:
    """Step 1 options; ``code_noise`` is the std, in units of z's own, added to half of the codes.

    ``component_windows`` is the number of windows whose principal components start the linear code of each rate.
    """

    code_noise: float = 0.05
    component_windows: int = 12_000
    denoising: DenoisingConfig = field(default_factory=DenoisingConfig)


def train_adapter(
    model: ModelConfig,
    data: Path,
    source: Source,
    out: Path,
    loop: LoopConfig,
    cfg: AdapterConfig | None = None,
    *,
    resume: bool = False,
    device: str = "cpu",
) -> dict[str, float]:
    """Train encoder and denoiser jointly, from the run's prior if it has one, or on from a base bundle's networks.

    Args:
        model: with adapters per rate, one of its rates (`ModelConfig.only`); the others are trained apart.

    Returns:
        Relative error of D on val per rate and noise level.
    """
    require_cache(data)
    cfg = cfg or AdapterConfig()
    stage = Denoising(model, cfg.denoising, data, device)
    if source.base is not None:
        stage.load(source, "adapter", "transformer", "encoder")
    elif source.has("prior"):
        stage.load(source, "prior", "transformer")
    if source.base is None:
        stage.transformer.init_audio_down(zero_values=bool(model.transformer.lora_rank))
    if source.base is None and model.transformer.linear_code and not (resume and (out / CHECKPOINT).exists()):
        for rate in model.transformer.rates:
            init_linear_code(stage, rate, cfg.component_windows)
    if model.transformer.lora_rank:
        for name, p in stage.transformer.named_parameters():
            p.requires_grad_(stage.transformer.is_adapter(name))

    def code(x0_BTC: Tensor, rate: str, generator: torch.Generator) -> Tensor:
        z_BFD = stage.encoder(x0_BTC, rate)
        if torch.is_grad_enabled() and cfg.code_noise:
            noisy_B11 = (torch.rand(len(z_BFD), 1, 1, generator=generator) < 0.5).to(z_BFD.device)
            noise_BFD = torch.randn(z_BFD.shape, generator=generator).to(z_BFD.device)
            z_BFD = z_BFD + noisy_B11 * (cfg.code_noise * z_BFD.detach().std()) * noise_BFD
        return z_BFD

    runner = Loop(stage.modules(), loop, out, resume=resume, slow=LINEAR_CODE, best_by="mean")
    return runner.run(lambda g, f: stage.step(g, f, code), lambda: stage.evaluate(code), "adapter")


@torch.no_grad()
def init_linear_code(stage: Denoising, rate: str, windows: int) -> None:
    """Start projection and sketch of one rate as principal components of the training windows.

    The components are orthonormal: an error in z is the same error in x0, which is what a quantizer's squared error
    should mean.
    """
    assert isinstance(stage.encoder, LatentEncoder)
    generator = torch.Generator().manual_seed(11)
    pool, multiple = POOLS[rate], stage.model.frame_multiple(rate)
    pieces: list[Tensor] = []
    count = 0
    while count < windows:
        raw_BTC = stage.sampler.batch(generator, multiple)
        x0_WX = ((raw_BTC - stage.mean_C) * stage.scale_C).reshape(-1, pool * raw_BTC.shape[2])
        pieces.append(x0_WX[torch.randperm(len(x0_WX), generator=generator)[:500]])
        count += len(pieces[-1])
    x0_WX = torch.cat(pieces)
    mean_X = x0_WX.mean(0)
    _, _, basis_XD = torch.svd_lowrank(x0_WX - mean_X, q=stage.model.transformer.code_dim + 16, niter=4)
    basis_XD = basis_XD[:, : stage.model.transformer.code_dim]
    linear: list[nn.Module] = [stage.encoder.project[rate], stage.transformer.sketches[rate], stage.encoder.heads[rate]]
    projection, sketch, head = (layer for layer in linear if isinstance(layer, nn.Linear))
    projection.weight.copy_(basis_XD.T)
    projection.bias.copy_(-(basis_XD.T @ mean_X))
    sketch.weight.copy_(basis_XD)
    sketch.bias.copy_(mean_X)
    for p in (head.weight, head.bias):
        p.zero_()
    rest_WX = x0_WX - mean_X - (x0_WX - mean_X) @ basis_XD @ basis_XD.T
    std_C = rest_WX.reshape(-1, raw_BTC.shape[2]).square().mean(0).sqrt()
    stage.transformer.residual_std(rate).copy_(std_C.clamp_min(1e-3))
