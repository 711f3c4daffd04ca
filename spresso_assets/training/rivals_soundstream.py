"""Trains convolutional codecs: our SoundStream, and the EnCodec-like one, which has the same skeleton.

    spresso train rival soundstream SOUNDS --run RUN --max-minutes 600 [--resume]
    spresso train rival encodec-ours SOUNDS --run RUN --max-minutes 600 [--resume]

The mel loss is the one that our own decoder is trained with, so that a comparison is one of methods; the balancer
mixes it with the others for both (SoundStream's authors weigh by hand).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from spresso_assets.rivals.soundstream.config import SeanetConfig
from spresso_assets.rivals.soundstream.model import ConvCodec
from spresso_assets.training.checkpoint import CHECKPOINT, averaged_state
from spresso_assets.training.loop import Kept, Loop, LoopConfig
from spresso_assets.training.losses import MultiResolutionMel
from spresso_assets.training.rivals_balance import Balancer, HingeAdversary, HingeConfig
from spresso_assets.training.rivals_codebooks import DEAD, CodebookLearner
from spresso_assets.training.rivals_data import Clips, clips_file, with_noise
from spresso_assets.training.rivals_start import start_as_transform

STAGE = "model"
START_CLIPS = 64  # of a second: what the start is made for
WEIGHTS = {"time": 0.1, "mel": 2.0, "adversarial": 4.0, "features": 4.0}


@dataclass(frozen=True)
class ConvTrainingConfig:
    """Clips, and what is asked of the networks.

    Attributes:
        seconds: of a clip. batch: clips per step.
        weights: shares of the losses in the gradient.
        commitment: how strongly frames are pulled towards their codes, as a share of the gradient that the balanced
            losses have there.
        dropout: how many codebooks a clip gets: ``any`` number, drawn clip by clip (SoundStream), or one of those on
            offer for the whole batch (EnCodec).
        dead: average use per batch below which an entry starts again.
        adversary: discriminators and when they play.
    """

    seconds: float = 1.0
    batch: int = 8
    weights: Mapping[str, float] = field(default_factory=lambda: dict(WEIGHTS))
    commitment: float = 0.05
    dropout: str = "any"
    dead: float = DEAD
    adversary: HingeConfig = field(default_factory=HingeConfig)

    def __post_init__(self) -> None:
        if self.adversary.per_rate and self.dropout != "offered":
            raise ValueError("discriminators per rate need batches of one rate: dropout = 'offered'")


def used_codebooks(cfg: SeanetConfig, dropout: str, batch: int, generator: torch.Generator) -> Tensor:
    """How many codebooks each clip of a batch gets, [B]."""
    if dropout == "any":
        return torch.randint(1, cfg.codebooks + 1, (batch,), generator=generator)
    chosen = cfg.offered[int(torch.randint(len(cfg.offered), (), generator=generator))]
    return torch.full((batch,), chosen)


def pull_towards_codes(z_BDT: Tensor, coded_BDT: Tensor, commitment: Tensor, share: float) -> None:
    """Adds the commitment's gradient to what comes back to ``z_BDT`` from the decoder, ``share`` times as long.

    A weight would not do: what the decoder asks of frames is small as long as it cannot use most of what they say, and
    a pull of fixed strength then draws every direction but the loudest two or three into the centres of the codes, from
    where they do not come back.

    Args:
        coded_BDT: what the decoder gets, with the gradient of ``z_BDT``.
        commitment: squared distance of frames to their codes.
    """
    (pull_BDT,) = torch.autograd.grad(commitment, z_BDT, retain_graph=True)
    unit_BDT = pull_BDT / pull_BDT.norm().clamp_min(1e-12)
    coded_BDT.register_hook(lambda gradient_BDT: gradient_BDT + share * gradient_BDT.norm() * unit_BDT)


def levelled(audio_BCN: Tensor) -> Tensor:
    """Each clip over its root mean square, as chunks are coded."""
    return audio_BCN / audio_BCN.square().mean((1, 2), keepdim=True).sqrt().clamp_min(1e-4)


def as_coded(cfg: SeanetConfig, audio_BCN: Tensor) -> Tensor:
    """Clips as the codec gives them to its networks: a causal one in one piece, the others in levelled chunks."""
    return audio_BCN if cfg.causal else levelled(audio_BCN)


def train_convolutional(
    cfg: SeanetConfig,
    data: Path,
    out: Path,
    loop: LoopConfig,
    training: ConvTrainingConfig | None = None,
    *,
    resume: bool = False,
    device: str = "cpu",
) -> dict[str, float]:
    """Train on the clips in ``data``; returns the mel distance on val at each rate."""
    training = training or ConvTrainingConfig()
    torch.manual_seed(0)
    model = ConvCodec(cfg)
    train, val = Clips(data / clips_file("train")), Clips(data / clips_file("val"))
    model.to(device)
    mel = MultiResolutionMel(sample_rate=cfg.sample_rate).to(device)
    samples = round(training.seconds * cfg.sample_rate / cfg.hop) * cfg.hop
    learner, balancer = CodebookLearner(model.quantizer, dead=training.dead), Balancer(training.weights)
    if not (out / STAGE / CHECKPOINT).exists():
        begin = torch.Generator().manual_seed(0)
        sounds = as_coded(cfg, train.batch(START_CLIPS, cfg.sample_rate // cfg.hop * cfg.hop, begin)).to(device)
        start_as_transform(model, sounds)
        with torch.no_grad():
            z = model.encoder(sounds, torch.zeros(len(sounds), dtype=torch.bool, device=device))
            learner(z, torch.full((len(sounds),), cfg.codebooks), begin)
    kept: dict[str, Kept] = {"codebooks": learner, "balancer": balancer}
    adversary = None
    if training.adversary.kind != "none":
        adversary = HingeAdversary(training.adversary, cfg.sample_rate, device, rates=len(cfg.offered))
        kept["adversary"] = adversary

    def step(generator: torch.Generator, _fraction: float) -> tuple[Tensor, dict[str, float]]:
        audio = as_coded(cfg, train.batch(training.batch, samples, generator))
        target, clean_B = audio, torch.zeros(len(audio), dtype=torch.bool)
        if cfg.denoise != "none":
            noisy_B, clean_B = (torch.rand(len(audio), generator=generator) < 0.5 for _ in range(2))
            audio = torch.where(noisy_B[:, None, None], with_noise(audio, generator), audio)
            target = torch.where(clean_B[:, None, None], target, audio)
        audio, target, clean_B = audio.to(device), target.to(device), clean_B.to(device)
        used_B = used_codebooks(cfg, training.dropout, len(audio), generator)
        z = model.encoder(audio, clean_B)
        coded, commitment = learner(z, used_B, generator)
        pull_towards_codes(z, coded, commitment, training.commitment)
        made = model.decoder(coded, clean_B)
        losses = {
            "time": (made - target).abs().mean(),
            "mel": mel(made.flatten(0, 1), target.flatten(0, 1)),
        }
        if adversary is not None and runner.step >= training.adversary.start:
            rate = cfg.offered.index(int(used_B[0])) if training.adversary.per_rate else 0
            losses |= adversary.play(target, made, generator, rate)
        balanced, shares = balancer(losses, made)
        values = {name: float(loss.detach()) for name, loss in losses.items()} | shares
        # The stand-in has no meaning as a number: what is logged is the weighted sum. The commitment has no weight.
        told = sum(training.weights[name] * values[name] for name in losses)
        return balanced, values | {
            "loss": told,
            "commitment": float(commitment.detach()),
        }

    def evaluate() -> dict[str, float]:
        found: dict[str, list[float]] = {}
        for i in range(0, len(val), max(1, len(val) // 24)):
            audio = as_coded(cfg, val.clip(i, samples)[None]).to(device)
            codes = model.encode(audio, cfg.codebooks)
            for count in cfg.offered:
                made = model.decode(codes[..., :count])
                found.setdefault(f"mel_{cfg.kbps(count):g}kbps", []).append(float(mel(made.flatten(0, 1), audio[0])))
        return {k: sum(v) / len(v) for k, v in found.items()}

    runner = Loop({"model": model}, loop, out / STAGE, resume=resume, kept=kept)
    return runner.run(step, evaluate, "codec")


def trained_model(cfg: SeanetConfig, run: Path) -> ConvCodec:
    """The model of a run, with averaged weights.

    Raises:
        SpressoError: ``checkpoint_missing``.
    """
    model = ConvCodec(cfg)
    model.load_state_dict(averaged_state(run / STAGE / CHECKPOINT, "model"))
    return model.eval()
