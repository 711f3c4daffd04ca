"""Entropy tables: counted on sounds, smoothed for others, carried by the bundle; the same codes in less room."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from spresso_assets.audio.procedural import CATALOGUE, synthesise
from spresso_assets.audio.write import write_wav
from spresso_assets.codec import bitstream
from spresso_assets.codec.bundle import load_bundle, write_random_bundle
from spresso_assets.codec.config import PRESETS
from spresso_assets.codec.entropy import EntropyTables, encode_codes
from spresso_assets.errors import SpressoError
from spresso_assets.training.assemble import assemble
from spresso_assets.training.data import build_cache
from spresso_assets.training.entropy import (
    EntropyTrainingConfig,
    fit_tables,
    read_tables,
    tables_of,
    train_entropy,
    write_tables,
)
from spresso_assets.training.source import Source


def skewed_sounds(count: int, seed: int, entries: int = 64) -> list[Any]:
    """Sounds whose codes prefer low entries, and often stay as they are for a while."""
    random = np.random.default_rng(seed)
    share_K = 0.8 ** np.arange(entries)
    sounds = []
    for _ in range(count):
        codes_FM = random.choice(entries, (30, 3), p=share_K / share_K.sum()).astype(np.int32)
        for frame in range(1, 30):
            if random.random() < 0.4:
                codes_FM[frame] = codes_FM[frame - 1]
        sounds.append(codes_FM)
    return sounds


def test_tables_make_other_sounds_of_the_kind_smaller_than_no_knowledge_does() -> None:
    tables, report = fit_tables(skewed_sounds(100, 0), 64)
    even = EntropyTables.even(3, 64)
    others = [codes_FM[:, None] for codes_FM in skewed_sounds(20, 1)]
    coded = sum(len(encode_codes(codes_F1M, tables)) for codes_F1M in others)
    assert coded < 0.85 * sum(len(encode_codes(codes_F1M, even)) for codes_F1M in others)
    assert report["bits_per_code"] == pytest.approx(8 * coded / sum(c.size for c in others), rel=0.15)
    assert report["saving"] == pytest.approx(1 - report["bits_per_code"] / 6)


def test_codes_never_met_stay_cheap() -> None:
    """With few sounds counted, an entry that none of them had costs little more than a plain code."""
    tables, _ = fit_tables(skewed_sounds(12, 2, 1024), 1024)
    frequency_MK = tables.frequency_MK.astype(float)
    share_MK = frequency_MK / frequency_MK.sum(1, keepdims=True)
    assert -math.log2(share_MK.min()) < 10 + 4


def test_too_few_sounds_are_said_to_be_too_few() -> None:
    with pytest.raises(SpressoError, match="no_training_data"):
        fit_tables(skewed_sounds(3, 0), 64)


def test_a_damaged_file_of_tables_is_named(tmp_path: Path) -> None:
    path = tmp_path / "25hz.safetensors"
    write_tables(path, EntropyTables.even(2, 4))
    assert np.array_equal(read_tables(path).rank_MRR, EntropyTables.even(2, 4).rank_MRR)
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(SpressoError, match=r"checkpoint_corrupt: 25hz\.safetensors"):
        read_tables(path)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on ten procedural sounds, with a random tiny bundle to start from and tables of one rate."""
    folder = tmp_path_factory.mktemp("entropy")
    (folder / "sounds").mkdir()
    rows = ["path,split", "0.wav,val", "1.wav,train", "2.wav,train"]
    (folder / "sounds" / "manifest.csv").write_text("\n".join(rows) + "\n")
    for i, name in enumerate(sorted(CATALOGUE)[:3]):
        write_wav(folder / "sounds" / f"{i}.wav", synthesise(name, i, 0.5), 48_000)
    write_random_bundle(folder / "base", "tiny")
    build_cache(folder / "sounds", folder / "data", PRESETS["tiny"].autoencoder, speeds=(1.0,), procedural=9)

    def train(frames: int) -> dict[str, float]:
        source, cfg = Source(folder, folder / "base"), EntropyTrainingConfig(frames)
        out = folder / "entropy"
        return train_entropy(PRESETS["tiny"], folder / "data", source, "25hz", out, cfg, max_minutes=9, resume=True)

    with pytest.raises(SpressoError, match="no_training_data"):
        train(1)
    report = train(10**6)  # goes on where it was, to the last sound
    assert report["sounds"] == 11
    assert train(10**6) == report
    return folder


def test_a_bundle_carries_its_tables_and_codes_by_them(run: Path, tmp_path: Path) -> None:
    assemble(PRESETS["tiny"], run, tmp_path / "bundle", base=run / "base")
    plain, codec = load_bundle(run / "base"), load_bundle(tmp_path / "bundle")
    assert list(codec.entropy) == [4] and not plain.entropy
    still_1N = np.pad(np.random.default_rng(0).normal(0, 0.1, (1, 9_600)), ((0, 0), (0, 86_400))).astype(np.float32)
    stream, large = codec.encode(still_1N, 48_000, "2.5kbps"), plain.encode(still_1N, 48_000, "2.5kbps")
    assert bitstream.read_header(stream).coded and len(stream) < len(large)
    assert np.array_equal(bitstream.unpack(stream, codec.entropy)[1], bitstream.unpack(large)[1])
    assert codec.decode(stream, quality="preview")[0].shape == still_1N.shape
    with pytest.raises(SpressoError, match="spr_needs_model"):
        plain.decode(stream)
    other = codec.encode(still_1N, 48_000, "0.48kbps")  # no tables for its rate
    assert not bitstream.read_header(other).coded

    again = assemble(PRESETS["tiny"], tmp_path / "empty", tmp_path / "again", base=tmp_path / "bundle")
    assert again == codec.weights_sha256  # a run without tables of its own takes those of its base


def test_tables_of_the_base_do_not_outlive_its_quantizer(run: Path, tmp_path: Path) -> None:
    assemble(PRESETS["tiny"], run, tmp_path / "bundle", base=run / "base")
    fresh = Source(tmp_path / "run", tmp_path / "bundle")
    assert tables_of(fresh, "25hz") is not None and tables_of(fresh, "1hz") is None
    trained = tmp_path / "run" / "quantizer" / "25hz" / "quantizer.safetensors"
    trained.parent.mkdir(parents=True)
    trained.touch()
    assert tables_of(fresh, "25hz") is None
