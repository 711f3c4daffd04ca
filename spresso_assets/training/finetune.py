"""Step 3: the denoiser learns to work from quantised codes (S-PRESSO, section 3.5).

g_psi and the quantizers are frozen, and so is the prior below a LoRA: then LoRA and f_phi are trained (paper). Each
clip is coded with M codebooks, half of the clips with a random number of them from M/2 on, so that one model serves
every prefix; one clip in ten keeps its continuous z.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from spresso_assets.codec.config import OPERATING_POINTS, ModelConfig
from spresso_assets.codec.quantizer import QINCo2
from spresso_assets.training.adapter import LINEAR_CODE
from spresso_assets.training.denoising import Code, Denoising, DenoisingConfig, require_cache
from spresso_assets.training.loop import Loop, LoopConfig
from spresso_assets.training.source import Source, stage_folder


@dataclass(frozen=True)
class FinetuneConfig:
    """``keep`` is the share of clips with continuous z, ``prefix`` the share with a random number of codebooks.

    ``codebooks`` is M; None takes the most that an operating point of the rate sends.
    ``down_qkv`` trains audio-down's Q, K, V along with LoRA and f_phi, to which the paper keeps. Without a LoRA the
    whole denoiser is trained.

    ``beam`` is the search width while training: greedy codes are a little worse than those of the shipped encoder,
    which makes the denoiser a little more robust and the step several times faster.
    """

    keep: float = 0.1
    codebooks: int | None = None
    down_qkv: bool = False
    prefix: float = 0.5
    beam: int = 1
    candidates: int = 4
    denoising: DenoisingConfig = field(
        default_factory=lambda: DenoisingConfig(early_fraction=0.0, p_mean=0.0, drop_code=0.02)
    )


def train_finetune(
    model: ModelConfig,
    data: Path,
    source: Source,
    quantizers: dict[str, QINCo2],
    out: Path,
    loop: LoopConfig,
    cfg: FinetuneConfig | None = None,
    *,
    resume: bool = False,
    device: str = "cpu",
) -> dict[str, float]:
    """Fine-tune the denoiser of the adapter stage, or of the base; returns relative errors of D on val, quantised.

    Args:
        model: with adapters per rate, one of its rates (`ModelConfig.only`).
    """
    require_cache(data)
    cfg = cfg or FinetuneConfig()
    model = source.adapted(model)
    stage, before = Denoising(model, cfg.denoising, data, device), stage_folder("adapter", model)
    stage.load(source, before, "transformer", "encoder")
    if source.has(before):  # bundles do not carry u(sigma); it is learned again within minutes
        stage.load(source, before, "uncertainty")
    stage.encoder.requires_grad_(False).eval()
    if model.transformer.lora_rank:
        for name, p in stage.transformer.named_parameters():
            adapts = stage.transformer.is_adapter(name) and (cfg.down_qkv or "down_qkv" not in name)
            p.requires_grad_(adapts)

    code = quantised_code(stage, quantizers, cfg)
    modules = {"transformer": stage.transformer, "uncertainty": stage.uncertainty}
    runner = Loop(modules, loop, out, resume=resume, slow=LINEAR_CODE, best_by="mean")
    return runner.run(lambda g, f: stage.step(g, f, code), lambda: stage.evaluate(code), "finetune")


def quantised_code(stage: Denoising, quantizers: dict[str, QINCo2], cfg: FinetuneConfig) -> Code:
    """(x0, rate) -> what the denoiser will be given after quantisation, mixed as ``cfg`` says.

    A rate without a quantizer keeps its z.
    """
    sent = {
        rate: min(
            q.config.codebooks,
            cfg.codebooks or max(p.codebooks or 0 for p in OPERATING_POINTS.values() if p.rate == rate),
        )
        for rate, q in quantizers.items()
    }
    for quantizer in quantizers.values():
        quantizer.to(stage.device)

    @torch.no_grad()
    def code(x0_BTC: Tensor, rate: str, generator: torch.Generator) -> Tensor:
        z_BFD: Tensor = stage.encoder(x0_BTC, rate).float()
        if rate not in quantizers:
            return z_BFD
        quantizer, books = quantizers[rate], sent[rate]
        codes_XM = quantizer.encode(z_BFD.flatten(0, 1), cfg.beam, cfg.candidates, books)
        quantised_BFD = quantizer.decode(codes_XM).view_as(z_BFD)
        count = len(z_BFD)
        fewer = int(torch.randint(books // 2, books, (1,), generator=generator))
        shorter_BFD = quantizer.decode(codes_XM, fewer).view_as(z_BFD)
        choice_B11 = torch.rand(count, 1, 1, generator=generator).to(z_BFD.device)
        quantised_BFD = torch.where(choice_B11 < cfg.prefix, shorter_BFD, quantised_BFD)
        return torch.where(choice_B11 > 1 - cfg.keep, z_BFD, quantised_BFD)

    return code
