"""Stage: entropy. Codes of the training sounds to the tables by which streams are entropy-coded.

Sounds are taken whole and in random order, their codes found by the search that encoding uses, and walked through by
the coder's own `walk`: so what is counted is what will be coded. Codes that the training sounds hardly have must not
become expensive; how much they are smoothed towards equal shares is chosen by the cost of sounds that were not counted.

Axes: F latent frames, M codebooks, K entries of a codebook, R ranks of a candidate.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import load_file, save_file
from torch import Tensor

from spresso_assets.codec.bundle import WEIGHTS
from spresso_assets.codec.config import POOLS, ModelConfig
from spresso_assets.codec.encoding import BEAM
from spresso_assets.codec.encoding import CANDIDATES as BEAM_CANDIDATES
from spresso_assets.codec.entropy import CANDIDATES, RANK_TOTAL, EntropyTables, walk
from spresso_assets.codec.windows import encode_windows
from spresso_assets.errors import SpressoError
from spresso_assets.training.checkpoint import load_checkpoint, save_checkpoint
from spresso_assets.training.data import TAIL_FRAMES, LatentCache
from spresso_assets.training.quantizer import RESULT
from spresso_assets.training.source import Source, bundle_state, read_statistics

FOLDER = "entropy"  # in a run, and the first part of the names of a bundle's tables
SMOOTHINGS = (0.3, 1.0, 3.0, 10.0)
HELD_OUT = 5  # every so many-th sound judges the smoothing

Codes = NDArray[np.int32]  # [F, M], of one sound


@dataclass(frozen=True)
class EntropyTrainingConfig:
    """How much to count: latent frames per rate, and the order of sounds."""

    frames: int = 60_000
    seed: int = 0


def train_entropy(
    model: ModelConfig,
    data: Path,
    source: Source,
    rate: str,
    out: Path,
    cfg: EntropyTrainingConfig,
    *,
    max_minutes: float,
    resume: bool = False,
) -> dict[str, float]:
    """Tables of one frame rate, written to ``out/<rate>.safetensors``; codes are kept in ``out/<rate>-codes``.

    Returns:
        Counted frames and sounds, the smoothing chosen, and bits per code of the sounds held out, where a plain
        stream has log2 K.

    Raises:
        SpressoError: ``checkpoint_missing``, ``no_training_data``.
    """
    path = out / f"{rate}-codes.safetensors"
    sounds, position = _stored(path) if resume and path.exists() else ([], 0)
    end = time.monotonic() + 60 * max_minutes
    counted = sum(map(len, sounds))
    if counted < cfg.frames:
        for codes_FM in collect_codes(model, data, source, rate, cfg.seed, position):
            sounds.append(codes_FM)
            position, counted = position + 1, counted + len(codes_FM)
            if counted >= cfg.frames or time.monotonic() > end:
                break
        out.mkdir(parents=True, exist_ok=True)
        tensors = {"codes": torch.from_numpy(np.concatenate(sounds)), "length": torch.tensor([len(s) for s in sounds])}
        save_checkpoint(path, tensors, {"position": position})
    tables, report = fit_tables(sounds, model.quantizers[rate].entries)
    write_tables(out / f"{rate}.safetensors", tables)
    return {"frames": counted, "sounds": len(sounds), **report}


@torch.inference_mode()
def collect_codes(
    model: ModelConfig, data: Path, source: Source, rate: str, seed: int, position: int = 0
) -> Iterator[Codes]:
    """Codes of the training sounds, one after the other in random order from the ``position``-th on."""
    model = model.only(rate) if model.per_rate else model
    encoder = source.latent_encoder(model)
    quantizer = source.quantizer(model, rate)
    mean_C, std_C = read_statistics(data)
    cache, pool, multiple = LatentCache(data, "train"), POOLS[rate], model.frame_multiple(rate)
    order = np.random.default_rng(seed).permutation(len(cache.names))
    for index in order[position:].tolist():
        tokens = math.ceil((int(cache.length_I[index]) - TAIL_FRAMES) / pool)
        frames = model.filled_up(tokens * pool, rate)
        x0_TC = (cache.crop(index, frames) - mean_C) * (model.sigma_data / std_C)
        parts: list[Tensor] = []
        for w in encode_windows(frames, model.window_frames, multiple):
            z_FD = encoder(x0_TC[None, w.start : w.stop], rate)[0]
            parts.append(z_FD[(w.keep_start - w.start) // pool : (w.keep_stop - w.start) // pool])
        yield quantizer.encode(torch.cat(parts)[:tokens], BEAM, BEAM_CANDIDATES).int().numpy()


def fit_tables(sounds: list[Codes], entries: int) -> tuple[EntropyTables, dict[str, float]]:
    """Tables from the codes of whole sounds, and what they cost on a fifth of them that was left out for the choice.

    Raises:
        SpressoError: ``no_training_data`` if there are too few sounds.
    """
    if len(sounds) < 2 * HELD_OUT:
        raise SpressoError(
            f"{len(sounds)} sounds are too few to count codes on", code="no_training_data", hint="Give it more sounds."
        )
    held = sounds[::HELD_OUT]
    counts = _count([s for i, s in enumerate(sounds) if i % HELD_OUT], entries)
    costs = {a: _bits_per_code(held, _tables(*counts, a)) for a in SMOOTHINGS}
    smoothing = min(costs, key=costs.__getitem__)
    plain = math.log2(entries)
    report = {"smoothing": smoothing, "bits_per_code": costs[smoothing], "saving": 1 - costs[smoothing] / plain}
    return _tables(*_count(sounds, entries), smoothing), report


def write_tables(path: Path, tables: EntropyTables) -> None:
    """Tables to a safetensors file, as uint16."""
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({"frequency_MK": tables.frequency_MK, "rank_MRR": tables.rank_MRR}, path)


def read_tables(path: Path) -> EntropyTables:
    """Inverse of `write_tables`. Raises SpressoError ``checkpoint_corrupt``."""
    try:
        return EntropyTables(**load_file(path))
    except (OSError, SafetensorError, TypeError, ValueError) as e:
        raise SpressoError(
            f"{path.name} holds no entropy tables: {e}",
            code="checkpoint_corrupt",
            hint="Make them again with 'spresso train entropy'.",
        ) from e


def tables_of(source: Source, rate: str) -> EntropyTables | None:
    """The run's own tables; else those of its base, unless the run has a quantizer of its own, which they do not know.

    Raises:
        SpressoError: ``checkpoint_corrupt``, or what the base raises.
    """
    own = source.run / FOLDER / f"{rate}.safetensors"
    if own.exists():
        return read_tables(own)
    if source.base is None or (source.run / "quantizer" / rate / RESULT).exists():
        return None
    with safe_open(source.base / WEIGHTS, "np") as weights:
        if f"{FOLDER}.{rate}.frequency_MK" not in weights.keys():  # noqa: SIM118 (it is no dict)
            return None
    return EntropyTables(**{k: v.numpy() for k, v in bundle_state(source.base, f"{FOLDER}.{rate}").items()})


class _Counter:
    """Counts what the coder would be told."""

    def __init__(self, codebooks: int, entries: int) -> None:
        self.novelty_MK = np.zeros((codebooks, entries))
        self.rank_MRR = np.zeros((codebooks, CANDIDATES, CANDIDATES + 1))

    def choose(self, m: int, weights: list[int], wanted: int) -> int:
        self.rank_MRR[m, len(weights) - 2, wanted] += 1
        return wanted

    def draw(self, m: int, cumulative: list[int], excluded: list[int], wanted: int) -> int:
        self.novelty_MK[m, wanted] += 1
        return wanted


class _Meter:
    """Adds up what the coder would spend, in bits."""

    def __init__(self) -> None:
        self.bits = 0.0

    def choose(self, m: int, weights: list[int], wanted: int) -> int:
        self.bits -= math.log2(weights[wanted] / sum(weights))
        return wanted

    def draw(self, m: int, cumulative: list[int], excluded: list[int], wanted: int) -> int:
        total = cumulative[-1] - sum(cumulative[e + 1] - cumulative[e] for e in excluded)
        self.bits -= math.log2((cumulative[wanted + 1] - cumulative[wanted]) / total)
        return wanted


def _count(sounds: list[Codes], entries: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    codebooks = sounds[0].shape[1]
    counter = _Counter(codebooks, entries)
    for codes_FM in sounds:
        walk(counter, EntropyTables.even(codebooks, entries), (len(codes_FM), 1, codebooks), codes_FM[:, None].tolist())
    return counter.novelty_MK, counter.rank_MRR


def _bits_per_code(sounds: list[Codes], tables: EntropyTables) -> float:
    meter = _Meter()
    for codes_FM in sounds:
        walk(meter, tables, (len(codes_FM), 1, tables.codebooks), codes_FM[:, None].tolist())
    return meter.bits / sum(codes_FM.size for codes_FM in sounds)


def _tables(novelty_MK: NDArray[np.float64], rank_MRR: NDArray[np.float64], smoothing: float) -> EntropyTables:
    """Counts plus ``smoothing``, in integers: the most frequent entry has 65535, no entry less than 1."""
    share_MK = novelty_MK + smoothing
    frequency_MK = np.maximum(1, np.rint(65_535 * share_MK / share_MK.max(1, keepdims=True)))
    smooth_MRR = np.tril(rank_MRR + 0.3, 1)
    start_MRR = np.maximum(1, np.rint(RANK_TOTAL * smooth_MRR / smooth_MRR.sum(2, keepdims=True)))
    return EntropyTables(frequency_MK.astype(np.uint16), start_MRR.astype(np.uint16))


def _stored(path: Path) -> tuple[list[Codes], int]:
    tensors, header = load_checkpoint(path)
    ends = np.cumsum(tensors["length"].numpy())
    return np.split(tensors["codes"].numpy(), ends[:-1]), int(header["position"])
