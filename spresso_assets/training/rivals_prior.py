"""Trains the prior over codes of the EnCodec-like codec, on codes of the training sounds, and makes the whole bundle.

spresso train rival encodec-prior --run RUN --max-minutes 60 [--resume]
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from spresso_assets.rivals.encodec_parts.config import NAME, PriorConfig
from spresso_assets.rivals.encodec_parts.exact_prior import whole_prior
from spresso_assets.rivals.encodec_parts.prior import CodePrior
from spresso_assets.rivals.soundstream.config import SeanetConfig
from spresso_assets.rivals.soundstream.model import save_model
from spresso_assets.training.checkpoint import CHECKPOINT, averaged_state, load_checkpoint, save_checkpoint
from spresso_assets.training.loop import Loop, LoopConfig
from spresso_assets.training.rivals_data import Clips, clips_file
from spresso_assets.training.rivals_soundstream import as_coded, trained_model

STAGE = "prior"
MOST = 20_000  # chunks of codes kept per split


@dataclass(frozen=True)
class PriorTrainingConfig:
    """Clips per step, and how many chunks of a second to take codes of."""

    batch: int = 16
    chunks: int = 6000


def build_codes(cfg: SeanetConfig, run: Path, training: PriorTrainingConfig) -> None:
    """Write ``codes-<split>.safetensors``: codes [I, T, M] of random chunks of the sounds.

    Raises:
        SpressoError: ``checkpoint_missing`` if the codec is not trained.
    """
    model = trained_model(cfg, run)
    generator = torch.Generator().manual_seed(11)
    for split, count in (("train", min(MOST, training.chunks)), ("val", min(200, training.chunks))):
        clips, parts = Clips(run / "data" / clips_file(split)), []
        for start in range(0, count, 8):
            audio = clips.batch(min(8, count - start), cfg.sample_rate // cfg.hop * cfg.hop, generator)
            parts.append(model.encode(as_coded(cfg, audio), cfg.codebooks).to(torch.int16))
        save_checkpoint(run / f"codes-{split}.safetensors", {"codes": torch.cat(parts)}, {})


def train_prior(
    cfg: SeanetConfig,
    sizes: PriorConfig,
    run: Path,
    loop: LoopConfig,
    training: PriorTrainingConfig | None = None,
    *,
    resume: bool = False,
    device: str = "cpu",
) -> dict[str, float]:
    """Train on the codes of a trained codec; returns mean bits per code on val for each number of codebooks."""
    training = training or PriorTrainingConfig()
    if not (run / "codes-val.safetensors").exists():
        build_codes(cfg, run, training)
    codes = {s: load_checkpoint(run / f"codes-{s}.safetensors")[0]["codes"].long() for s in ("train", "val")}
    torch.manual_seed(0)
    prior = CodePrior(sizes).to(device)

    def step(generator: torch.Generator, _fraction: float) -> tuple[Tensor, dict[str, float]]:
        count = cfg.offered[int(torch.randint(len(cfg.offered), (), generator=generator))]
        picked = torch.randint(len(codes["train"]), (training.batch,), generator=generator)
        loss = prior.bits(codes["train"][picked, :, :count].to(device))
        return loss, {"bits": float(loss.detach())}

    def evaluate() -> dict[str, float]:
        parts = codes["val"].to(device).split(16)
        return {
            f"bits_{count}": sum(float(prior.bits(part[..., :count])) * len(part) for part in parts) / len(codes["val"])
            for count in cfg.offered
        }

    runner = Loop({"prior": prior}, loop, run / STAGE, resume=resume, best_by=f"bits_{cfg.codebooks}")
    return runner.run(step, evaluate, "prior")


def bundle_encodec(cfg: SeanetConfig, sizes: PriorConfig, run: Path, folder: Path) -> None:
    """The averaged weights of a run as a folder that the codec opens; with the prior, if that was trained.

    Raises:
        SpressoError: ``checkpoint_missing``.
    """
    more: dict[str, Tensor] = {}
    if (run / STAGE / CHECKPOINT).exists():
        prior = CodePrior(sizes)
        prior.load_state_dict(averaged_state(run / STAGE / CHECKPOINT, "prior"))
        more = whole_prior(prior)
    save_model(folder, NAME, trained_model(cfg, run), more)
