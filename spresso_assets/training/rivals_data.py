"""Clips for the rivals' trainers: the same sounds as for our own model, at the rate and channels of a rival."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from spresso_assets.codec.level import gain_steps, linear_gain
from spresso_assets.errors import SpressoError
from spresso_assets.training.checkpoint import load_checkpoint, save_checkpoint
from spresso_assets.training.data import list_items

GAIN_DB = 10.0  # clips are turned down by up to so much


def build_clips(data: Path, out: Path, sample_rate: int, channels: int, limit: int | None = None) -> None:
    """Write ``clips-<split>.safetensors``: every sound as int16 at the codec's level, one after another.

    Mono sounds are the same on both channels of a stereo rival; a mono rival hears the mean. Unreadable files are left
    out.

    Args:
        limit: at most so many sounds of each split, for trials.

    Raises:
        SpressoError: ``no_training_data`` if a split has no readable sound.
    """
    from spresso_assets.audio.read import read_audio
    from spresso_assets.audio.resample import resample

    out.mkdir(parents=True, exist_ok=True)
    for split in ("train", "val"):
        pieces: list[Tensor] = []
        items = [item for item in list_items(data) if item.split == split]
        for item in items[:: max(1, len(items) // limit)] if limit else items:
            try:
                sound = read_audio(item.path)
            except SpressoError:
                continue
            wanted = sound.samples if len(sound.samples) == channels else sound.samples.mean(0, keepdims=True)
            played_CN = resample(wanted, sound.sample_rate, sample_rate)
            levelled_CN = np.broadcast_to(played_CN, (channels, played_CN.shape[1])) * linear_gain(
                gain_steps(played_CN)
            )
            pieces.append(torch.from_numpy((levelled_CN.clip(-1, 1) * 32767).round().astype(np.int16)))
        if not pieces:
            raise SpressoError(
                f"no readable sounds in the split '{split}' of {data}",
                code="no_training_data",
                hint="Both train and val need some: see manifest.csv, or add sounds.",
            )
        tensors = {"samples": torch.cat(pieces, 1), "length": torch.tensor([p.shape[1] for p in pieces])}
        save_checkpoint(out / clips_file(split), tensors, {"sample_rate": sample_rate})


def clips_file(split: str) -> str:
    """Name of the file with the sounds of a split."""
    return f"clips-{split}.safetensors"


class Clips:
    """Random clips [B, C, N]; sounds shorter than a clip are followed by silence.

    Raises:
        SpressoError: ``checkpoint_missing``.
    """

    def __init__(self, path: Path) -> None:
        tensors, header = load_checkpoint(path)
        self.samples_CK, self.length_I = tensors["samples"], tensors["length"]
        self.start_I = torch.cumsum(self.length_I, 0) - self.length_I
        rate = header["sample_rate"]
        self.weight_I = self.length_I.clamp(rate // 10, 10 * rate).float().sqrt()

    def __len__(self) -> int:
        return len(self.length_I)

    def clip(self, index: int, samples: int, offset: int = 0) -> Tensor:
        """[C, N] of one sound."""
        start = int(self.start_I[index]) + offset
        stop = start + min(samples, int(self.length_I[index]) - offset)
        piece_CN = self.samples_CK[:, start:stop].float() / 32767
        return F.pad(piece_CN, (0, samples - piece_CN.shape[1]))

    def batch(self, count: int, samples: int, generator: torch.Generator) -> Tensor:
        """Clips drawn by the square root of their sounds' lengths, at random levels."""
        clips = []
        for i in torch.multinomial(self.weight_I, count, replacement=True, generator=generator).tolist():
            spare = int(self.length_I[i]) - samples
            offset = int(torch.randint(spare + 1, (1,), generator=generator)) if spare > 0 else 0
            clips.append(self.clip(i, samples, offset))
        level_B11 = 10 ** (-torch.rand(count, 1, 1, generator=generator) * GAIN_DB / 20)
        return torch.stack(clips) * level_B11


def with_noise(audio_BCN: Tensor, generator: torch.Generator) -> Tensor:
    """Clips in coloured noise at 0 to 20 dB below them: what a denoising model is to take away."""
    count, _, samples = audio_BCN.shape
    white_BF = torch.fft.rfft(torch.randn(count, samples, generator=generator))
    frequency_F = torch.arange(white_BF.shape[1]).clamp_min(1).float()
    colour_B1 = torch.rand(count, 1, generator=generator)  # 0 white, 1 brown
    noise_BN = torch.fft.irfft(white_BF * frequency_F**-colour_B1, samples)
    noise_BN = noise_BN / noise_BN.square().mean(1, keepdim=True).sqrt().clamp_min(1e-9)
    below_B1 = 10 ** (-torch.rand(count, 1, generator=generator))
    level_B1 = audio_BCN.mean(1).square().mean(1, keepdim=True).sqrt() * below_B1
    return audio_BCN + (noise_BN * level_B1)[:, None].to(audio_BCN.device)
