"""Adapting a bundle to a team's own archive: adapter, quantizers, fine-tuning and student, all from where it stands.

The AudioAE stays as it is: its latents are the ground that all else stands on, and it was trained on more than one
archive has. Every stage goes on from the bundle's weights at a low learning rate; what is not better than before on
held-out sounds is easily seen, as the caller measures both.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from spresso_assets.codec.autoencoder import AudioAE
from spresso_assets.codec.config import ModelConfig
from spresso_assets.errors import ExitCode, SpressoError
from spresso_assets.training.adapter import AdapterConfig, train_adapter
from spresso_assets.training.data import build_cache, cache_file, list_items
from spresso_assets.training.denoising import DenoisingConfig
from spresso_assets.training.distill import DistillConfig, train_distill
from spresso_assets.training.finetune import FinetuneConfig, train_finetune
from spresso_assets.training.loop import LoopConfig
from spresso_assets.training.quantizer import RESULT, QuantizerTrainingConfig, train_quantizer
from spresso_assets.training.source import Source
from spresso_assets.training.vectors import stored_vectors

FEWEST_SOUNDS = 20  # below that there is nothing to learn from, and nothing to hold out


@dataclass(frozen=True)
class FitConfig:
    """How the time is shared, and how gently weights are moved.

    Attributes:
        shares: of the time for each stage; the quantizers share theirs.
        lr: peak learning rate of adapter and fine-tuning: a fifth of what training from nothing takes.
        procedural: synthetic sounds among the training sounds; few keep the model general.
    """

    shares: dict[str, float] = field(
        default_factory=lambda: {"adapter": 0.45, "quantizer": 0.2, "finetune": 0.2, "distill": 0.15}
    )
    lr: float = 1e-4
    procedural: int = 60
    crops_budget: int = 6000
    quantizer: QuantizerTrainingConfig = field(default_factory=lambda: QuantizerTrainingConfig(vectors=60_000))


def fit(
    model: ModelConfig,
    archive: Path,
    source: Source,
    minutes: float,
    cfg: FitConfig | None = None,
    *,
    autoencoder: AudioAE,
    max_steps: int = 10**9,
    device: str = "cpu",
    tell: Callable[[str], None] = lambda _text: None,
) -> None:
    """Run every stage on the sounds of ``archive``; the run folder then holds what `assemble` needs. Resumes itself.

    Args:
        model: sizes of the base bundle. source: run folder and base. autoencoder: the base's own.
        minutes: for all stages together, summed over resumed runs; analysing the archive comes on top.
        tell: is given a line at the start of each stage.

    Raises:
        SpressoError: ``archive_too_small``, ``no_training_data``, ``interrupted``, and what the stages raise.
    """
    cfg = cfg or FitConfig()
    if model.per_rate:
        raise SpressoError(
            "a bundle with one adapter per frame rate is fitted rate by rate",
            code="fit_per_rate",
            hint="Run 'spresso train adapter|quantizer|finetune --base ... --rate ...' for the rates that you use.",
            exit_code=ExitCode.USAGE,
        )
    assert source.base is not None
    data, run = source.run / "data", source.run
    splits = Counter(item.split for item in list_items(archive))
    if splits["train"] < FEWEST_SOUNDS or not splits["val"]:
        raise SpressoError(
            f"{archive} has {splits['train']} sounds to train on and {splits['val']} to measure by",
            code="archive_too_small",
            hint=f"Fit to at least {FEWEST_SOUNDS} sounds, some of them held out (manifest.csv: path, split).",
        )
    if not (data / cache_file("val")).exists():  # the last that an analysis writes
        tell("analysing the archive")
        build_cache(archive, data, model.autoencoder, autoencoder=autoencoder, procedural=cfg.procedural)

    denoising = DenoisingConfig(early_fraction=0.0)
    crops = dataclasses.replace(denoising.crops, budget=cfg.crops_budget)

    def loop(stage: str, **changes: float) -> LoopConfig:
        return LoopConfig(
            max_minutes=minutes * cfg.shares[stage],
            lr=cfg.lr,
            warmup_steps=50,
            max_steps=max_steps,
            **changes,  # type: ignore[arg-type]
        )

    tell("adapter: encoder and denoiser learn the archive's sounds")
    adapter = AdapterConfig(denoising=dataclasses.replace(denoising, crops=crops))
    train_adapter(model, data, source, run / "adapter", loop("adapter"), adapter, resume=True, device=device)
    for rate in model.quantizers:
        tell(f"quantizer {rate}")
        _quantizer(model, source, rate, minutes * cfg.shares["quantizer"] / len(model.quantizers), max_steps, cfg)
    quantizers = source.quantizers(model)
    tell("fine-tuning on quantised codes")
    tuning = FinetuneConfig()
    tuning = dataclasses.replace(tuning, denoising=dataclasses.replace(tuning.denoising, crops=crops))
    train_finetune(
        model, data, source, quantizers, run / "finetune", loop("finetune"), tuning, resume=True, device=device
    )
    if model.student:
        tell("student: the preview")
        distil = DistillConfig(rank=model.student.rank)
        few = dataclasses.replace(distil.denoising.crops, budget=max(1, cfg.crops_budget // 4))
        distil = dataclasses.replace(distil, denoising=dataclasses.replace(distil.denoising, crops=few))
        steps = dataclasses.replace(loop("distill"), lr=1e-3)
        train_distill(model, data, source, quantizers, run / "distill", steps, distil, resume=True, device=device)


def _quantizer(model: ModelConfig, source: Source, rate: str, minutes: float, max_steps: int, cfg: FitConfig) -> None:
    """Go on training the base's quantizer on codes of the adapted encoder."""
    out = source.run / "quantizer" / rate
    if (out / RESULT).exists():
        return
    train_ND, sound_N, val_ND = stored_vectors(model, source, rate, cfg.quantizer.vectors, out, resume=True)
    train_quantizer(
        model.quantizers[rate],
        train_ND,
        val_ND,
        out,
        groups_N=sound_N,
        before=source.quantizer(model, rate),
        max_minutes=minutes,
        max_steps=max_steps,
        smoothing=cfg.quantizer.smoothing,
        resume=True,
    )
