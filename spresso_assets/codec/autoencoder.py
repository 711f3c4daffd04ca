"""AudioAE: waveform <-> 128 latent channels at 100 Hz, standardised to a standard deviation of 0.5.

Two pairs, both of the Vocos family (ConvNeXt blocks and an inverse-STFT head, Siuzdak 2023):

* `LogMelEncoder` and `NoiseVocoder`: a fixed analysis whose latents are smooth in time and compressive in level, and a
  decoder that models every frame as harmonic part plus shaped noise. The noise is a function of (seed, absolute
  frame), so that textures differ between seeds and never between chunkings.
* `ConvEncoder` and `VocosDecoder`: the paper's learned mirror on the compressed complex STFT. Its latents carry phase.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from spresso_assets.codec.config import HOP, SAMPLE_RATE, AutoencoderConfig
from spresso_assets.codec.stft import STFT, LogMel, mdct_basis


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
                nn.init.normal_(m.weight, std=0.02)
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


SMALL = 1e-3  # amplitude below which companding is linear


def compand(x: Tensor) -> Tensor:
    """sign(x) (sqrt(|x| + d) - sqrt(d)): latents compressive in level, smooth at zero; `expand` undoes it."""
    return x.sign() * ((x.abs() + SMALL).sqrt() - math.sqrt(SMALL))


def expand(y: Tensor) -> Tensor:
    """Inverse of `compand`."""
    return y.sign() * ((y.abs() + math.sqrt(SMALL)).square() - SMALL)


def lapped_analysis(cfg: AutoencoderConfig) -> nn.Linear:
    """A linear map from a frame's spectrum (real, imaginary parts) to ``channels`` numbers, started as an MDCT.

    Its lowest coefficients, that is: at 100 Hz and 128 channels everything below 6.4 kHz, exactly. Training then starts
    from a codec and not from noise; what lies above is left to the networks.
    """
    bins = cfg.n_fft // 2 + 1
    unit_FF, none_FF = torch.eye(bins), torch.zeros(bins, bins)
    # The map is linear in the spectrum: the coefficients of each unit spectrum are a column of its matrix.
    spectra_XF = torch.cat([torch.complex(unit_FF, none_FF), torch.complex(none_FF, unit_FF)])
    layer = nn.Linear(cfg.n_fft + 2, cfg.channels, bias=False)
    with torch.no_grad():
        layer.weight.copy_((torch.fft.irfft(spectra_XF) @ mdct_basis(cfg.n_fft // 2, cfg.channels)).T)
    return layer


def lapped_synthesis(cfg: AutoencoderConfig) -> nn.Linear:
    """The way back from `lapped_analysis`: overlapping frames cancel the aliasing of the coefficients."""
    spectra_CF = torch.fft.rfft(mdct_basis(cfg.n_fft // 2, cfg.channels).T)
    layer = nn.Linear(cfg.channels, cfg.n_fft + 2, bias=False)
    with torch.no_grad():
        layer.weight.copy_(torch.cat([spectra_CF.real, spectra_CF.imag], 1).T)
    return layer


class ConvEncoder(nn.Module):
    """The paper's encoder: X |X|^(alpha-1) as real and imaginary parts -> ConvNeXt -> raw latents [B, T, C]."""

    def __init__(self, cfg: AutoencoderConfig) -> None:
        super().__init__()
        self.stft = STFT(cfg.n_fft, HOP, power=0.5)
        self.alpha = cfg.compression
        self.net = ConvNeXtStack(cfg, cfg.n_fft + 2, cfg.channels)
        self.lapped = lapped_analysis(cfg) if cfg.lapped_start else None
        self.margin = self.net.margin + 1
        if self.lapped is not None:  # the network starts as a correction of nothing
            nn.init.zeros_(self.net.head.weight)

    def forward(self, audio_BN: Tensor) -> Tensor:
        spectrum_BTF = self.stft(audio_BN)
        compressed_BTF = spectrum_BTF * (spectrum_BTF.abs() + 1e-6) ** (self.alpha - 1)
        raw_BTC: Tensor = self.net(torch.cat([compressed_BTF.real, compressed_BTF.imag], -1))
        if self.lapped is not None:
            parts_BTX = torch.cat([spectrum_BTF.real, spectrum_BTF.imag], -1)
            raw_BTC = raw_BTC + compand(self.lapped(parts_BTX))
        return raw_BTC


