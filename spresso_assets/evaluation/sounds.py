"""Which sounds are measured, in an order that everybody gets, and how they are read."""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from spresso_assets.audio.read import iter_blocks, open_sound
from spresso_assets.codec.level import LevelMeter
from spresso_assets.errors import ExitCode, SpressoError

MANIFEST = "manifest.csv"
SHORTEST_S = 0.05  # below, a sound has no envelope and hardly a spectrum

# Name, samples float32 [C, N], sample rate.
Sound = tuple[str, NDArray[np.float32], int]


def choose(folder: Path, suffixes: Collection[str], split: str | None = "val", limit: int | None = None) -> list[str]:
    """Relative paths of the sounds to measure, in the order of a hash of their path.

    The first 24 are thus the same whether 24 or 240 are asked for, mixed over all folders, and on every machine.

    Args:
        suffixes: file suffixes in lower case, without dots.
        split: rows of FOLDER/manifest.csv (columns path, split) to take; without that file, or with None, all sounds.

    Raises:
        SpressoError: ``no_sounds``, ``bad_manifest``.
    """
    manifest = folder / MANIFEST
    names: list[str] = []
    if split is not None and manifest.is_file():
        names = _listed(manifest, split)
    elif folder.is_dir():
        files = (p for p in folder.rglob("*") if p.suffix.lower().removeprefix(".") in suffixes and p.is_file())
        names = [p.relative_to(folder).as_posix() for p in files]
    if not names:
        raise SpressoError(
            f"there are no sounds to measure in {folder}",
            code="no_sounds",
            hint=f"Name a folder of sounds; with a {MANIFEST} in it, --split chooses its rows ('all' takes all).",
            exit_code=ExitCode.NOT_FOUND,
        )
    return sorted(names, key=lambda name: hashlib.sha256(name.encode(errors="surrogateescape")).digest())[:limit]


def _listed(manifest: Path, split: str) -> list[str]:
    try:
        with manifest.open(newline="", encoding="utf-8") as file:
            return [row["path"] for row in csv.DictReader(file) if row["split"] == split]
    except (OSError, KeyError, ValueError) as error:
        raise SpressoError(
            f"{manifest} cannot be read as a list of sounds: {error!r}",
            code="bad_manifest",
            hint="It needs the columns path and split; --split all measures the folder without it.",
            exit_code=ExitCode.USAGE,
        ) from error


def unfit(sound: Sound) -> SpressoError | None:
    """Why a sound says nothing of quality; None if it does."""
    name, audio_CN, rate = sound
    if audio_CN.shape[1] < SHORTEST_S * rate:
        return SpressoError(f"{name} is shorter than 50 ms", code="too_short")
    meter = LevelMeter()
    meter.add(audio_CN.mean(0, keepdims=True))
    return SpressoError(f"{name} is silent", code="silent_sound") if meter.silent else None


def read_sounds(
    folder: Path, names: Sequence[str], seconds: float | None, skip: Callable[[str, SpressoError], None]
) -> Iterator[Sound]:
    """Read the first ``seconds`` of each file (None: all of it); what cannot be read goes to ``skip``."""
    for name in names:
        try:
            yield name, *_read(folder / name, seconds)
        except SpressoError as error:
            skip(name, error)


def _read(path: Path, seconds: float | None) -> tuple[NDArray[np.float32], int]:
    with open_sound(path) as sound:
        rate = sound.sample_rate
    wanted = None if seconds is None else round(seconds * rate)
    pieces: list[NDArray[np.float32]] = []
    for block_Cn in iter_blocks(path):
        pieces.append(block_Cn)
        if wanted is not None and sum(p.shape[1] for p in pieces) >= wanted:
            break
    return np.concatenate(pieces, 1)[:, :wanted], rate
