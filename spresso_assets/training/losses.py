"""Spectral losses for the AudioAE."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from spresso_assets.codec.stft import mel_filterbank


class MultiResolutionMel(nn.Module):
    """Mean |log10 mel| difference over several windows, hop = window / 4 (DAC's reconstruction loss, power form).

    Args:
        windows: frame lengths in samples. bands: mel bands of each; few enough that a band of noise averages over
            bins, or the loss would reward predicting one particular noise.
    """

    def __init__(
        self,
        windows: tuple[int, ...] = (256, 512, 1024, 2048, 4096),
        bands: tuple[int, ...] = (24, 40, 64, 96, 128),
        sample_rate: int = 48_000,
        floor: float = 1e-9,
    ) -> None:
        super().__init__()
        self.windows, self.floor = windows, floor
        for w, b in zip(windows, bands, strict=True):
            self.register_buffer(f"bank_{w}", mel_filterbank(w, b, sample_rate, 20, sample_rate / 2), persistent=False)
            self.register_buffer(f"window_{w}", torch.hann_window(w), persistent=False)

    def log_mel(self, audio_BN: Tensor, window: int) -> Tensor:
        """[B, N] -> [B, T, M] log10 mel power."""
        taper_W: Tensor = getattr(self, f"window_{window}")
        bank_FM: Tensor = getattr(self, f"bank_{window}")
        frames_BTW = F.pad(audio_BN, (window // 2, window // 2)).unfold(-1, window, window // 4) * taper_W
        spectrum_BTF = torch.fft.rfft(frames_BTW) / taper_W.sum()
        power_BTF = spectrum_BTF.real.square() + spectrum_BTF.imag.square()
        return torch.log10(power_BTF @ bank_FM + self.floor)

    def forward(self, estimate_BN: Tensor, target_BN: Tensor) -> Tensor:
        terms = []
        for w in self.windows:
            with torch.no_grad():
                wanted_BTM = self.log_mel(target_BN, w)
            terms.append((self.log_mel(estimate_BN, w) - wanted_BTM).abs().mean())
        return torch.stack(terms).mean()


class MultiScaleMel(nn.Module):
    """DAC's mel loss (Kumar et al. 2023): mean |log10 mel magnitude| difference, summed over seven scales.

    Windows of 32 to 2048 samples, hop a quarter, 5 to 320 bands over all frequencies; magnitudes below ``floor`` count
    as ``floor``. The shortest windows hold transients, the longest partials. Filters have unit peaks here and unit
    area there: a constant per band, which the logarithm's difference drops.
    """

    WINDOWS = (32, 64, 128, 256, 512, 1024, 2048)
    BANDS = (5, 10, 20, 40, 80, 160, 320)

    def __init__(self, sample_rate: int = 48_000, floor: float = 1e-5) -> None:
        super().__init__()
        self.floor = floor
        for w, b in zip(self.WINDOWS, self.BANDS, strict=True):
            self.register_buffer(f"bank_{w}", mel_filterbank(w, b, sample_rate, 0, sample_rate / 2), persistent=False)
            self.register_buffer(f"window_{w}", torch.hann_window(w), persistent=False)

    def log_mel(self, audio_BN: Tensor, window: int) -> Tensor:
        """[B, N], N > window / 2 -> [B, T, M] log10 mel magnitude."""
        taper_W: Tensor = getattr(self, f"window_{window}")
        bank_FM: Tensor = getattr(self, f"bank_{window}")
        padded_BN = F.pad(audio_BN[:, None], (window // 2, window // 2), "reflect")[:, 0]
        spectrum_BTF = torch.fft.rfft(padded_BN.unfold(-1, window, window // 4) * taper_W)
        # No abs(): its gradient at zero is not a number.
        magnitude_BTF = (spectrum_BTF.real.square() + spectrum_BTF.imag.square() + 1e-16).sqrt()
        return (magnitude_BTF @ bank_FM).clamp_min(self.floor).log10()

    def forward(self, estimate_BN: Tensor, target_BN: Tensor) -> Tensor:
        terms = []
        for w in self.WINDOWS:
            with torch.no_grad():
                wanted_BTM = self.log_mel(target_BN, w)
            terms.append((self.log_mel(estimate_BN, w) - wanted_BTM).abs().mean())
        return torch.stack(terms).sum()


class TonalMagnitude(nn.Module):
    """Spectral convergence of long-window magnitudes: rewards steady partials, where noise textures cannot score."""

    window_W: Tensor

    def __init__(self, window: int = 4096) -> None:
        super().__init__()
        self.register_buffer("window_W", torch.hann_window(window), persistent=False)

    def forward(self, estimate_BN: Tensor, target_BN: Tensor) -> Tensor:
        def magnitude(x_BN: Tensor) -> Tensor:
            n = len(self.window_W)
            frames_BTW = F.pad(x_BN, (n // 2, n // 2)).unfold(-1, n, n // 4) * self.window_W
            spectrum_BTF = torch.fft.rfft(frames_BTW)
            return (spectrum_BTF.real.square() + spectrum_BTF.imag.square() + 1e-8).sqrt()

        with torch.no_grad():
            wanted_BTF = magnitude(target_BN)
        difference_B = (magnitude(estimate_BN) - wanted_BTF).square().sum((1, 2)).sqrt()
        return (difference_B / (wanted_BTF.square().sum((1, 2)).sqrt() + 1e-3)).mean()


class ComplexSpectrum(nn.Module):
    """Mean |X - Y| of complex spectra, relative to mean |Y| of each clip: magnitudes and phases together."""

    window_W: Tensor

    def __init__(self, window: int = 960) -> None:
        super().__init__()
        self.register_buffer("window_W", torch.hann_window(window), persistent=False)

    def forward(self, estimate_BN: Tensor, target_BN: Tensor) -> Tensor:
        n = len(self.window_W)

        def spectrum(x_BN: Tensor) -> Tensor:
            return torch.fft.rfft(F.pad(x_BN, (n // 2, n // 2)).unfold(-1, n, n // 4) * self.window_W)

        wanted_BTF = spectrum(target_BN)
        error_BTF = spectrum(estimate_BN) - wanted_BTF
        # No abs(): its gradient at zero is not a number.
        error_B = (error_BTF.real.square() + error_BTF.imag.square() + 1e-8).sqrt().mean((1, 2))
        return (error_B / (wanted_BTF.abs().mean((1, 2)) + 1e-3)).mean()


def noise_to_signal(estimate_BN: Tensor, target_BN: Tensor, floor: float = 1e-4) -> Tensor:
    """log10 of error energy over signal energy, mean over clips (the negative SNR in bel): every clip counts alike.

    ``floor`` (-40 dB) is where a clip is good enough, and near-silent clips are judged as if at a level of -60 dB.
    """
    signal_B = target_BN.square().mean(1).clamp_min(1e-6)
    return ((estimate_BN - target_BN).square().mean(1) / signal_B + floor).log10().mean()