class NoiseVocoder(nn.Module):
    """Decoder of log-mel latents: raw latents [B, T, C] and white noise [B, N] -> waveform [B, N].

    Each frame is exp(a) e^{jp} + exp(b) N: a Vocos harmonic part plus noise N shaped by b (harmonic plus noise model,
    Stylianou 2001). Both magnitudes start from the magnitudes that the latents spell out.
    """

    skip_MF: Tensor
    width_M: Tensor
    centre_F: Tensor

    def __init__(self, cfg: AutoencoderConfig) -> None:
        super().__init__()
        self.bins = cfg.n_fft // 2 + 1
        self.stft = STFT(cfg.n_fft, HOP)
        self.net = ConvNeXtStack(cfg, cfg.channels, 3 * self.bins)
        self.margin = self.net.margin + 1
        # Phase 0 then means a pulse in the middle of the frame, where the window is open, not at its closed edge.
        self.register_buffer("centre_F", math.pi * torch.arange(self.bins).remainder(2), persistent=False)
        with torch.no_grad():  # start as a noise vocoder, the safer half of the model
            self.net.head.bias[: self.bins] = -2.0
        # Interpolates band energies to this frame's bins, divided by each band's width in bins.
        mel = LogMel(cfg.n_fft, HOP, cfg.n_fft, cfg.channels, SAMPLE_RATE, cfg.f_min, cfg.f_max, cfg.power_floor)
        self.register_buffer("skip_MF", mel.spread_MF, persistent=False)
        width_M = mel.bank_FM.sum(0).clamp_min(0.5).log10()
        self.register_buffer("width_M", width_M, persistent=False)

    def forward(self, raw_BTC: Tensor, noise_BN: Tensor) -> Tensor:
        # The network sees roughly unit-scale input; log10 power spans -9..0.
        h_BTK = self.net((raw_BTC + 5) / 3).float()
        harmonic_BTF, phase_BTF, shape_BTF = h_BTK.split(self.bins, -1)
        skip_BTF = (0.5 * math.log(10)) * ((raw_BTC - self.width_M) @ self.skip_MF)
        harmonic_BTF, shape_BTF = harmonic_BTF + skip_BTF, shape_BTF + skip_BTF
        # Frames of unit-amplitude spectra carry window gain; noise frames already do.
        gain = self.stft.window / 4
        harmonic_BTF = harmonic_BTF.clamp(max=5).exp() * gain
        noise_BTF = self.stft(noise_BN) * (shape_BTF.clamp(max=5).exp() * math.sqrt(gain))
        return self.stft.inverse(torch.polar(harmonic_BTF, math.pi * phase_BTF + self.centre_F) + noise_BTF)


class VocosDecoder(nn.Module):
    """The paper's decoder: raw latents -> ConvNeXt -> log magnitude and phase of each frame -> inverse STFT.

    Deterministic: latents of the learned encoder carry phase, so nothing is left to noise.
    """

    def __init__(self, cfg: AutoencoderConfig) -> None:
        super().__init__()
        self.bins = cfg.n_fft // 2 + 1
        self.stft = STFT(cfg.n_fft, HOP, power=0.5)
        self.net = ConvNeXtStack(cfg, cfg.channels, 2 * self.bins)
        self.lapped = lapped_synthesis(cfg) if cfg.lapped_start else None
        self.margin = self.net.margin + 1
        with torch.no_grad():  # about -60 dB, so that a lapped start is heard and the network's part can grow
            self.net.head.bias[: self.bins] = -5.0

    def forward(self, raw_BTC: Tensor, _noise_BN: Tensor) -> Tensor:
        magnitude_BTF, phase_BTF = self.net(raw_BTC).float().split(self.bins, -1)
        spectrum_BTF = torch.polar(magnitude_BTF.clamp(max=math.log(100)).exp(), math.pi * phase_BTF)
        if self.lapped is not None:
            real_BTF, imaginary_BTF = self.lapped(expand(raw_BTC)).float().split(self.bins, -1)
            spectrum_BTF = spectrum_BTF + torch.complex(real_BTF, imaginary_BTF)
        return self.stft.inverse(spectrum_BTF)


class AudioAE(nn.Module):
    """Encoder, decoder and the statistics that standardise latents to sigma_data = 0.5 (EDM2 practice)."""

    mean_C: Tensor
    std_C: Tensor

    def __init__(self, cfg: AutoencoderConfig, sigma_data: float = 0.5) -> None:
        super().__init__()
        self.cfg, self.sigma_data = cfg, sigma_data
        self.encoder: LogMelEncoder | ConvEncoder
        self.decoder: NoiseVocoder | VocosDecoder
        if cfg.encoder == "logmel":
            self.encoder, self.decoder = LogMelEncoder(cfg), NoiseVocoder(cfg)
        else:
            self.encoder, self.decoder = ConvEncoder(cfg), VocosDecoder(cfg)
        self.register_buffer("mean_C", torch.zeros(cfg.channels))
        self.register_buffer("std_C", torch.ones(cfg.channels))

    @property
    def margin(self) -> int:
        """Frames of context that make chunked coding equal to whole coding."""
        refining = 2 * self.cfg.refine_steps if self.cfg.encoder == "logmel" else 0
        return max(self.encoder.margin, self.decoder.margin + refining)

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
        if isinstance(self.encoder, LogMelEncoder):
            raw_BTC = raw_BTC.clamp(math.log10(self.cfg.power_floor), 2.0)
        audio_BN: Tensor = self.decoder(raw_BTC, noise_BN)
        if isinstance(self.encoder, LogMelEncoder):
            # Latents at the floor mean silence: asking for floor energy there would add a hiss at -90 dB.
            power_BTC = (10**raw_BTC - self.cfg.power_floor).clamp_min(1e-12)
            target_BTC = power_BTC.log10()
            for _ in range(self.cfg.refine_steps if refine_steps is None else refine_steps):
                audio_BN = self.encoder.logmel.project(audio_BN, target_BTC)
        return audio_BN
