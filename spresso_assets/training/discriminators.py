"""Discriminators of DAC (Kumar et al. 2023): folded waveforms and banded complex spectra, each a stack of 2-D convs.

All return their feature maps, the last of which is the verdict. At full width they cost several times what an AudioAE
does: `mrd` with half the channels is what modest hardware can afford.
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm

from spresso_assets.codec.stft import STFT

Kind = Literal["none", "mrd", "full"]

PERIODS = (2, 3, 5, 7, 11)
WINDOWS = (2048, 1024, 512)
BANDS = (0.0, 0.1, 0.25, 0.5, 0.75, 1.0)  # edges, as shares of the bins
FULL_CHANNELS = 32
_SLOPE = 0.1


def _conv(channels_in: int, channels_out: int, kernel: tuple[int, int], stride: tuple[int, int] = (1, 1)) -> nn.Module:
    padding = (kernel[0] // 2, kernel[1] // 2)
    return weight_norm(nn.Conv2d(channels_in, channels_out, kernel, stride, padding))


class PeriodDiscriminator(nn.Module):
    """Looks at every ``period``-th sample: [B, N] folded to [B, 1, N / period, period] (HiFi-GAN's MPD).

    Args:
        channels: width of the first layer; the others are 4, 16, 32 and 32 times as wide.
    """

    def __init__(self, period: int, channels: int = FULL_CHANNELS) -> None:
        super().__init__()
        self.period = period
        widths = [1, *(channels * k for k in (1, 4, 16, 32, 32))]
        strides = (3, 3, 3, 3, 1)
        self.layers = nn.ModuleList(
            _conv(i, o, (5, 1), (s, 1)) for i, o, s in zip(widths, widths[1:], strides, strict=False)
        )
        self.verdict = _conv(widths[-1], 1, (3, 1))

    def forward(self, audio_BN: Tensor) -> list[Tensor]:
        """Feature maps [B, C, L, period] of audio of at least ``period`` samples."""
        missing = -audio_BN.shape[1] % self.period
        h_BCLP = F.pad(audio_BN[:, None], (0, missing), "reflect").unflatten(-1, (-1, self.period))
        return _maps(h_BCLP, self.layers, self.verdict)


class SpectrumDiscriminator(nn.Module):
    """Looks at the complex spectrum of one resolution, in five bands with weights of their own (DAC's MRD).

    Args:
        window: samples per frame; the hop is a quarter.
        channels: width of every layer.
    """

    def __init__(self, window: int, channels: int = FULL_CHANNELS) -> None:
        super().__init__()
        self.stft = STFT(window, window // 4)
        bins = window // 2 + 1
        self.edges = [int(edge * bins) for edge in BANDS]
        self.bands = nn.ModuleList(
            nn.ModuleList(
                [
                    _conv(2, channels, (3, 9)),
                    *(_conv(channels, channels, (3, 9), (1, 2)) for _ in range(3)),
                    _conv(channels, channels, (3, 3)),
                ]
            )
            for _ in BANDS[1:]
        )
        self.verdict = _conv(channels, 1, (3, 3))

    def forward(self, audio_BN: Tensor) -> list[Tensor]:
        """Feature maps [B, C, T, F'], band after band; the verdict sees all bands side by side."""
        padded_BN = F.pad(audio_BN, (0, -audio_BN.shape[1] % self.stft.hop))
        spectrum_B2TF = torch.view_as_real(self.stft(padded_BN)).movedim(-1, 1)
        maps: list[Tensor] = []
        tops: list[Tensor] = []
        for band, low, high in zip(self.bands, self.edges, self.edges[1:], strict=False):
            assert isinstance(band, nn.ModuleList)
            h_BCTF = spectrum_B2TF[..., low:high]
            for layer in band:
                h_BCTF = F.leaky_relu(layer(h_BCTF), _SLOPE)
                maps.append(h_BCTF)
            tops.append(h_BCTF)
        return [*maps, self.verdict(torch.cat(tops, -1))]


class Discriminators(nn.Module):
    """An ensemble: ``mrd`` is three resolutions of the spectrum, ``full`` has the five periods as well."""

    def __init__(self, kind: Literal["mrd", "full"], channels: int = FULL_CHANNELS) -> None:
        super().__init__()
        members: list[nn.Module] = [SpectrumDiscriminator(w, channels) for w in WINDOWS]
        if kind == "full":
            members += [PeriodDiscriminator(p, channels) for p in PERIODS]
        self.members = nn.ModuleList(members)

    def forward(self, audio_BN: Tensor) -> list[list[Tensor]]:
        """Feature maps of every member, for audio of any level and offset."""
        normalised_BN = normalise(audio_BN)
        return [member(normalised_BN) for member in self.members]


def normalise(audio_BN: Tensor) -> Tensor:
    """Each clip without its mean and with a peak of 0.8: level must not give a forgery away."""
    centred_BN = audio_BN - audio_BN.mean(1, keepdim=True)
    return 0.8 * centred_BN / (centred_BN.abs().amax(1, keepdim=True) + 1e-9)


def _maps(h_BCHW: Tensor, layers: nn.ModuleList, verdict: nn.Module) -> list[Tensor]:
    maps: list[Tensor] = []
    for layer in layers:
        h_BCHW = F.leaky_relu(layer(h_BCHW), _SLOPE)
        maps.append(h_BCHW)
    return [*maps, verdict(h_BCHW)]
