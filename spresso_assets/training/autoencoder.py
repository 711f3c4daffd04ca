"""The AudioAE: a vocoder on fixed log-mel latents (`small`), or encoder and decoder learned together (`full`).

The vocoder is trained with the projection onto the asked-for mel energies in the graph, so that the network spends
itself on what the energies leave open: phase, partials, and what is noise.

The learned pair is trained for fidelity: mel distance, spectral and waveform error, and DAC's discriminators where
compute allows. Its latents are standardised at the end, when they no longer move.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from spresso_assets.codec.autoencoder import AudioAE
from spresso_assets.codec.config import HOP, SAMPLE_RATE, ModelConfig
from spresso_assets.codec.precision import has_fast_bf16
from spresso_assets.errors import SpressoError
from spresso_assets.training.adversarial import Adversary, AdversaryConfig
from spresso_assets.training.checkpoint import load_checkpoint, save_checkpoint
from spresso_assets.training.data import list_items, load_mono, procedural_sounds
from spresso_assets.training.loop import Loop, LoopConfig
from spresso_assets.training.losses import (
    ComplexSpectrum,
    MultiResolutionMel,
    MultiScaleMel,
    TonalMagnitude,
    noise_to_signal,
)
from spresso_assets.training.source import read_statistics

LAPPED = ("autoencoder.encoder.lapped.", "autoencoder.decoder.lapped.")
CLIP_SIGMAS = 6.0  # latents beyond so many standard deviations must not set the scale


@dataclass(frozen=True)
class AutoencoderTrainingConfig:
    """Clips, and what is asked of the networks.

    Attributes:
        clip_frames, batch: length of a clip in latent frames, clips per step.
        mel_weight: of the multi-resolution mel loss.
        refine_steps, latent_noise, tonal_weight: of the vocoder. Refinement steps in the graph; the largest std (x0
            units, sigma_data = 0.5) of noise added to latents, as the decoder must bear what a sampler hands it; and
            the weight of steady partials.
        complex_weight, noise_to_signal_weight, waveform_weight, bottleneck_noise, latent_penalty: of the learned
            pair. Weights of the complex spectrum's error, of the waveform's error in bel and of its mean absolute
            error; std of the noise added to latents, relative to each channel's own; and the pull of latents towards
            zero (the KL term of a posterior of fixed variance).
        mel: which mel loss the learned pair has: ``power`` (mean over five scales) or ``dac`` (sum over seven; its
            weight there is 15).
        adversary: discriminators and their part in the loss, for both.
    """

    clip_frames: int = 100
    batch: int = 12
    mel_weight: float = 1.0
    refine_steps: int = 1
    latent_noise: float = 0.06
    tonal_weight: float = 0.3
    complex_weight: float = 1.0
    noise_to_signal_weight: float = 0.3
    waveform_weight: float = 0.0
    bottleneck_noise: float = 0.02
    latent_penalty: float = 1e-3
    mel: Literal["power", "dac"] = "power"
    adversary: AdversaryConfig = field(default_factory=AdversaryConfig)


def build_wave_cache(data: Path, out: Path, *, manifest: Path | None = None, procedural: int = 100) -> None:
    """Write ``waves-<split>.safetensors``: every sound as 48 kHz mono int16 at the codec's level, one after another."""
    for split in ("train", "val"):
        pieces: list[Tensor] = []

        def keep(sounds: Iterable[np.ndarray], pieces: list[Tensor] = pieces) -> None:
            for mono_N in sounds:
                pieces.append(torch.from_numpy((mono_N.clip(-1, 1) * 32767).round().astype(np.int16)))

        for item in (i for i in list_items(data, manifest) if i.split == split):
            try:
                keep(load_mono(item.path))
            except SpressoError:
                continue  # build_cache has reported it
        if split == "train":
            keep(procedural_sounds(procedural, seed=1000))
        length_I = torch.tensor([len(p) for p in pieces])
        save_checkpoint(out / f"waves-{split}.safetensors", {"samples": torch.cat(pieces), "length": length_I}, {})


class WaveClips:
    """Random clips [B, N] from a wave cache; sounds shorter than a clip are followed by silence."""

    def __init__(self, path: Path) -> None:
        tensors, _ = load_checkpoint(path)
        self.samples_K, self.length_I = tensors["samples"], tensors["length"]
        self.start_I = torch.cumsum(self.length_I, 0) - self.length_I
        self.weight_I = self.length_I.clamp(4800, 480_000).float().sqrt()

    def clip(self, index: int, samples: int, offset: int = 0) -> Tensor:
        start = int(self.start_I[index]) + offset
        piece_N = self.samples_K[start : start + min(samples, int(self.length_I[index]) - offset)].float() / 32767
        return torch.nn.functional.pad(piece_N, (0, samples - len(piece_N)))

    def batch(self, count: int, samples: int, generator: torch.Generator) -> Tensor:
        index_B = torch.multinomial(self.weight_I, count, replacement=True, generator=generator)
        clips = []
        for i in index_B.tolist():
            spare = int(self.length_I[i]) - samples
            offset = int(torch.randint(spare + 1, (1,), generator=generator)) if spare > 0 else 0
            clips.append(self.clip(i, samples, offset))
        gain_B1 = 10 ** (-torch.rand(count, 1, generator=generator) * 0.5)
        return torch.stack(clips) * gain_B1


