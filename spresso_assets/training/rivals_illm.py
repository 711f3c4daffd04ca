"""The perceptual adversary of the spectrogram-image codec: implicit local likelihood models (Muckley et al. 2023).

A plain discriminator says true or forged. This one says what each patch of an image is: one of K kinds, or forged. The
kinds are the codes that a small vector-quantised autoencoder, the labeller, gives the patches of true images. The
decoder is rewarded where its patches pass for the kind that the original has there, so what is likely is asked for
patch by patch, and inventing something good of another kind earns nothing.

Axes: B batch, T frames, F frequencies, L labels and the one of forgery, D numbers per patch, N patches of a clip.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from spresso_assets.rivals.soundstream.quantizer import ResidualQuantizer
from spresso_assets.rivals.spectrogram.config import RANGE_DB, SHRINK
from spresso_assets.rivals.spectrogram.network import with_ramp
from spresso_assets.training.checkpoint import optimizer_tensors, restore_optimizer, strip
from spresso_assets.training.rivals_codebooks import CodebookLearner

NUMBERS = 8  # per patch, of length one together: few, so that all codes stay in use
COMMITMENT = 0.25
PATCHES = (4, 8, 16)
DEEPEST = 32  # pixels per place of the discriminator's coarsest layer
_SLOPE = 0.2


@dataclass(frozen=True)
class IllmConfig:
    """The adversary, and when it plays.

    Attributes:
        kind: ``none`` trains on distortion and rate alone.
        codes: kinds of patches, a power of two. patch: their sides in pixels, 4, 8 or 16.
        width: channels after the first halving, of the labeller and of the discriminator.
        start: step from which the game is played; also for a run that was trained without it and is resumed.
        labeller_steps: the labeller learns in so many steps before ``start``, and is then never changed again. Where
            there were not as many, the game waits for it.
        weight: of the decoder's loss in the game, in nats per patch, beside the distortion.
        freeze_encoder: from ``start`` on only the decoder learns, so streams stay what they are.
    """

    kind: Literal["none", "illm"] = "none"
    codes: int = 256
    patch: int = 8
    width: int = 16
    start: int = 10_000
    labeller_steps: int = 2_000
    weight: float = 0.1
    freeze_encoder: bool = True
    lr: float = 4e-4

    def __post_init__(self) -> None:
        if self.kind not in ("none", "illm"):
            raise ValueError(f"unknown adversary '{self.kind}'; known: none, illm")
        if self.codes < 2 or self.codes & (self.codes - 1):
            raise ValueError(f"codes is {self.codes}, and must be a power of two")
        if self.patch not in PATCHES:
            raise ValueError(f"patch is {self.patch}, and must be one of {', '.join(map(str, PATCHES))}")
        if self.labeller_steps < 1:
            raise ValueError("labeller_steps must be at least 1: labels of an untrained labeller mean nothing")


class Labeller(nn.Module):
    """Vector-quantised autoencoder of images [B, 1, T, F], one code per patch (van den Oord et al. 2017)."""

    def __init__(self, cfg: IllmConfig) -> None:
        super().__init__()
        widths = [min(cfg.width << i, 4 * cfg.width) for i in range(int(math.log2(cfg.patch)))]
        down = [nn.Conv2d(i, o, 4, 2, 1) for i, o in pairwise((1, *widths))]
        up = [nn.ConvTranspose2d(i, o, 4, 2, 1) for i, o in pairwise((*widths[::-1], 1))]
        self.encoder = nn.Sequential(*_between(down), nn.LeakyReLU(_SLOPE), nn.Conv2d(widths[-1], NUMBERS, 1))
        self.decoder = nn.Sequential(nn.Conv2d(NUMBERS, widths[-1], 1), nn.LeakyReLU(_SLOPE), *_between(up))
        self.quantizer = ResidualQuantizer(1, int(math.log2(cfg.codes)), NUMBERS)

    def vectors(self, image_B1TF: Tensor) -> Tensor:
        """What is quantised: [B, D, T / patch, F / patch], each vector of length one."""
        return F.normalize(self.encoder(image_B1TF), dim=1)

    @torch.no_grad()
    def labels(self, image_B1TF: Tensor) -> Tensor:
        """The code of each patch, [B, T / patch, F / patch]."""
        z = self.vectors(image_B1TF)
        return self.quantizer.encode(z.flatten(2), 1)[..., 0].reshape(len(z), *z.shape[2:])


class LabelDiscriminator(nn.Module):
    """A U-Net that says of each patch which code it has, or that it is forged: logits [B, L, T / patch, F / patch].

    It is cut off at the size of patches, and is told the latents that the decoder had.
    """

    def __init__(self, cfg: IllmConfig, latents: int) -> None:
        super().__init__()
        most, halvings = 4 * cfg.width, int(math.log2(DEEPEST))
        self.joined = int(math.log2(SHRINK))  # halvings after which there is one place per latent
        self.context = nn.Conv2d(latents, cfg.width, 1)
        sizes = [2, *(min(cfg.width << i, most) for i in range(halvings))]
        told = [size + cfg.width * (i == self.joined) for i, size in enumerate(sizes)]
        self.down = nn.ModuleList(nn.Conv2d(i, o, 4, 2, 1) for i, o in zip(told[:-1], sizes[1:], strict=True))
        beside = told[int(math.log2(cfg.patch)) : -1][::-1]
        self.up = nn.ModuleList(nn.Conv2d(most + size, most, 3, 1, 1) for size in beside)
        self.verdict = nn.Conv2d(most, cfg.codes + 1, 1)

    def forward(self, image_B1TF: Tensor, latents_BMTF: Tensor) -> Tensor:
        h, maps = with_ramp(image_B1TF), []
        for halvings, layer in enumerate(self.down, 1):
            h = F.leaky_relu(layer(h), _SLOPE)
            if halvings == self.joined:
                h = torch.cat([h, self.context(latents_BMTF)], 1)
            maps.append(h)
        for layer, beside in zip(self.up, maps[-2::-1], strict=False):
            h = F.interpolate(h, scale_factor=2, mode="nearest")
            h = F.leaky_relu(layer(torch.cat([h, beside], 1)), _SLOPE)
        logits: Tensor = self.verdict(h)
        return logits


def _between(layers: Iterable[nn.Module]) -> list[nn.Module]:
    """Layers with a nonlinearity between each two."""
    spaced = [part for layer in layers for part in (layer, nn.LeakyReLU(_SLOPE))]
    return spaced[:-1]


def told_apart(real_BLTF: Tensor, fake_BLTF: Tensor, labels_BTF: Tensor) -> Tensor:
    """What the discriminator makes small: cross-entropy to the labels of true patches, and to "forged", the last."""
    forged_BTF = torch.full_like(labels_BTF, real_BLTF.shape[1] - 1)
    return 0.5 * (F.cross_entropy(real_BLTF, labels_BTF) + F.cross_entropy(fake_BLTF, forged_BTF))


def unlikely(fake_BLTF: Tensor, labels_BTF: Tensor) -> Tensor:
    """What the decoder makes small: minus the log-likelihood, in nats, of the original's labels at its patches."""
    return F.cross_entropy(fake_BLTF, labels_BTF)


