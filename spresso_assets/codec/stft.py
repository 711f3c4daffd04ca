"""Short-time Fourier transforms on the codec's frame grid.

Frame j is centred on sample ``hop * j + hop / 2`` of the signal, for every window length, so that all analyses of a
sound share one 100 Hz grid and T = N / hop exactly (no extra frame as with centred transforms). The signal is padded
with zeros by (window - hop) / 2 on both sides.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class STFT(nn.Module):
    """Forward and inverse STFT with perfect reconstruction (weighted overlap-add).

    Args:
        window: frame length in samples (periodic Hann).
        hop: hop in samples; ``window - hop`` must be even.
        n_fft: transform length, at least ``window``; longer means zero-padded (interpolated) spectra.
        power: of the Hann window; 0.5 is the sine window, a tight frame at half overlap: analysis and synthesis then
            multiply to Hann, and no error is amplified in the middle of a hop.
    """

    window_W: Tensor

    def __init__(self, window: int, hop: int, n_fft: int | None = None, power: float = 1.0) -> None:
        super().__init__()
        if (window - hop) % 2 or window < hop:
            raise ValueError(f"window - hop must be even and >= 0, got window {window}, hop {hop}")
        self.window, self.hop, self.n_fft = window, hop, n_fft or window
        self.pad = (window - hop) // 2
        self.register_buffer("window_W", torch.hann_window(window, periodic=True) ** power, persistent=False)

    def forward(self, audio_BN: Tensor) -> Tensor:
        """[B, N] real, N a multiple of hop -> [B, T, n_fft/2 + 1] complex, T = N / hop."""
        padded_BN = F.pad(audio_BN, (self.pad, self.pad))
        frames_BTW = padded_BN.unfold(-1, self.window, self.hop) * self.window_W
        return torch.fft.rfft(frames_BTW, n=self.n_fft)

    def inverse(self, spectrum_BTF: Tensor) -> Tensor:
        """[B, T, n_fft/2 + 1] complex -> [B, T * hop] real. ``inverse(forward(x)) == x`` up to rounding."""
        frames_BTW = torch.fft.irfft(spectrum_BTF, n=self.n_fft)[..., : self.window] * self.window_W
        total_BN = self._overlap_add(frames_BTW)
        envelope_1N = self._overlap_add((self.window_W**2).expand(1, frames_BTW.shape[1], self.window))
        # The squared-Hann envelope is at least 0.25 inside the kept range for window >= 2 hop; the clamp only guards
        # shorter windows.
        return total_BN / envelope_1N.clamp_min(1e-6)

    def _overlap_add(self, frames_BTW: Tensor) -> Tensor:
        # Shifted sums of hop-long blocks instead of F.fold: exact, quick on CPUs, and exports to ONNX.
        batch, count, _ = frames_BTW.shape
        blocks = -(-self.window // self.hop)
        frames_BTW = F.pad(frames_BTW, (0, blocks * self.hop - self.window))
        blocks_BTKH = frames_BTW.reshape(batch, count, blocks, self.hop)
        out_BTH = frames_BTW.new_zeros(batch, count + blocks - 1, self.hop)
        for k in range(blocks):
            out_BTH[:, k : k + count] += blocks_BTKH[:, :, k]
        out_BN = out_BTH.reshape(batch, -1)
        return out_BN[:, self.pad : self.pad + count * self.hop]


def mdct_basis(hop: int, coefficients: int) -> Tensor:
    """The first ``coefficients`` cosines of the MDCT on frames of 2 hop: [2 hop, coefficients].

    Windowed with a sine on both sides the whole set is an orthonormal lapped transform (Princen & Bradley 1986): hop
    numbers stand for hop samples, and neighbouring frames cancel each other's aliasing.
    """
    n_W = torch.arange(2 * hop, dtype=torch.float64)[:, None]
    k_C = torch.arange(coefficients, dtype=torch.float64)
    return ((math.pi / hop * (n_W + 0.5 + hop / 2) * (k_C + 0.5)).cos() * math.sqrt(2 / hop)).float()


def mel_filterbank(n_fft: int, bands: int, sample_rate: int, f_min: float, f_max: float) -> Tensor:
    """Triangular mel filters with unit peaks on the 2595 log10(1 + f/700) scale (O'Shaughnessy).

    Returns:
        [n_fft/2 + 1, bands] weights for power spectra.
    """

    def mel(f: float) -> float:
        return 2595.0 * float(torch.log10(torch.tensor(1 + f / 700, dtype=torch.float64)))

    edges_E = 700 * (10 ** (torch.linspace(mel(f_min), mel(f_max), bands + 2, dtype=torch.float64) / 2595) - 1)
    freq_F = torch.linspace(0, sample_rate / 2, n_fft // 2 + 1, dtype=torch.float64)[:, None]
    low_M, centre_M, high_M = edges_E[:-2], edges_E[1:-1], edges_E[2:]
    rising_FM = (freq_F - low_M) / (centre_M - low_M)
    falling_FM = (high_M - freq_F) / (high_M - centre_M)
    return torch.minimum(rising_FM, falling_FM).clamp(0, 1).float()


class LogMel(nn.Module):
    """log10 mel power on the 100 Hz frame grid, floored; a unit sine reads about -0.6 in its band.

    Args:
        window, n_fft: analysis frame and zero-padded transform length in samples.
        floor: power added before the logarithm, so that silence is a constant and not minus infinity.
    """

    bank_FM: Tensor
    spread_MF: Tensor

    def __init__(
        self, window: int, hop: int, n_fft: int, bands: int, sample_rate: int, f_min: float, f_max: float, floor: float
    ) -> None:
        super().__init__()
        self.stft = STFT(window, hop, n_fft)
        self.floor = floor
        bank_FM = mel_filterbank(n_fft, bands, sample_rate, f_min, f_max)
        self.register_buffer("bank_FM", bank_FM, persistent=False)
        # Transposed and normalised over bands: turns a gain per band into a smooth gain per bin.
        weight_F1 = bank_FM.sum(1, keepdim=True)
        spread_FM = bank_FM / weight_F1.clamp_min(1e-6)
        # Bins that no filter covers (DC, Nyquist) follow their nearest band instead of being left alone.
        covered_C = torch.nonzero(weight_F1[:, 0] > 1e-3)[:, 0]
        nearest_F = covered_C[(torch.arange(len(bank_FM))[:, None] - covered_C[None]).abs().argmin(1)]
        spread_MF = spread_FM[nearest_F].T.contiguous()
        self.register_buffer("spread_MF", spread_MF, persistent=False)

    def power(self, spectrum_BTF: Tensor) -> Tensor:
        """Complex spectrum [B, T, F] -> mel power [B, T, M], scaled so that window gain drops out."""
        power_BTF = spectrum_BTF.real.square() + spectrum_BTF.imag.square()  # abs() would take a slow hypot
        return (power_BTF / self.stft.window_W.sum().square()) @ self.bank_FM

    def forward(self, audio_BN: Tensor) -> Tensor:
        """[B, N] -> log10 mel power [B, T, M], at least log10(floor)."""
        return torch.log10(self.power(self.stft(audio_BN)) + self.floor)

    def project(self, audio_BN: Tensor, target_BTM: Tensor, floor: float = 1e-12) -> Tensor:
        """One step of pulling ``audio`` onto the mel energies ``target`` [B, T, M], keeping its phase.

        The gain of each band is spread smoothly over its bins and applied in the STFT domain; overlap-add then makes
        the result a signal again. Iterated, it is a Griffin-Lim scheme on mel energies (Griffin & Lim 1984) whose
        starting phase comes from the caller.
        """
        spectrum_BTF = self.stft(audio_BN)
        now_BTM = torch.log10(self.power(spectrum_BTF) + floor)
        gain_BTF = (0.5 * (target_BTM - now_BTM)).clamp(-3, 3) @ self.spread_MF
        return self.stft.inverse(spectrum_BTF * 10**gain_BTF)
