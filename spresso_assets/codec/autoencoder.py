"""AudioAE: waveform <-> 128 latent channels at 100 Hz, standardised to a standard deviation of 0.5.

Two encoders share one decoder family (Vocos: ConvNeXt blocks and an inverse-STFT head, Siuzdak 2023):

* `LogMelEncoder`, a fixed analysis. Its latents are smooth in time and compressive in level.
* `ConvEncoder`, the paper's learned mirror of the decoder on the compressed complex STFT.

The decoder models every frame as harmonic part plus shaped noise. The noise is a function of (seed, absolute frame),
so that textures differ between seeds and never between chunkings.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from spresso_assets.codec.config import HOP, SAMPLE_RATE, AutoencoderConfig
from spresso_assets.codec.stft import STFT, LogMel


class ConvNeXtBlock(nn.Module):
    """x + gamma * W2 GELU(W1 LN(DWConv(x))) on [B, T, C] (Liu et al. 2022, one-dimensional as in Vocos)."""

    def __init__(self, width: int, hidden: int, kernel: int, scale: float) -> None:
        super().__init__()
        self.depthwise = nn.Conv1d(width, width, kernel, padding=kernel // 2, groups=width)
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.expand = nn.Linear(width, hidden)
        self.contract = nn.Linear(hidden, width)
        self.gamma_C = nn.Parameter(torch.full((width,), scale))

    def forward(self, x_BTC: Tensor) -> Tensor:
        h_BTC = self.depthwise(x_BTC.transpose(1, 2)).transpose(1, 2)
        return x_BTC + self.gamma_C * self.contract(F.gelu(self.expand(self.norm(h_BTC))))


class ConvNeXtStack(nn.Module):
    """Conv1d -> LN -> blocks -> LN -> Linear on [B, T, C_in] -> [B, T, C_out]; receptive field in `margin` frames."""

    def __init__(self, cfg: AutoencoderConfig, channels_in: int, channels_out: int) -> None:
        super().__init__()
        self.embed = nn.Conv1d(channels_in, cfg.width, cfg.kernel, padding=cfg.kernel // 2)
        self.norm_in = nn.LayerNorm(cfg.width, eps=1e-6)
        self.blocks = nn.ModuleList(
            ConvNeXtBlock(cfg.width, cfg.hidden, cfg.kernel, 1 / cfg.depth) for _ in range(cfg.depth)
        )
        self.norm_out = nn.LayerNorm(cfg.width, eps=1e-6)
        self.head = nn.Linear(cfg.width, channels_out)
        self.margin = (cfg.kernel // 2) * (cfg.depth + 1)
        for m in self.modules():
            if isinstance(m, nn.Conv1d | nn.Linear):
                nn.init.trunc_normal_(m.weight, std=0.02)
                if m.bias is not None:
                    nn.init.zeros_(m.bias)

    def forward(self, x_BTC: Tensor) -> Tensor:
        h_BTC = self.norm_in(self.embed(x_BTC.transpose(1, 2)).transpose(1, 2))
        for block in self.blocks:
            h_BTC = block(h_BTC)
        return self.head(self.norm_out(h_BTC))


class LogMelEncoder(nn.Module):
    """Raw latents = log10 mel power (`stft.LogMel`), one channel per band."""

    def __init__(self, cfg: AutoencoderConfig) -> None:
        super().__init__()
        self.logmel = LogMel(
            cfg.analysis_window, HOP, cfg.analysis_fft, cfg.channels, SAMPLE_RATE, cfg.f_min, cfg.f_max, cfg.power_floor
        )
        self.margin = 2  # frames of context on each side: the window reaches one hop beyond its own

    def forward(self, audio_BN: Tensor) -> Tensor:
        return self.logmel(audio_BN)


class ConvEncoder(nn.Module):
    """The paper's encoder: X |X|^(alpha-1) as real and imaginary parts -> ConvNeXt -> raw latents [B, T, C]."""

    def __init__(self, cfg: AutoencoderConfig) -> None:
        super().__init__()
        self.stft = STFT(cfg.n_fft, HOP)
        self.alpha = cfg.compression
        self.net = ConvNeXtStack(cfg, cfg.n_fft + 2, cfg.channels)
        self.margin = self.net.margin + 1

    def forward(self, audio_BN: Tensor) -> Tensor:
        spectrum_BTF = self.stft(audio_BN)
        compressed_BTF = spectrum_BTF * (spectrum_BTF.abs() + 1e-6) ** (self.alpha - 1)
        return self.net(torch.cat([compressed_BTF.real, compressed_BTF.imag], -1))