class Illm:
    """Labeller and discriminator, and how far they are. Its state belongs into the checkpoint (`Loop(kept=...)`).

    Args:
        latents: channels of what the decoder gets.
    """

    def __init__(self, cfg: IllmConfig, latents: int, device: str) -> None:
        assert cfg.kind == "illm"  # otherwise there is no adversary
        self.cfg = cfg
        self.labeller, self.discriminator = Labeller(cfg).to(device), LabelDiscriminator(cfg, latents).to(device)
        self.codebook = CodebookLearner(self.labeller.quantizer)
        self.networks = nn.ModuleDict({"labeller": self.labeller, "discriminator": self.discriminator})
        self.named: dict[str, nn.Parameter] = dict(self.networks.named_parameters())
        self.optimizer = torch.optim.Adam(self.named.values(), lr=cfg.lr, betas=(0.5, 0.9))
        self.learned, self.playing = 0, False

    def learns(self, step: int) -> bool:
        """Whether the labeller learns in this step of the training."""
        early = self.cfg.start - self.cfg.labeller_steps
        return self.learned < self.cfg.labeller_steps and step >= early

    def begins(self, step: int) -> bool:
        """Whether this is the first step of the game."""
        return not self.playing and step >= self.cfg.start and self.learned >= self.cfg.labeller_steps

    def learn_labels(self, image_B1TF: Tensor, generator: torch.Generator) -> dict[str, float]:
        """A step of the labeller; values to log: its error in dB, and how many codes are in use (their perplexity)."""
        z = self.labeller.vectors(image_B1TF)
        one_B = torch.ones(len(z), dtype=torch.long)
        chosen_BDN, commitment = self.codebook(z.flatten(2), one_B, generator)
        error = (self.labeller.decoder(chosen_BDN.reshape(z.shape)) + 0.3 - image_B1TF).square().mean()
        self._learn(100 * error + COMMITMENT * commitment, self.labeller)
        self.learned += 1
        share_K = self.codebook.count_MK[0] / self.codebook.count_MK[0].sum()
        perplexity = float(torch.special.entr(share_K).sum().exp())
        return {"labeller_db": float(error.detach().sqrt()) * RANGE_DB, "labels": perplexity}

    def play(self, image_B1TF: Tensor, made_B1TF: Tensor, latents_BMTF: Tensor) -> tuple[Tensor, dict[str, float]]:
        """Learn, and then judge: the decoder's loss, in nats per patch, and values to log.

        Args:
            latents_BMTF: what the decoder made ``made_B1TF`` of.
        """
        latents_BMTF, labels_BTF = latents_BMTF.detach(), self.labeller.labels(image_B1TF)
        real = self.discriminator(image_B1TF, latents_BMTF)
        loss = told_apart(real, self.discriminator(made_B1TF.detach(), latents_BMTF), labels_BTF)
        self._learn(loss, self.discriminator)
        self.discriminator.requires_grad_(False)
        adversarial = unlikely(self.discriminator(made_B1TF, latents_BMTF), labels_BTF)
        self.discriminator.requires_grad_(True)
        return adversarial, {"adversarial": float(adversarial.detach()), "discriminator": float(loss.detach())}

    def _learn(self, loss: Tensor, player: nn.Module) -> None:
        self.optimizer.zero_grad(set_to_none=True)  # who has no gradient is left alone
        loss.backward()
        if torch.isfinite(nn.utils.clip_grad_norm_(player.parameters(), 10.0)):
            self.optimizer.step()

    # -- state -------------------------------------------------------------------------------------------------
    def state_tensors(self) -> dict[str, Tensor]:
        weights = {f"model.{n}": t for n, t in self.networks.state_dict().items()}
        codebook = {f"codebook.{n}": t for n, t in self.codebook.state_tensors().items()}
        told = {"learned": torch.tensor(self.learned), "playing": torch.tensor(self.playing)}
        return weights | codebook | told | optimizer_tensors(self.optimizer, self.named)

    def load_tensors(self, tensors: dict[str, Tensor]) -> None:
        """Continue from a checkpoint; one of a run without this adversary leaves it fresh."""
        if tensors:
            self.networks.load_state_dict(strip(tensors, "model."))
            self.codebook.load_tensors(strip(tensors, "codebook."))
            restore_optimizer(self.optimizer, self.named, tensors)
            self.learned, self.playing = int(tensors["learned"]), bool(tensors["playing"])
