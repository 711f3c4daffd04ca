"""Training material: sounds -> raw AudioAE latents cached on disk, and augmented crops drawn from them.

With log-mel latents most augmentation is arithmetic on the cache: a gain is an offset, an equaliser a smooth curve,
two sounds at once add as powers. Latents of a learned encoder know no such arithmetic and are taken as they are. Speed
changes need the waveform and are baked in as variants.
"""

from __future__ import annotations

import csv
import hashlib
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from spresso_assets.codec.autoencoder import AudioAE, ConvEncoder, LogMelEncoder
from spresso_assets.codec.config import HOP, SAMPLE_RATE, AutoencoderConfig
from spresso_assets.codec.level import gain_steps, linear_gain
from spresso_assets.errors import SpressoError
from spresso_assets.training.checkpoint import load_checkpoint, save_checkpoint

SPEEDS = (1.0, 0.8, 1.25, 0.64, 1.55)
SUFFIXES = frozenset({".wav", ".flac", ".ogg", ".aif", ".aiff", ".mp3"})
TAIL_FRAMES = 4  # silence kept after each sound, so that its end is seen


@dataclass(frozen=True)
class Item:
    """A sound file and the split it belongs to."""

    path: Path
    split: str


def list_items(data: Path, manifest: Path | None = None) -> list[Item]:
    """Sounds under ``data``; split by manifest.csv (path, split), else by path hash (5 % val).

    Raises:
        SpressoError: ``no_training_data`` if nothing is found.
    """
    manifest = manifest or (data / "manifest.csv")
    if manifest.exists():
        with manifest.open(newline="", encoding="utf-8") as f:
            items = [Item(data / row["path"], row["split"]) for row in csv.DictReader(f)]
    else:
        paths = sorted(
            p for p in data.rglob("*") if p.suffix.lower() in {".wav", ".flac", ".ogg", ".aif", ".aiff", ".mp3"}
        )
        items = [
            Item(p, "val" if hashlib.sha256(str(p.relative_to(data)).encode()).digest()[0] < 13 else "train")
            for p in paths
        ]
    if not items:
        raise SpressoError(f"no sounds under {data}", code="no_training_data", hint="Name a folder of sounds.")
    return items


def load_mono(path: Path, speeds: tuple[float, ...] = (1.0,)) -> list[np.ndarray]:
    """Mono mix at 48 kHz at the codec's level, once per playback speed (pitch moves along): float32 [N] each."""
    from spresso_assets.audio.read import read_audio
    from spresso_assets.audio.resample import resample

    sound = read_audio(path)
    mono_1N = sound.samples.mean(0, keepdims=True)
    variants = []
    for speed in speeds:
        played_1N = resample(mono_1N, round(sound.sample_rate * speed), SAMPLE_RATE)
        variants.append((played_1N * linear_gain(gain_steps(played_1N)))[0].astype(np.float32))
    return variants


def procedural_sounds(count: int, seed: int) -> Iterator[np.ndarray]:
    """``count`` sounds of our own generator, mono at the codec's level: float32 [N] each."""
    from spresso_assets.audio.procedural import CATALOGUE, synthesise

    names = sorted(CATALOGUE)
    for i in range(count):
        mono_1N = synthesise(names[i % len(names)], seed + i).mean(0, keepdims=True).astype(np.float32)
        yield (mono_1N * linear_gain(gain_steps(mono_1N)))[0]


@torch.no_grad()
def _analyse(encoder: LogMelEncoder | ConvEncoder, audio_1N: Tensor, chunk: int = 500) -> Tensor:
    """[1, N] -> [T, C] float16, in chunks with context: whole minutes at once spend their time on page faults."""
    margin, total = encoder.margin, audio_1N.shape[1] // HOP
    pieces = []
    for start in range(0, total, chunk):
        low, high = max(0, start - margin), min(total, start + chunk + margin)
        piece_TC = encoder(audio_1N[:, low * HOP : high * HOP])[0]
        pieces.append(piece_TC[start - low : start - low + min(chunk, total - start)].half())
    return torch.cat(pieces)


def cache_file(split: str) -> str:
    """Name of the file with the latents of a split."""
    return f"latents-{split}.safetensors"