def train_autoencoder(
    model: ModelConfig,
    data: Path,
    out: Path,
    loop: LoopConfig,
    cfg: AutoencoderTrainingConfig | None = None,
    *,
    resume: bool = False,
    device: str = "cpu",
) -> dict[str, float]:
    """Train on the wave cache in ``data``; returns losses (and of the learned pair the SI-SDR, in dB) on val.

    The vocoder takes the statistics of its latents from the latent cache, the learned pair measures its own.
    """
    cfg = cfg or AutoencoderTrainingConfig()
    torch.manual_seed(0)
    autoencoder = AudioAE(model.autoencoder, model.sigma_data).to(device)
    train, val = WaveClips(data / "waves-train.safetensors"), WaveClips(data / "waves-val.safetensors")
    learned = model.autoencoder.encoder != "logmel"
    if not learned:
        mean_C, std_C = read_statistics(data)
        autoencoder.mean_C.copy_(mean_C)
        autoencoder.std_C.copy_(std_C)
    objective = (Fidelity if learned else Vocoder)(autoencoder, cfg, torch.device(device))
    adversary = None
    if cfg.adversary.discriminators != "none":
        adversary = Adversary(cfg.adversary, torch.device(device), bf16=objective.bf16)

    def step(generator: torch.Generator, _fraction: float) -> tuple[Tensor, dict[str, float]]:
        audio_BN = train.batch(cfg.batch, cfg.clip_frames * HOP, generator).to(device)
        estimate_BN, loss, values = objective.loss(audio_BN, generator)
        if adversary is not None and runner.step >= cfg.adversary.start:
            played, more = adversary.play(audio_BN, estimate_BN)
            loss, values = loss + played, values | more
        return loss, values

    def evaluate() -> dict[str, float]:
        for i in range(min(3, len(val.length_I))):
            audio_BN = val.clip(i, 2 * cfg.clip_frames * HOP)[None].to(device)
            noise_BN = torch.randn(audio_BN.shape, generator=torch.Generator().manual_seed(i)).to(device)
            decoded_BN = autoencoder.decode(autoencoder.encode(audio_BN), noise_BN)
            runner.sound(f"val {i}", audio_BN[0], SAMPLE_RATE)
            runner.sound(f"val {i} decoded", decoded_BN[0], SAMPLE_RATE)
        generator = torch.Generator().manual_seed(5)
        values: dict[str, list[float]] = {}
        for i in range(0, len(val.length_I), 4):
            samples = max(1, min(int(val.length_I[i]), 2 * cfg.clip_frames * HOP) // HOP) * HOP
            for key, value in objective.judge(val.clip(i, samples)[None].to(device), generator).items():
                values.setdefault(key, []).append(value)
        return {k: sum(v) / len(v) for k, v in values.items()}

    runner = Loop(
        {"autoencoder": autoencoder},
        loop,
        out,
        resume=resume,
        slow=LAPPED,
        kept={"adversary": adversary} if adversary is not None else {},
        # The learned pair has no statistics before its end, and its earlier weights could not be used.
        best_by=None if learned else "mel_refine4",
    )
    result = runner.run(step, evaluate, "autoencoder")
    if learned:
        runner.swap_ema()
        standardise(autoencoder, train, cfg.clip_frames * HOP)
        runner.swap_ema()
        runner.save()
    return result


class Vocoder:
    """What is asked of the decoder of log-mel latents."""

    def __init__(self, autoencoder: AudioAE, cfg: AutoencoderTrainingConfig, device: torch.device) -> None:
        self.autoencoder, self.cfg, self.device = autoencoder, cfg, device
        self.mel, self.tonal = MultiResolutionMel().to(device), TonalMagnitude().to(device)
        self.bf16 = has_fast_bf16(device)

    def loss(self, audio_BN: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor, dict[str, float]]:
        """Estimate [B, N], its loss, and values to log."""
        with torch.no_grad():
            x0_BTC = self.autoencoder.encode(audio_BN)
        std_B11 = torch.rand(len(x0_BTC), 1, 1, generator=generator) * self.cfg.latent_noise
        x0_BTC = x0_BTC + (std_B11 * torch.randn(x0_BTC.shape, generator=generator)).to(self.device)
        noise_BN = torch.randn(audio_BN.shape, generator=generator).to(self.device)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16):
            estimate_BN = self.autoencoder.decode(x0_BTC, noise_BN, self.cfg.refine_steps).float()
        mel, tonal = self.mel(estimate_BN, audio_BN), self.tonal(estimate_BN, audio_BN)
        values = {"mel": float(mel.detach()), "tonal": float(tonal.detach())}
        return estimate_BN, self.cfg.mel_weight * mel + self.cfg.tonal_weight * tonal, values

    def judge(self, audio_BN: Tensor, generator: torch.Generator) -> dict[str, float]:
        noise_BN = torch.randn(audio_BN.shape, generator=generator).to(self.device)
        values: dict[str, float] = {}
        for steps in (0, 4):
            estimate_BN = self.autoencoder.decode(self.autoencoder.encode(audio_BN), noise_BN, steps)
            values[f"mel_refine{steps}"] = float(self.mel(estimate_BN, audio_BN))
            values[f"tonal_refine{steps}"] = float(self.tonal(estimate_BN, audio_BN))
        return values


