"""Stage 1, the prior: a diffusion transformer on AudioAE latents without any code (S-PRESSO, section 3.1)."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from spresso_assets.codec.config import ModelConfig
from spresso_assets.training.denoising import Denoising, DenoisingConfig, require_cache
from spresso_assets.training.loop import Loop, LoopConfig


@dataclass(frozen=True)
class PriorConfig:
    """Options of the prior: noise levels and crops. Most clips keep their caption here: the prior is text-to-audio."""

    denoising: DenoisingConfig = field(default_factory=lambda: DenoisingConfig(text_dropout=0.1))


def train_prior(
    model: ModelConfig,
    data: Path,
    out: Path,
    loop: LoopConfig,
    cfg: PriorConfig | None = None,
    *,
    resume: bool = False,
    device: str = "cpu",
) -> dict[str, float]:
    """Train on the cache in ``data``; returns the relative error of D per noise level on val."""
    require_cache(data)
    cfg = cfg or PriorConfig()
    if model.per_rate:
        model = model.only()  # the adapters come later, on this prior frozen
    stage = Denoising(model, cfg.denoising, data, device)
    modules = {"transformer": stage.transformer, "uncertainty": stage.uncertainty}
    runner = Loop(modules, loop, out, resume=resume, best_by="mean")
    return runner.run(lambda g, f: stage.step(g, f, None), lambda: stage.evaluate(None), "prior")
