"""Stage 1, the prior: a diffusion transformer on AudioAE latents without any code (S-PRESSO, section 3.1)."""

from __future__ import annotations

from pathlib import Path

from spresso_assets.codec.config import ModelConfig
from spresso_assets.training.denoising import Denoising, DenoisingConfig, require_cache
from spresso_assets.training.loop import Loop, LoopConfig


def train_prior(
    model: ModelConfig, data: Path, out: Path, loop: LoopConfig, *, resume: bool = False, device: str = "cpu"
) -> dict[str, float]:
    """Train on the cache in ``data``; returns the relative error of D per noise level on val."""
    require_cache(data)
    if model.per_rate:
        model = model.only()  # the adapters come later, on this prior frozen
    stage = Denoising(model, DenoisingConfig(), data, device)
    runner = Loop({"transformer": stage.transformer, "uncertainty": stage.uncertainty}, loop, out, resume=resume)
    return runner.run(lambda g, f: stage.step(g, f, None), lambda: stage.evaluate(None), "prior")
