"""From run folders to a model bundle: averaged weights, merged adapters, statistics."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from torch import nn

from spresso_assets.codec.bundle import build_modules, save_bundle
from spresso_assets.codec.config import ModelConfig
from spresso_assets.codec.quantizer import QINCo2
from spresso_assets.errors import SpressoError
from spresso_assets.training.adapter import merged_transformer
from spresso_assets.training.loop import CHECKPOINT, averaged_state, load_checkpoint
from spresso_assets.training.quantizer import load_quantizer

STAGES = ("autoencoder", "prior", "adapter", "finetune")


def load_quantizers(model: ModelConfig, run: Path) -> dict[str, QINCo2]:
    """The trained quantizers of a run by frame rate.

    Raises:
        SpressoError: ``checkpoint_missing`` if a rate of the preset has none.
    """
    result = {}
    for rate in model.quantizers:
        path = run / "quantizer" / rate / "quantizer.safetensors"
        if not path.exists():
            raise SpressoError(
                f"no quantizer for {rate} in this run",
                code="checkpoint_missing",
                hint=f"Run 'spresso train quantizer {rate}' first.",
            )
        result[rate] = load_quantizer(path).eval()
    return result


def assemble(model: ModelConfig, run: Path, out: Path, *, lora_rank: int = 0, license: str = "") -> str:
    """Write a bundle from what ``run`` holds; returns the weights hash. ``license`` is that of the weights.

    Without ``autoencoder`` the decoder is the untrained noise vocoder, without quantizers the bundle is continuous,
    without ``finetune`` the denoiser is step 1's.
    """
    modules: dict[str, nn.Module] = build_modules(model)
    if (run / "autoencoder" / CHECKPOINT).exists():
        modules["autoencoder"].load_state_dict(averaged_state(run / "autoencoder" / CHECKPOINT, "autoencoder"))
    else:
        statistics, _ = load_checkpoint(run / "data" / "statistics.safetensors")
        autoencoder: Any = modules["autoencoder"]
        autoencoder.mean_C.copy_(statistics["mean"])
        autoencoder.std_C.copy_(statistics["std"])
    modules["encoder"].load_state_dict(averaged_state(run / "adapter" / CHECKPOINT, "encoder"))
    if (run / "finetune" / CHECKPOINT).exists():
        modules["transformer"].load_state_dict(averaged_state(run / "finetune" / CHECKPOINT, "transformer"))
    else:
        modules["transformer"].load_state_dict(merged_transformer(model, run / "adapter", lora_rank))
    for rate in model.quantizers:
        path = run / "quantizer" / rate / "quantizer.safetensors"
        if path.exists():
            modules[f"quantizer.{rate}"] = load_quantizer(path)
        else:
            del modules[f"quantizer.{rate}"]
    facts = {"trained": True, "license": license, "training": training_facts(run)}
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
