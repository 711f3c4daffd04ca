"""From run folders to a model bundle: averaged weights, merged adapters, statistics."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from torch import nn

from spresso_assets.codec.bundle import build_modules, read_config, save_bundle
from spresso_assets.codec.config import ModelConfig
from spresso_assets.training.adapter import merged_transformer
from spresso_assets.training.loop import CHECKPOINT, load_checkpoint
from spresso_assets.training.quantizer import RESULT
from spresso_assets.training.source import Source, read_statistics

STAGES = ("autoencoder", "prior", "adapter", "finetune")


def assemble(
    model: ModelConfig, run: Path, out: Path, *, base: Path | None = None, lora_rank: int = 0, license: str = ""
) -> str:
    """Write a bundle from what ``run`` holds; returns the weights hash. ``license`` is that of the weights.

    What the run has not trained comes from the bundle ``base``. Without one, a missing ``autoencoder`` is the
    untrained noise vocoder, rates without a quantizer stay continuous, and without ``finetune`` the denoiser is
    step 1's.
    """
    source = Source(run, base)
    modules: dict[str, nn.Module] = build_modules(model)
    if base is not None or source.has("autoencoder"):
        modules["autoencoder"].load_state_dict(source.state("autoencoder", "autoencoder"))
    else:
        autoencoder: Any = modules["autoencoder"]
        mean_C, std_C = read_statistics(run / "data")
        autoencoder.mean_C.copy_(mean_C)
        autoencoder.std_C.copy_(std_C)
    modules["encoder"].load_state_dict(source.state("encoder", "adapter"))
    if lora_rank and not source.has("finetune"):
        modules["transformer"].load_state_dict(merged_transformer(model, run / "adapter", lora_rank))
    else:
        modules["transformer"].load_state_dict(source.state("transformer", "finetune", "adapter"))
    for rate in model.quantizers:
        if base is not None or (run / "quantizer" / rate / RESULT).exists():
            modules[f"quantizer.{rate}"] = source.quantizer(model, rate)
        else:
            del modules[f"quantizer.{rate}"]
    facts: dict[str, Any] = {"trained": True, "license": license, "training": training_facts(run)}
    if base is not None:
        before = read_config(base)[1]
        facts["base"] = {"weights_sha256": before["weights_sha256"], "training": before.get("training", {})}
    return save_bundle(out, model, modules, facts)


def training_facts(run: Path) -> dict[str, Any]:
    """Steps and minutes of each stage, from its checkpoint."""
    facts: dict[str, Any] = {}
    for stage in STAGES:
        if (run / stage / CHECKPOINT).exists():
            _, header = load_checkpoint(run / stage / CHECKPOINT)
            facts[stage] = {"steps": header["step"], "minutes": round(header["elapsed"] / 60, 1)}
    for report in sorted((run / "quantizer").glob("*/report.json")):
        facts[f"quantizer {report.parent.name}"] = json.loads(report.read_text(encoding="utf-8"))
    return facts
