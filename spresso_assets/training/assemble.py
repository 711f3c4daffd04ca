"""From run folders to a model bundle: averaged weights, merged adapters, statistics."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from spresso_assets.codec.bundle import build_modules, read_config, save_bundle
from spresso_assets.codec.config import ModelConfig, StudentConfig
from spresso_assets.codec.student import student_with, updates_of
from spresso_assets.codec.transformer import Transformer
from spresso_assets.errors import SpressoError
from spresso_assets.training.checkpoint import CHECKPOINT, load_checkpoint
from spresso_assets.training.distill import STUDENT
from spresso_assets.training.entropy import tables_of
from spresso_assets.training.quantizer import RESULT
from spresso_assets.training.source import Source, bundle_state, read_statistics, stage_folder

STAGES = ("autoencoder", "prior", "adapter", "finetune", "distill")


def assemble(model: ModelConfig, run: Path, out: Path, *, base: Path | None = None, license: str = "") -> str:
    """Write a bundle from what ``run`` holds; returns the weights hash. ``license`` is that of the weights.

    What the run has not trained comes from the bundle ``base``. Without one, a missing ``autoencoder`` is the
    untrained noise vocoder, rates without a quantizer stay continuous, codes without ``entropy`` are stored plain, and
    without ``finetune`` the denoiser is step 1's. A LoRA that all rates share is folded into the denoiser. Adapters per
    rate are stored beside the prior; rates whose adapter is not trained yet are left out.

    Raises:
        SpressoError: ``checkpoint_missing``; ``prior_changed`` if an adapter was trained on another prior.
    """
    source = Source(run, base)
    if model.per_rate:
        model, state, encoder = _adapters_on_prior(model, source)
    else:
        model, state = source.denoiser(model)
        encoder = source.state("encoder", "adapter")
    modules: dict[str, nn.Module] = build_modules(model)
    modules["transformer"].load_state_dict(state)
    modules["encoder"].load_state_dict(encoder)
    if base is not None or source.has("autoencoder"):
        modules["autoencoder"].load_state_dict(source.state("autoencoder", "autoencoder"))
    else:
        autoencoder: Any = modules["autoencoder"]
        mean_C, std_C = read_statistics(run / "data")
        autoencoder.mean_C.copy_(mean_C)
        autoencoder.std_C.copy_(std_C)
    model, student = _student(model, source, modules["transformer"])
    if student is not None:
        modules["student"] = student
    for rate in model.quantizers:
        if base is not None or (run / "quantizer" / rate / RESULT).exists():
            modules[f"quantizer.{rate}"] = source.quantizer(model, rate)
        else:
            del modules[f"quantizer.{rate}"]
    facts: dict[str, Any] = {"trained": True, "license": license, "training": training_facts(run)}
    if base is not None:
        before = read_config(base)[1]
        facts["base"] = {"weights_sha256": before["weights_sha256"], "training": before.get("training", {})}
    entropy = {rate: tables_of(source, rate) for rate in model.quantizers if f"quantizer.{rate}" in modules}
    return save_bundle(out, model, modules, facts, {rate: t for rate, t in entropy.items() if t is not None})


def _adapters_on_prior(model: ModelConfig, source: Source) -> tuple[ModelConfig, dict[str, Tensor], dict[str, Tensor]]:
    """The rates that are trained: their sizes, the prior with their adapters, and their latent encoders."""
    if source.base is None:
        model = model.only(*(r for r in model.rates if source.has(stage_folder("adapter", model.only(r)))))
    prior = {k: v for k, v in source.state("transformer", "prior").items() if not Transformer.is_adapter(k)}
    state, encoder = dict(prior), dict[str, Tensor]()
    for rate in model.rates:
        one = model.only(rate)
        stages = stage_folder("finetune", one), stage_folder("adapter", one)
        trained = source.state("transformer", *stages)
        if any(not torch.equal(v, trained[k]) for k, v in prior.items()):
            raise SpressoError(
                f"the adapter of {rate} was trained on another prior than this run has now",
                code="prior_changed",
                hint=f"Train it again: 'spresso train adapter --rate {rate}'.",
            )
        state |= {k: v for k, v in trained.items() if Transformer.is_adapter(k) and rate in k.split(".")}
        trunk = source.state("encoder", stages[1])
        encoder |= {k: v for k, v in trunk.items() if k.startswith(f"{rate}.")}
    return model, state, encoder


def _student(model: ModelConfig, source: Source, denoiser: nn.Module) -> tuple[ModelConfig, nn.Module | None]:
    """Sizes and updates of the few-step student, if the run has distilled one, or its base has one of this denoiser."""
    assert isinstance(denoiser, Transformer)
    updates: dict[str, Tensor] = {}
    parts = [model.only(r) for r in model.rates] if model.per_rate else [model]
    folders = [stage_folder("distill", part) for part in parts]
    if all(source.has(folder) for folder in folders):
        for folder in folders:
            updates |= updates_of(source.state("student", folder))
        facts = json.loads((source.run / folders[0] / STUDENT).read_text(encoding="utf-8"))
        student = StudentConfig(facts["rank"], tuple(facts["sigmas"]), facts["start_scale"])
    elif source.base is not None and model.student and not (source.has("finetune") or source.has("adapter")):
        updates, student = bundle_state(source.base, "student"), model.student
    else:
        return dataclasses.replace(model, student=None), None
    holder = nn.ModuleDict({"lora": student_with(denoiser, updates).lora})
    return dataclasses.replace(model, student=student), holder


def training_facts(run: Path) -> dict[str, Any]:
    """Steps and minutes of each stage, from its checkpoint."""
    facts: dict[str, Any] = {}
    for stage in STAGES:
        for path in (run / stage / CHECKPOINT, *sorted((run / stage).glob(f"*/{CHECKPOINT}"))):
            if path.exists():
                _, header = load_checkpoint(path)
                name = " ".join(path.parent.relative_to(run).parts)
                facts[name] = {"steps": header["step"], "minutes": round(header["elapsed"] / 60, 1)}
    for report in sorted((run / "quantizer").glob("*/report.json")):
        facts[f"quantizer {report.parent.name}"] = json.loads(report.read_text(encoding="utf-8"))
    return facts