class Fidelity:
    """What is asked of the learned pair."""

    def __init__(self, autoencoder: AudioAE, cfg: AutoencoderTrainingConfig, device: torch.device) -> None:
        self.autoencoder, self.cfg, self.device = autoencoder, cfg, device
        self.measure, self.spectrum = MultiResolutionMel().to(device), ComplexSpectrum().to(device)
        self.mel = MultiScaleMel().to(device) if cfg.mel == "dac" else self.measure
        self.bf16 = has_fast_bf16(device)

    def reconstruct(self, audio_BN: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Estimate [B, N] by way of noisy latents, and the latents [B, T, C]."""
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16):
            x0_BTC = self.autoencoder.encode(audio_BN).float()
            noise_BTC = torch.randn(x0_BTC.shape, generator=generator).to(self.device)
            std_C = x0_BTC.detach().std((0, 1))
            noisy_BTC = x0_BTC + self.cfg.bottleneck_noise * std_C * noise_BTC
            return self.autoencoder.decode(noisy_BTC, torch.zeros_like(audio_BN)).float(), x0_BTC

    def loss(self, audio_BN: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor, dict[str, float]]:
        """Estimate [B, N], its loss, and values to log."""
        cfg = self.cfg
        estimate_BN, x0_BTC = self.reconstruct(audio_BN, generator)
        mel, spectrum = self.mel(estimate_BN, audio_BN), self.spectrum(estimate_BN, audio_BN)
        error = noise_to_signal(estimate_BN, audio_BN)
        loss = cfg.mel_weight * mel + cfg.complex_weight * spectrum + cfg.noise_to_signal_weight * error
        waveform = (estimate_BN - audio_BN).abs().mean()
        loss = loss + cfg.waveform_weight * waveform + cfg.latent_penalty * x0_BTC.square().mean() / 2
        values = {"mel": mel, "complex": spectrum, "snr_db": -10 * error, "waveform": waveform}
        return estimate_BN, loss, {k: float(v.detach()) for k, v in values.items()}

    def judge(self, audio_BN: Tensor, _generator: torch.Generator) -> dict[str, float]:
        estimate_BN = self.autoencoder.decode(self.autoencoder.encode(audio_BN), torch.zeros_like(audio_BN))
        return {"mel": float(self.measure(estimate_BN, audio_BN)), "si_sdr_db": si_sdr_db(estimate_BN, audio_BN)}


def si_sdr_db(estimate_1N: Tensor, target_1N: Tensor) -> float:
    """Scale-invariant signal-to-distortion ratio in dB (Le Roux et al. 2019), both signals less their mean."""
    estimate_1N, target_1N = estimate_1N - estimate_1N.mean(), target_1N - target_1N.mean()
    scaled_1N = (estimate_1N * target_1N).sum() / target_1N.square().sum().clamp_min(1e-9) * target_1N
    ratio = (scaled_1N.square().sum() + 1e-9) / ((estimate_1N - scaled_1N).square().sum() + 1e-9)
    return float(10 * torch.log10(ratio))


@torch.no_grad()
def standardise(autoencoder: AudioAE, clips: WaveClips, samples: int, batches: int = 64) -> None:
    """Set the statistics of learned latents: mean and standard deviation per channel over training clips, clipped."""
    generator = torch.Generator().manual_seed(13)
    device = autoencoder.mean_C.device
    raw_KC = torch.cat(
        [
            autoencoder.encoder(clips.batch(16, samples, generator).to(device)).float().flatten(0, 1)
            for _ in range(batches)
        ]
    )
    mean_C, std_C = raw_KC.mean(0), raw_KC.std(0)
    clipped_KC = raw_KC.clamp(mean_C - CLIP_SIGMAS * std_C, mean_C + CLIP_SIGMAS * std_C)
    autoencoder.mean_C.copy_(clipped_KC.mean(0))
    autoencoder.std_C.copy_(clipped_KC.std(0).clamp_min(1e-4))
