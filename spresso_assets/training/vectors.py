"""Latent vectors for the quantizers: g_psi over augmented crops of the cache, at one frame rate."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from spresso_assets.codec.config import POOLS, ModelConfig
from spresso_assets.codec.precision import has_fast_bf16
from spresso_assets.training.checkpoint import load_checkpoint, save_checkpoint
from spresso_assets.training.data import CropConfig, CropSampler, LatentCache
from spresso_assets.training.source import Source, read_statistics

CACHED = "vectors.safetensors"


def stored_vectors(
    model: ModelConfig, source: Source, rate: str, count: int, out: Path, *, resume: bool = False
) -> tuple[Tensor, Tensor, Tensor]:
    """`collect_vectors` of the run's cache, kept in ``out`` for a resumed training."""
    path = out / CACHED
    if not (resume and path.exists()):
        vectors = collect_vectors(model, source.run / "data", source, rate, count)
        out.mkdir(parents=True, exist_ok=True)
        names = ("train", "sounds", "val")
        save_checkpoint(path, {name: v.contiguous() for name, v in zip(names, vectors, strict=True)}, {})
    tensors, _ = load_checkpoint(path)
    return tensors["train"], tensors["sounds"], tensors["val"]


@torch.inference_mode()
def collect_vectors(
    model: ModelConfig, data: Path, source: Source, rate: str, count: int, seed: int = 0, device: str = "cpu"
) -> tuple[Tensor, Tensor, Tensor]:
    """Code vectors of one rate.

    Returns:
        train [count, D], the sound that each of them comes from [count], and val [n, D]: every val sound once, up to
        30 s of each, not augmented.
    """
    model = model.only(rate) if model.per_rate else model
    encoder = source.latent_encoder(model).to(device)
    mean_C, std_C = read_statistics(data)
    scale_C = model.sigma_data / std_C
    multiple, pool = model.frame_multiple(rate), POOLS[rate]
    bf16 = has_fast_bf16(torch.device(device))

    def encode(raw_BTC: Tensor) -> Tensor:
        with torch.autocast(torch.device(device).type, torch.bfloat16, enabled=bf16):
            z_BFD = encoder(((raw_BTC - mean_C) * scale_C).to(device), rate)
        return z_BFD.float().cpu()

    sampler = CropSampler(LatentCache(data, "train"), CropConfig())
    generator = torch.Generator().manual_seed(seed)
    pieces: list[Tensor] = []
    sounds: list[Tensor] = []
    collected = 0
    while collected < count:
        raw_BTC, sound_B = sampler.labelled_batch(generator, multiple)
        z_BFD = encode(raw_BTC)
        pieces.append(z_BFD.flatten(0, 1))
        sounds.append(sound_B.repeat_interleave(z_BFD.shape[1]))
        collected += len(pieces[-1])
    val_cache = LatentCache(data, "val")
    val: list[Tensor] = []
    for i in range(len(val_cache.names)):
        frames = min(int(val_cache.length_I[i]), 3000)
        for start in range(0, frames, model.window_frames):
            window = min(model.window_frames, frames - start)
            length, tokens = model.filled_up(window, rate), -(-window // pool)
            val.append(encode(val_cache.crop(i, length, start)[None])[0, :tokens])
    return torch.cat(pieces)[:count], torch.cat(sounds)[:count], torch.cat(val)
