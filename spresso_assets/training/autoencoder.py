"""The AudioAE's decoder: a Vocos-style vocoder on the fixed log-mel latents.

Trained with the projection onto the asked-for mel energies in the graph, so that the network spends itself on what
the energies leave open: phase, partials, and what is noise.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from spresso_assets.codec.autoencoder import AudioAE
from spresso_assets.codec.config import HOP, ModelConfig
from spresso_assets.errors import SpressoError
from spresso_assets.training.data import list_items, load_mono, procedural_sounds
from spresso_assets.training.denoising import has_fast_bf16, require_cache
from spresso_assets.training.loop import Loop, LoopConfig, load_checkpoint, save_checkpoint
from spresso_assets.training.losses import MultiResolutionMel, TonalMagnitude


@dataclass(frozen=True)
class AutoencoderTrainingConfig:
    """Clip length in frames, clips per step, refinement steps in the graph, and latent noise.

    ``latent_noise`` is the largest std (x0 units, sigma_data = 0.5) of the noise added to latents: the decoder must
    bear what a sampler hands it.
    """

    clip_frames: int = 100
    batch: int = 12
    refine_steps: int = 1
    latent_noise: float = 0.06
    tonal_weight: float = 0.3


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
    """Train the decoder; returns val losses with and without refinement."""
    require_cache(data)
    cfg = cfg or AutoencoderTrainingConfig()
    torch.manual_seed(0)
    autoencoder = AudioAE(model.autoencoder, model.sigma_data).to(device)
    statistics, _ = load_checkpoint(data / "statistics.safetensors")
    autoencoder.mean_C.copy_(statistics["mean"])
    autoencoder.std_C.copy_(statistics["std"])
    mel, tonal = MultiResolutionMel().to(device), TonalMagnitude().to(device)
    train, val = WaveClips(data / "waves-train.safetensors"), WaveClips(data / "waves-val.safetensors")
    samples = cfg.clip_frames * HOP
    bf16 = has_fast_bf16(torch.device(device))

    def step(generator: torch.Generator, _fraction: float) -> tuple[Tensor, dict[str, float]]:
        audio_BN = train.batch(cfg.batch, samples, generator).to(device)
        with torch.no_grad():
            x0_BTC = autoencoder.encode(audio_BN)
        std_B11 = torch.rand(cfg.batch, 1, 1, generator=generator) * cfg.latent_noise
        x0_BTC = x0_BTC + (std_B11 * torch.randn(x0_BTC.shape, generator=generator)).to(device)
        noise_BN = torch.randn(audio_BN.shape, generator=generator).to(device)
        with torch.autocast(torch.device(device).type, torch.bfloat16, enabled=bf16):
            estimate_BN = autoencoder.decode(x0_BTC, noise_BN, cfg.refine_steps)
        mel_loss, tonal_loss = mel(estimate_BN.float(), audio_BN), tonal(estimate_BN.float(), audio_BN)
        return mel_loss + cfg.tonal_weight * tonal_loss, {
            "mel": float(mel_loss.detach()),
            "tonal": float(tonal_loss.detach()),
        }

    def evaluate() -> dict[str, float]:
        generator = torch.Generator().manual_seed(5)
        values: dict[str, list[float]] = {}
        for i in range(0, len(val.length_I), 4):
            audio_BN = val.clip(i, 2 * samples)[None].to(device)
            noise_BN = torch.randn(audio_BN.shape, generator=generator).to(device)
            for steps in (0, 4):
                estimate_BN = autoencoder.decode(autoencoder.encode(audio_BN), noise_BN, steps)
                values.setdefault(f"mel_refine{steps}", []).append(float(mel(estimate_BN, audio_BN)))
                values.setdefault(f"tonal_refine{steps}", []).append(float(tonal(estimate_BN, audio_BN)))
        return {k: sum(v) / len(v) for k, v in values.items()}

    return Loop({"autoencoder": autoencoder}, loop, out, resume=resume).run(step, evaluate, "autoencoder")
