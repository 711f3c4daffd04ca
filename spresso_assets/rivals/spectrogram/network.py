"""Autoencoder of spectrogram images with a mean-scale hyperprior (Minnen, Balle and Toderici 2018), for several rates.

The image of latents y is coded as rounded differences to a mean, with a spread, and both means and spreads come from a
much smaller image z of hyper-latents, which is sent first. One model serves many rates by gains: latents are multiplied
by a vector before rounding and by another after it, and between the vectors of two trained rates lie all the others
(Cui et al. 2021).

Here everything is float, for training. What decides bits is run in whole numbers by `entropy_model`.

Axes: B batch, T frames, F frequencies, M latent channels, H hyper channels, R trained rates.
"""

from __future__ import annotations

import math
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from spresso_assets.rivals.spectrogram.config import (
    HYPER_SHRINK,
    SCALE_MAX,
    SCALE_MIN,
    SCALE_START,
    SCALES,
    SHRINK,
    Z_LIMIT,
    SpectrogramConfig,
)

PLACES = 4  # channels by which the hyper decoder tells low frequencies from high ones
GAIN_START = 0.3  # of the coarsest rate: few latents are worth a bit there
_SLOPE = 0.1


def with_ramp(x_BCTF: Tensor) -> Tensor:
    """One more channel, from -1 at the lowest frequency to 1 at the highest: convolutions alone do not know pitch."""
    ramp_F = torch.linspace(-1, 1, x_BCTF.shape[-1], device=x_BCTF.device, dtype=x_BCTF.dtype)
    return torch.cat([x_BCTF, ramp_F.expand(len(x_BCTF), 1, x_BCTF.shape[2], -1)], 1)


class Analysis(nn.Module):
    """Image [B, 1, T, F] -> latents [B, M, T / 16, F / 16]."""

    def __init__(self, cfg: SpectrogramConfig) -> None:
        super().__init__()
        sizes = (2, *cfg.widths)
        self.layers = nn.ModuleList(nn.Conv2d(i, o, 5, 2, 2) for i, o in pairwise(sizes))

    def forward(self, image_B1TF: Tensor) -> Tensor:
        h = with_ramp(image_B1TF)
        for layer in self.layers[:-1]:
            h = F.leaky_relu(layer(h), _SLOPE)
        y_BMTF: Tensor = self.layers[-1](h)
        return y_BMTF


class Synthesis(nn.Module):
    """Latents -> image."""

    def __init__(self, cfg: SpectrogramConfig) -> None:
        super().__init__()
        first, *rest = (*cfg.widths[::-1], 1)
        sizes = (first + 1, *rest)
        self.layers = nn.ModuleList(nn.ConvTranspose2d(i, o, 4, 2, 1) for i, o in pairwise(sizes))

    def forward(self, y_BMTF: Tensor) -> Tensor:
        h = with_ramp(y_BMTF)
        for layer in self.layers[:-1]:
            h = F.leaky_relu(layer(h), _SLOPE)
        image_B1TF: Tensor = self.layers[-1](h)
        return image_B1TF + 0.3


