"""Discriminators of SoundStream (waveforms at three scales, one complex spectrum) and of EnCodec (five spectra).

All take mono audio [B, N] and return their feature maps, the verdict last, as those of `discriminators` do.
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm

Maps = list[list[Tensor]]
_SLOPE = 0.2


class WaveDiscriminator(nn.Module):
    """Grouped convolutions on the waveform (MelGAN, Kumar et al. 2019): 16 times the width at a 256th of the rate."""

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        layers: list[nn.Module] = [weight_norm(nn.Conv1d(1, width, 15, padding=7))]
        channels = width
        for _ in range(4):
            wider = min(4 * channels, 16 * width)
            layers.append(weight_norm(nn.Conv1d(channels, wider, 41, 4, 20, groups=max(1, channels // 4))))
            channels = wider
        layers.append(weight_norm(nn.Conv1d(channels, channels, 5, padding=2)))
        self.layers = nn.ModuleList(layers)
        self.verdict = weight_norm(nn.Conv1d(channels, 1, 3, padding=1))

    def forward(self, audio_BN: Tensor) -> list[Tensor]:
        maps, h_BCT = [], audio_BN[:, None]
        for layer in self.layers:
            h_BCT = F.leaky_relu(layer(h_BCT), _SLOPE)
            maps.append(h_BCT)
        return [*maps, self.verdict(h_BCT)]


class StftDiscriminator(nn.Module):
    """Convolutions on one complex spectrum, dilated in time and strided in frequency (EnCodec, section 3.4).

    Args:
        window: samples per frame; the hop is a quarter.
        width: channels of every layer.
    """

    window_W: Tensor

    def __init__(self, window: int, width: int = 32) -> None:
        super().__init__()
        self.register_buffer("window_W", torch.hann_window(window), persistent=False)
        layers: list[nn.Module] = [weight_norm(nn.Conv2d(2, width, (3, 8), padding=(1, 4)))]
        for dilation in (1, 2, 4):
            layers.append(weight_norm(nn.Conv2d(width, width, (3, 9), (1, 2), (dilation, 4), dilation=(dilation, 1))))
        layers.append(weight_norm(nn.Conv2d(width, width, (3, 3), padding=1)))
        self.layers = nn.ModuleList(layers)
        self.verdict = weight_norm(nn.Conv2d(width, 1, (3, 3), padding=1))

    def forward(self, audio_BN: Tensor) -> list[Tensor]:
        window = len(self.window_W)
        padded_BN = F.pad(audio_BN, (window // 2, window // 2))
        spectrum_BTF = torch.fft.rfft(padded_BN.unfold(-1, window, window // 4) * self.window_W) / window**0.5
        h_BCTF = torch.view_as_real(spectrum_BTF).movedim(-1, 1)
        maps = []
        for layer in self.layers:
            h_BCTF = F.leaky_relu(layer(h_BCTF), _SLOPE)
            maps.append(h_BCTF)
        return [*maps, self.verdict(h_BCTF)]


class RivalDiscriminators(nn.Module):
    """An ensemble.

    Args:
        kind: ``soundstream`` has the waveform at full, half and quarter rate, and the spectrum of 1024 samples;
            ``encodec`` has spectra of 128 to 2048 samples, twice that at 48 kHz.
        width: channels of spectra; waveforms have half as many to begin with.
    """

    def __init__(self, kind: Literal["soundstream", "encodec"], sample_rate: int, width: int = 32) -> None:
        super().__init__()
        double = 2 if sample_rate > 24_000 else 1
        windows = (1024,) if kind == "soundstream" else (2048, 1024, 512, 256, 128)
        self.spectra = nn.ModuleList(StftDiscriminator(w * double, width) for w in windows)
        self.waves = nn.ModuleList(WaveDiscriminator(width // 2) for _ in range(3 if kind == "soundstream" else 0))

    def forward(self, audio_BN: Tensor) -> Maps:
        """Feature maps of every member."""
        maps = [member(audio_BN) for member in self.spectra]
        for member in self.waves:
            maps.append(member(audio_BN))
            audio_BN = F.avg_pool1d(audio_BN[:, None], 4, 2, 1)[:, 0]
        return maps


def hinge_discriminator(real: Maps, fake: Maps) -> Tensor:
    """mean max(0, 1 - D(x)) + max(0, 1 + D(x^)), mean over discriminators."""
    return torch.stack(
        [F.relu(1 - r[-1]).mean() + F.relu(1 + f[-1]).mean() for r, f in zip(real, fake, strict=True)]
    ).mean()


def hinge_generator(fake: Maps) -> Tensor:
    """mean max(0, 1 - D(x^)), mean over discriminators."""
    return torch.stack([F.relu(1 - f[-1]).mean() for f in fake]).mean()


def relative_features(real: Maps, fake: Maps) -> Tensor:
    """Mean |difference| of feature maps, each over the mean of its true values (EnCodec, equation 2)."""
    terms = [
        (a.detach() - b).abs().mean() / a.detach().abs().mean().clamp_min(1e-8)
        for r, f in zip(real, fake, strict=True)
        for a, b in zip(r[:-1], f[:-1], strict=True)
    ]
    return torch.stack(terms).mean()