def build_cache(
    data: Path,
    out: Path,
    cfg: AutoencoderConfig,
    *,
    autoencoder: AudioAE | None = None,
    manifest: Path | None = None,
    speeds: tuple[float, ...] = SPEEDS,
    procedural: int = 0,
) -> dict[str, float]:
    """Analyse every sound and write ``latents-<split>.safetensors`` plus statistics; returns counts.

    Unreadable files are skipped and listed in ``skipped.jsonl``.

    Args:
        autoencoder: a trained AudioAE, whose encoder and statistics are used. Without one the analysis is the fixed
            log-mel one of ``cfg``, and the statistics are those of the training split.

    Raises:
        SpressoError: ``checkpoint_missing`` if ``cfg`` has a learned encoder and no trained autoencoder is given;
            ``no_training_data``.
    """
    if autoencoder is None and cfg.encoder != "logmel":
        raise SpressoError(
            "latents of a learned encoder need the trained autoencoder",
            code="checkpoint_missing",
            hint="Run 'spresso train autoencoder' first.",
        )
    encoder = LogMelEncoder(cfg) if autoencoder is None else autoencoder.eval().encoder
    silence_C = _analyse(encoder, torch.zeros(1, 100 * HOP))[50].float()
    out.mkdir(parents=True, exist_ok=True)
    report: dict[str, float] = {}
    skipped = []
    for split in ("train", "val"):
        frames: list[Tensor] = []
        names: list[str] = []

        def add(mono_N: np.ndarray, name: str, frames: list[Tensor] = frames, names: list[str] = names) -> None:
            wanted = math.ceil(len(mono_N) / HOP) + TAIL_FRAMES
            padded_1N = torch.zeros(1, wanted * HOP)
            padded_1N[0, : len(mono_N)] = torch.from_numpy(mono_N)
            frames.append(_analyse(encoder, padded_1N))
            names.append(name)

        for item in (i for i in list_items(data, manifest) if i.split == split):
            wanted = speeds if split == "train" else (1.0,)
            try:
                for speed, mono_N in zip(wanted, load_mono(item.path, wanted), strict=True):
                    add(mono_N, f"{item.path.relative_to(data)}@{speed}")
            except SpressoError as e:
                skipped.append({"path": str(item.path.relative_to(data)), "error": e.code})
        if split == "train":
            for i, mono_N in enumerate(procedural_sounds(procedural, seed=1000)):
                add(mono_N, f"procedural/{i}")
        if not frames:
            raise SpressoError(
                f"no readable sounds in the split '{split}' of {data}",
                code="no_training_data",
                hint="Both train and val need some: see manifest.csv, or add sounds.",
            )
        length_I = torch.tensor([len(f) for f in frames])
        all_KC = torch.cat(frames)
        header = {"names": names, "floor": math.log10(cfg.power_floor) if cfg.encoder == "logmel" else None}
        tensors = {"frames": all_KC, "length": length_I, "silence": silence_C}
        if split == "train":
            # Statistics over one copy of each sound, sigma-clipped at 6 as extremes must not set the scale.
            mean_C, std_C = all_KC.float().mean(0), all_KC.float().std(0)
            clipped_KC = all_KC.float().clamp(mean_C - 6 * std_C, mean_C + 6 * std_C)
            stats = {"mean": clipped_KC.mean(0), "std": clipped_KC.std(0)}
            if autoencoder is not None:
                stats = {"mean": autoencoder.mean_C.cpu(), "std": autoencoder.std_C.cpu()}
            save_checkpoint(out / "statistics.safetensors", stats, {})
        save_checkpoint(out / cache_file(split), tensors, header)
        report[f"{split}_sounds"], report[f"{split}_hours"] = len(frames), len(all_KC) / 360_000
    (out / "skipped.jsonl").write_text("".join(json.dumps(s) + "\n" for s in skipped), encoding="utf-8")
    report["skipped"] = len(skipped)
    return report


class LatentCache:
    """Cached raw latents of one split: [K, C] frames and the start and length of each sound.

    ``floor`` is the value of silent log-mel latents, None where a learned encoder made the cache. ``text_IE`` are the
    text embeddings of the sounds, NaN where there is no caption; None if none were cached.

    Raises:
        SpressoError: ``checkpoint_missing``; ``stale_captions`` if the embeddings are those of other sounds.
    """

    def __init__(self, folder: Path, split: str) -> None:
        tensors, header = load_checkpoint(folder / cache_file(split))
        self.frames_KC, self.length_I = tensors["frames"], tensors["length"]
        self.start_I = torch.cumsum(self.length_I, 0) - self.length_I
        self.names: list[str] = header["names"]
        self.floor: float | None = header["floor"]
        silence_C = tensors.get("silence")
        self.silence_C = torch.full_like(self.frames_KC[0], header["floor"]) if silence_C is None else silence_C
        self.text_IE: Tensor | None = None
        if (folder / f"text-{split}.safetensors").exists():
            text, about = load_checkpoint(folder / f"text-{split}.safetensors")
            if about["names"] != self.names:
                raise SpressoError(
                    "the cached captions are those of other sounds than the cached latents",
                    code="stale_captions",
                    hint="Run 'spresso train prepare' with --captions again.",
                )
            self.text_IE = text["text"]
        # Variants of one sound (other speeds) share its number.
        numbers: dict[str, int] = {}
        bases = (name.rsplit("@", 1)[0] for name in self.names)
        self.sound_I = torch.tensor([numbers.setdefault(base, len(numbers)) for base in bases])

    def crop(self, index: int, length: int, offset: int = 0) -> Tensor:
        """[length, C] from ``offset`` on, silence after the end."""
        start, end = int(self.start_I[index]) + offset, int(self.start_I[index] + self.length_I[index])
        piece_TC = self.frames_KC[start : min(end, start + length)].float()
        if len(piece_TC) < length:
            pad_TC = self.silence_C.float().expand(length - len(piece_TC), -1)
            piece_TC = torch.cat([piece_TC, pad_TC])
        return piece_TC