class HyperDecoder(nn.Module):
    """Hyper-latents [B, H, T, F] -> means and scale numbers [B, M, 4 T, 4 F] each. Simple enough for whole numbers."""

    def __init__(self, cfg: SpectrogramConfig) -> None:
        super().__init__()
        self.place_PF = nn.Parameter(torch.randn(PLACES, cfg.rows // HYPER_SHRINK))
        self.one = nn.Conv2d(cfg.hyper + PLACES, cfg.hyper, 3, 1, 1)
        self.two = nn.Conv2d(cfg.hyper, 2 * cfg.hyper, 3, 1, 1)
        self.three = nn.Conv2d(2 * cfg.hyper, 2 * cfg.latents, 3, 1, 1)

    def forward(self, z_BHTF: Tensor) -> tuple[Tensor, Tensor]:
        places = self.place_PF[None, :, None].expand(len(z_BHTF), -1, z_BHTF.shape[2], -1)
        h = F.relu(self.one(_double(torch.cat([z_BHTF, places], 1))))
        mean, scale = self.three(F.relu(self.two(_double(h)))).chunk(2, 1)
        return mean, scale + SCALE_START


def _double(x_BCTF: Tensor) -> Tensor:
    return F.interpolate(x_BCTF, scale_factor=2, mode="nearest")


class ImageCodec(nn.Module):
    """All of it; `forward` is a training pass."""

    def __init__(self, cfg: SpectrogramConfig) -> None:
        super().__init__()
        self.cfg = cfg
        self.analysis, self.synthesis = Analysis(cfg), Synthesis(cfg)
        self.hyper_encoder = nn.Sequential(
            nn.Conv2d(cfg.latents, cfg.hyper, 3, 1, 1),
            nn.LeakyReLU(_SLOPE),
            nn.Conv2d(cfg.hyper, cfg.hyper, 3, 2, 1),
            nn.LeakyReLU(_SLOPE),
            nn.Conv2d(cfg.hyper, cfg.hyper, 3, 2, 1),
        )
        self.hyper_decoder = HyperDecoder(cfg)
        self.z_mean_HF = nn.Parameter(torch.zeros(cfg.hyper, cfg.rows // HYPER_SHRINK))
        self.z_spread_HF = nn.Parameter(torch.full((cfg.hyper, cfg.rows // HYPER_SHRINK), -2.0))  # log of it
        # Logarithms. At the best trade of rate and distortion a step's square goes with 1 / lambda; gains learn slowly,
        # so they start there.
        steps_R1 = torch.tensor(cfg.rates).log()[:, None] / 2 + math.log(GAIN_START)
        self.gain_RM = nn.Parameter(steps_R1.repeat(1, cfg.latents))
        self.ungain_RM = nn.Parameter(-steps_R1.repeat(1, cfg.latents))

    def gains(self, rate: float) -> tuple[Tensor, Tensor]:
        """Factors [M, 1, 1] before and after rounding, for a rate between 0 and R - 1."""
        low = min(int(rate), len(self.cfg.rates) - 2)
        part = rate - low
        before, after = (
            ((1 - part) * table[low] + part * table[low + 1]).exp()[:, None, None]
            for table in (self.gain_RM, self.ungain_RM)
        )
        return before, after

    def z_bits(self, z_BHTF: Tensor) -> Tensor:
        """Bits of each (noisy) hyper-latent: a logistic distribution per channel and frequency."""
        centre, spread = self.z_mean_HF[:, None], self.z_spread_HF[:, None].clamp(-3, 3).exp()
        mass = torch.sigmoid((z_BHTF - centre + 0.5) / spread) - torch.sigmoid((z_BHTF - centre - 0.5) / spread)
        return -mass.clamp_min(1e-6).log2()

    def latents(self, image_B1TF: Tensor, rate: float, generator: torch.Generator | None) -> tuple[Tensor, Tensor]:
        """Image [B, 1, T, F], T and F multiples of 64 -> what the decoder gets, and bits of each clip [B].

        Args:
            generator: of the noise that stands for rounding where bits are counted, as rounding has no gradient. None
                counts those of rounded latents: what a stream takes. Noise counts 0.16 bits more for each latent
                that is never anything but zero, which is most of them.
        """

        def rounded(x: Tensor) -> Tensor:
            if generator is None:
                return x.round()
            return x + (torch.rand(x.shape, generator=generator) - 0.5).to(x.device)

        before, after = self.gains(rate)
        y = self.analysis(image_B1TF) * before
        z = self.hyper_encoder(y).clamp(-Z_LIMIT, Z_LIMIT)
        mean, scale = self.hyper_decoder(through(z))
        spread = spread_of(scale)
        apart = rounded(y - mean)
        mass = _normal((0.5 - apart.abs()) / spread) - _normal((-0.5 - apart.abs()) / spread)
        bits_B = -mass.clamp_min(1e-6).log2().sum((1, 2, 3)) + self.z_bits(rounded(z)).sum((1, 2, 3))
        return (through(y - mean) + mean) * after, bits_B

    def forward(self, image_B1TF: Tensor, rate: float, generator: torch.Generator | None) -> tuple[Tensor, Tensor]:
        """Image -> its reconstruction, and bits of each clip [B]; see `latents`."""
        latents_BMTF, bits_B = self.latents(image_B1TF, rate, generator)
        made: Tensor = self.synthesis(latents_BMTF)
        return made, bits_B


def spread_of(scale: Tensor) -> Tensor:
    """Standard deviation that a scale number (0..63) stands for."""
    step = math.log(SCALE_MAX / SCALE_MIN) / (SCALES - 1)
    return SCALE_MIN * (scale.clamp(0, SCALES - 1) * step).exp()


def through(x: Tensor) -> Tensor:
    """Rounded forwards, as if not rounded backwards."""
    return x + (x.round() - x).detach()


def _normal(x: Tensor) -> Tensor:
    return 0.5 * torch.erfc(-x / math.sqrt(2))


assert SHRINK * 4 == HYPER_SHRINK
