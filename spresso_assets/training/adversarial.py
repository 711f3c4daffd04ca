"""Adversarial training of the AudioAE as in DAC: least-squares GAN losses, feature matching, and the other player."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from spresso_assets.errors import ExitCode, SpressoError
from spresso_assets.training.checkpoint import optimizer_tensors, restore_optimizer, strip
from spresso_assets.training.discriminators import FULL_CHANNELS, Discriminators
from spresso_assets.training.ranks import join

Maps = list[list[Tensor]]  # feature maps of every discriminator, the verdict last


@dataclass(frozen=True)
class AdversaryConfig:
    """The other player; numbers are DAC's.

    Attributes:
        discriminators: ``none``, ``mrd`` (spectra) or ``full`` (spectra and periods).
        channels: their width.
        start: step of the autoencoder from which they play; before it, its output is not worth judging.
        weight, feature_weight: of the adversarial loss and of feature matching in the autoencoder's loss.
        lr, betas, decay, clip_norm: of their AdamW; ``decay`` is the learning rate's factor per step.
    """

    discriminators: Literal["none", "mrd", "full"] = "none"
    channels: int = FULL_CHANNELS
    start: int = 5000
    weight: float = 1.0
    feature_weight: float = 2.0
    lr: float = 1e-4
    betas: tuple[float, float] = (0.8, 0.99)
    decay: float = 0.999996
    clip_norm: float = 10.0

    def __post_init__(self) -> None:
        if self.discriminators not in ("none", "mrd", "full"):
            raise SpressoError(
                f"unknown discriminators '{self.discriminators}'",
                code="bad_config",
                hint="Known: none, mrd, full.",
                exit_code=ExitCode.USAGE,
            )


def discriminator_loss(real: Maps, fake: Maps) -> Tensor:
    """mean (1 - D(x))^2 + mean D(x^)^2, summed over discriminators (LSGAN, Mao et al. 2017)."""
    losses = [(1 - r[-1]).square().mean() + f[-1].square().mean() for r, f in zip(real, fake, strict=True)]
    return torch.stack(losses).sum()


def generator_loss(fake: Maps) -> Tensor:
    """mean (1 - D(x^))^2, summed over discriminators."""
    return torch.stack([(1 - f[-1]).square().mean() for f in fake]).sum()


def feature_loss(real: Maps, fake: Maps) -> Tensor:
    """Mean |difference| of each feature map but the verdict, summed over maps and discriminators."""
    pairs = [(a, b) for r, f in zip(real, fake, strict=True) for a, b in zip(r[:-1], f[:-1], strict=True)]
    return torch.stack([(a.detach() - b).abs().mean() for a, b in pairs]).sum()


class Adversary:
    """Discriminators with an optimiser of their own. Its state belongs into the checkpoint (`Loop(kept=...)`)."""

    def __init__(self, cfg: AdversaryConfig, device: torch.device, *, bf16: bool = False) -> None:
        assert cfg.discriminators != "none"  # then there is no adversary
        self.cfg, self.device, self.bf16 = cfg, device, bf16
        self.ranks = join()
        self.networks = Discriminators(cfg.discriminators, cfg.channels).to(device)
        self.ranks.same(self.networks.state_dict().values())
        self.named: dict[str, nn.Parameter] = dict(self.networks.named_parameters())
        self.optimizer = torch.optim.AdamW(self.named.values(), lr=cfg.lr, betas=cfg.betas)
        self.steps = 0

    def play(self, real_BN: Tensor, fake_BN: Tensor) -> tuple[Tensor, dict[str, float]]:
        """One step of the discriminators, then what they have to say to the autoencoder.

        Args:
            real_BN: the sound. fake_BN: its reconstruction, with gradient.

        Returns:
            The weighted adversarial and feature-matching loss, and values to log.
        """
        verdict = self._learn(real_BN, fake_BN.detach())
        self.networks.requires_grad_(False)
        with torch.no_grad():
            real = self._judge(real_BN)
        fake = self._judge(fake_BN)
        self.networks.requires_grad_(True)
        deceit, feature = generator_loss(fake), feature_loss(real, fake)
        values = {"disc": verdict, "adv": float(deceit.detach()), "feature": float(feature.detach())}
        return self.cfg.weight * deceit + self.cfg.feature_weight * feature, values

    def _learn(self, real_BN: Tensor, fake_BN: Tensor) -> float:
        loss = discriminator_loss(self._judge(real_BN), self._judge(fake_BN))
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.ranks.mean_gradients(self.named.values())
        norm = nn.utils.clip_grad_norm_(self.named.values(), self.cfg.clip_norm)
        for group in self.optimizer.param_groups:
            group["lr"] = self.cfg.lr * self.cfg.decay**self.steps
        if torch.isfinite(norm):
            self.optimizer.step()
        self.steps += 1
        return float(loss.detach())

    def _judge(self, audio_BN: Tensor) -> Maps:
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16):
            maps: Maps = self.networks(audio_BN)
        return [[m.float() for m in member] for member in maps]

    # -- state -------------------------------------------------------------------------------------------------
    def state_tensors(self) -> dict[str, Tensor]:
        weights = {f"model.{n}": t for n, t in self.networks.state_dict().items()}
        return weights | optimizer_tensors(self.optimizer, self.named) | {"steps": torch.tensor(self.steps)}

    def load_tensors(self, tensors: dict[str, Tensor]) -> None:
        """Continue from a checkpoint; one of a run without discriminators leaves them fresh."""
        if tensors:
            self.networks.load_state_dict(strip(tensors, "model."))
            restore_optimizer(self.optimizer, self.named, tensors)
            self.steps = int(tensors["steps"])
