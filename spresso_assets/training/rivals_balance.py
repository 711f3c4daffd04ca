"""EnCodec's loss balancer and its adversary: what each loss asks of the output, in agreed shares."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from spresso_assets.training.checkpoint import optimizer_tensors, restore_optimizer, strip
from spresso_assets.training.rivals_discriminators import (
    RivalDiscriminators,
    hinge_discriminator,
    hinge_generator,
    relative_features,
)


class Balancer:
    """Mixes gradients of losses with respect to the output so that weights are shares (EnCodec, equation 5).

    A loss of weight w gets w / sum(w) of the reference norm, whatever its natural scale: its gradient is divided by the
    running average of its norm.

    Args:
        weights: of each loss by name.
        decay: of the running averages.
    """

    def __init__(self, weights: Mapping[str, float], *, decay: float = 0.999, norm: float = 1.0) -> None:
        self.weights, self.decay, self.norm = dict(weights), decay, norm
        self.total = dict.fromkeys(
            weights, 0.0
        )  # decayed sums of norms, and of ones: their quotient is no lagging start
        self.count = dict.fromkeys(weights, 0.0)

    def __call__(self, losses: Mapping[str, Tensor], output: Tensor) -> tuple[Tensor, dict[str, float]]:
        """A stand-in loss whose gradient with respect to ``output`` is the balanced one, and the share of each loss.

        Losses that are not given this time (there is no adversary yet) leave their share to the others.
        """
        total_weight = sum(self.weights[name] for name in losses)
        mixed, norms = torch.zeros_like(output), {}
        for name, loss in losses.items():
            (gradient,) = torch.autograd.grad(loss, output, retain_graph=True)
            norm = float(gradient.norm())
            self.total[name] = self.decay * self.total[name] + norm
            self.count[name] = self.decay * self.count[name] + 1
            average = self.total[name] / self.count[name]
            scale = self.norm * self.weights[name] / total_weight / max(average, 1e-12)
            mixed = mixed + scale * gradient
            norms[name] = scale * norm
        whole = max(sum(norms.values()), 1e-12)
        return (output * mixed.detach()).sum(), {f"share_{name}": value / whole for name, value in norms.items()}

    # -- state -------------------------------------------------------------------------------------------------
    def state_tensors(self) -> dict[str, Tensor]:
        return {n: torch.tensor([self.total[n], self.count[n]], dtype=torch.float64) for n in self.weights}

    def load_tensors(self, tensors: dict[str, Tensor]) -> None:
        for name, pair in tensors.items():
            self.total[name], self.count[name] = (float(value) for value in pair)


@dataclass(frozen=True)
class HingeConfig:
    """The other player.

    Attributes:
        kind: whose discriminators, or ``none``. width: see `RivalDiscriminators`.
        start: step from which they play.
        chance: of learning in a step; EnCodec takes 2/3 at 24 kHz and 1/2 at 48 kHz, as they learn too easily.
        per_rate: a set of discriminators for each rate on offer, as EnCodec has it, instead of one for all. Each
            judges, and learns from, only the batches of its rate.
    """

    kind: Literal["none", "soundstream", "encodec"] = "soundstream"
    width: int = 16
    start: int = 2000
    chance: float = 1.0
    lr: float = 3e-4
    per_rate: bool = False


class HingeAdversary:
    """Discriminators with an optimiser of their own. Its state belongs into the checkpoint (`Loop(kept=...)`).

    Args:
        rates: on offer; they matter only if there are discriminators for each.
    """

    def __init__(self, cfg: HingeConfig, sample_rate: int, device: str, *, rates: int = 1) -> None:
        assert cfg.kind != "none"  # then there is no adversary
        self.cfg = cfg
        count = rates if cfg.per_rate else 1
        self.sets = [RivalDiscriminators(cfg.kind, sample_rate, cfg.width).to(device) for _ in range(count)]
        self.networks: nn.Module = nn.ModuleList(self.sets) if cfg.per_rate else self.sets[0]
        self.named: dict[str, nn.Parameter] = dict(self.networks.named_parameters())
        self.optimizer = torch.optim.Adam(self.named.values(), lr=cfg.lr, betas=(0.5, 0.9))

    def play(self, real_BCN: Tensor, fake_BCN: Tensor, generator: torch.Generator, rate: int = 0) -> dict[str, Tensor]:
        """Learn, by chance, and then judge: losses ``adversarial`` and ``features`` of the reconstruction.

        Channels are judged one by one.

        Args:
            rate: which of those on offer all of the batch has.
        """
        judges = self.sets[rate if self.cfg.per_rate else 0]
        real_BN, fake_BN = real_BCN.flatten(0, 1), fake_BCN.flatten(0, 1)
        if float(torch.rand((), generator=generator)) < self.cfg.chance:
            loss = hinge_discriminator(judges(real_BN), judges(fake_BN.detach()))
            self.optimizer.zero_grad(set_to_none=True)
            loss.backward()
            if torch.isfinite(nn.utils.clip_grad_norm_(judges.parameters(), 10.0)):
                self.optimizer.step()
        judges.requires_grad_(False)
        with torch.no_grad():
            real = judges(real_BN)
        fake = judges(fake_BN)
        judges.requires_grad_(True)
        return {"adversarial": hinge_generator(fake), "features": relative_features(real, fake)}

    # -- state -------------------------------------------------------------------------------------------------
    def state_tensors(self) -> dict[str, Tensor]:
        weights = {f"model.{n}": t for n, t in self.networks.state_dict().items()}
        return weights | optimizer_tensors(self.optimizer, self.named)

    def load_tensors(self, tensors: dict[str, Tensor]) -> None:
        """Continue from a checkpoint; one of a run without discriminators leaves them fresh."""
        if tensors:
            self.networks.load_state_dict(strip(tensors, "model."))
            restore_optimizer(self.optimizer, self.named, tensors)