@dataclass(frozen=True)
class CropConfig:
    """Lengths (frames) and how often a batch has them; ``budget`` frames make a batch."""

    lengths: tuple[int, ...] = (48, 100, 200, 500)
    weights: tuple[float, ...] = (0.1, 0.3, 0.25, 0.35)
    budget: int = 6000
    mix: float = 0.15
    reverse: float = 0.1
    gain_std: float = 0.25  # log10 power: 2.5 dB
    tilt_std: float = 0.15


class CropSampler:
    """Draws batches [B, T, C] of raw latents, augmented if log-mel, all randomness from the given generator."""

    def __init__(self, cache: LatentCache, cfg: CropConfig) -> None:
        self.cache, self.cfg = cache, cfg
        length_I = cache.length_I.float()
        # Short files (most of an archive) must learn to start and end; long ones must crop. Square root is between
        # one draw per file and one per second.
        self.weights = {
            n: torch.where(length_I >= (n / 2 if n > 100 else 8), length_I.clamp(max=1000).sqrt(), torch.zeros(()))
            for n in cfg.lengths
        }
        # An archive of short sounds has none for the longest crops.
        self.chance_L = torch.tensor(cfg.weights) * torch.tensor([float(w.sum()) > 0 for w in self.weights.values()])

    def batch(self, generator: torch.Generator, multiple: int) -> Tensor:
        """One batch [B, T, C] whose T is the drawn length rounded up to ``multiple``."""
        return self.labelled_batch(generator, multiple)[0]

    def labelled_batch(self, generator: torch.Generator, multiple: int) -> tuple[Tensor, Tensor]:
        """`batch`, and the number of the sound [B] that each clip comes from."""
        batch_BTC, index_B = self._draw(generator, multiple)
        return batch_BTC, self.cache.sound_I[index_B]

    def captioned_batch(self, generator: torch.Generator, multiple: int) -> tuple[Tensor, Tensor | None]:
        """`batch`, and the text embedding [B, E] of each clip's sound, if there are any."""
        batch_BTC, index_B = self._draw(generator, multiple)
        return batch_BTC, None if self.cache.text_IE is None else self.cache.text_IE[index_B]

    def _draw(self, generator: torch.Generator, multiple: int) -> tuple[Tensor, Tensor]:
        """A batch and the rows [B] of the cache that it was cut from."""
        cfg = self.cfg
        nominal = cfg.lengths[int(torch.multinomial(self.chance_L, 1, generator=generator))]
        length = -(-nominal // multiple) * multiple
        count = max(1, cfg.budget // length)
        index_B = torch.multinomial(self.weights[nominal], count, replacement=True, generator=generator)
        batch_BTC = torch.stack([self._crop(int(i), length, generator) for i in index_B])
        return self._augment(batch_BTC, generator), index_B

    def _crop(self, index: int, length: int, generator: torch.Generator) -> Tensor:
        spare = int(self.cache.length_I[index]) - length
        offset = int(torch.randint(spare + 1, (1,), generator=generator)) if spare > 0 else 0
        return self.cache.crop(index, length, offset)

    def _augment(self, x_BTC: Tensor, generator: torch.Generator) -> Tensor:
        cfg, floor = self.cfg, self.cache.floor
        count, _, channels = x_BTC.shape
        if floor is None:
            return x_BTC

        def chosen(p: float) -> Tensor:
            return torch.rand(count, generator=generator) < p

        flip = chosen(cfg.reverse)
        x_BTC[flip] = x_BTC[flip].flip(1)
        blend = chosen(cfg.mix)
        if blend.any():
            other = torch.randperm(count, generator=generator)
            level_B11 = -torch.rand(count, 1, 1, generator=generator)
            both_BTC = 10**x_BTC + 10 ** (x_BTC[other] + level_B11) - 10**floor
            x_BTC = torch.where(blend[:, None, None], both_BTC.clamp_min(10**floor).log10(), x_BTC)
        gain_B1 = torch.randn(count, 1, generator=generator).clamp(-2, 1) * cfg.gain_std
        # A random smooth equaliser: three slow cosines over the mel axis.
        axis_C = torch.linspace(0, math.pi, channels)
        curve_3C = torch.stack([(axis_C * k).cos() for k in (1, 2, 3)])
        tilt_BC = torch.randn(count, 3, generator=generator) * cfg.tilt_std @ curve_3C
        above_floor = x_BTC > floor + 0.05
        shifted_BTC = (x_BTC + (gain_B1 + tilt_BC)[:, None]).clamp_min(floor)
        return torch.where(above_floor, shifted_BTC, x_BTC)