class Decoder(nn.Module):
    """x0 [B, T, C] (raw scale) and white noise [B, N] -> waveform [B, N].

    Each frame is exp(a) e^{jp} + exp(b) N: a Vocos harmonic part plus noise N shaped by b (harmonic plus noise model,
    Stylianou 2001). With log-mel latents both magnitudes start from the magnitudes that the latents spell out.
    """

    skip_MF: Tensor
    width_M: Tensor
    centre_F: Tensor

    def __init__(self, cfg: AutoencoderConfig) -> None:
        super().__init__()
        self.cfg = cfg
        self.bins = cfg.n_fft // 2 + 1
        self.stft = STFT(cfg.n_fft, HOP)
        self.net = ConvNeXtStack(cfg, cfg.channels, 3 * self.bins)
        self.margin = self.net.margin + 1
        # Phase 0 then means a pulse in the middle of the frame, where the window is open, not at its closed edge.
        self.register_buffer("centre_F", math.pi * torch.arange(self.bins).remainder(2), persistent=False)
        self.log_mel_latents = cfg.encoder == "logmel"
        with torch.no_grad():  # start as a noise vocoder, the safer half of the model
            self.net.head.bias[: self.bins] = -2.0
        if self.log_mel_latents:
            # Interpolates band energies to this frame's bins, divided by each band's width in bins.
            mel = LogMel(cfg.n_fft, HOP, cfg.n_fft, cfg.channels, SAMPLE_RATE, cfg.f_min, cfg.f_max, cfg.power_floor)
            self.register_buffer("skip_MF", mel.spread_MF, persistent=False)
            width_M = mel.bank_FM.sum(0).clamp_min(0.5).log10()
            self.register_buffer("width_M", width_M, persistent=False)

    def forward(self, raw_BTC: Tensor, noise_BN: Tensor) -> Tensor:
        # The network sees roughly unit-scale input; log10 power spans -9..0.
        h_BTK = self.net((raw_BTC + 5) / 3 if self.log_mel_latents else raw_BTC).float()
        harmonic_BTF, phase_BTF, shape_BTF = h_BTK.split(self.bins, -1)
        if self.log_mel_latents:
            skip_BTF = (0.5 * math.log(10)) * ((raw_BTC - self.width_M) @ self.skip_MF)
            harmonic_BTF, shape_BTF = harmonic_BTF + skip_BTF, shape_BTF + skip_BTF
        # Frames of unit-amplitude spectra carry window gain; noise frames already do.
        gain = self.stft.window / 4
        harmonic_BTF = harmonic_BTF.clamp(max=5).exp() * gain
        noise_BTF = self.stft(noise_BN) * (shape_BTF.clamp(max=5).exp() * math.sqrt(gain))
        return self.stft.inverse(torch.polar(harmonic_BTF, math.pi * phase_BTF + self.centre_F) + noise_BTF)


class AudioAE(nn.Module):
    """Encoder, decoder and the statistics that standardise latents to sigma_data = 0.5 (EDM2 practice)."""

    mean_C: Tensor
    std_C: Tensor

    def __init__(self, cfg: AutoencoderConfig, sigma_data: float = 0.5) -> None:
        super().__init__()
        self.cfg, self.sigma_data = cfg, sigma_data
        self.encoder: LogMelEncoder | ConvEncoder = LogMelEncoder(cfg) if cfg.encoder == "logmel" else ConvEncoder(cfg)
        self.decoder = Decoder(cfg)
        self.register_buffer("mean_C", torch.zeros(cfg.channels))
        self.register_buffer("std_C", torch.ones(cfg.channels))

    @property
    def margin(self) -> int:
        """Frames of context that make chunked coding equal to whole coding."""
        return max(self.encoder.margin, self.decoder.margin + 2 * self.cfg.refine_steps)

    def standardise(self, raw_BTC: Tensor) -> Tensor:
        return (raw_BTC - self.mean_C) * (self.sigma_data / self.std_C)

    def unstandardise(self, x0_BTC: Tensor) -> Tensor:
        return x0_BTC * (self.std_C / self.sigma_data) + self.mean_C

    def encode(self, audio_BN: Tensor) -> Tensor:
        """[B, N] at 48 kHz, N a multiple of 480 -> x0 [B, N/480, C] with a standard deviation of sigma_data."""
        return self.standardise(self.encoder(audio_BN))

    def decode(self, x0_BTC: Tensor, noise_BN: Tensor, refine_steps: int | None = None) -> Tensor:
        """x0 [B, T, C] and white Gaussian noise [B, 480 T] -> waveform [B, 480 T] at 48 kHz."""
        raw_BTC = self.unstandardise(x0_BTC.float())
        if self.cfg.encoder == "logmel":
            raw_BTC = raw_BTC.clamp(math.log10(self.cfg.power_floor), 2.0)
        audio_BN = self.decoder(raw_BTC, noise_BN)
        if isinstance(self.encoder, LogMelEncoder):
            # Latents at the floor mean silence: asking for floor energy there would add a hiss at -90 dB.
            power_BTC = (10**raw_BTC - self.cfg.power_floor).clamp_min(1e-12)
            target_BTC = power_BTC.log10()
            for _ in range(self.cfg.refine_steps if refine_steps is None else refine_steps):
                audio_BN = self.encoder.logmel.project(audio_BN, target_BTC)
        return audio_BN
