"""The quantizer stage: it beats its starting point on unseen vectors, survives kills, and says how well it did."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from spresso_assets.codec.quantizer import QINCo2, QuantizerConfig
from spresso_assets.errors import SpressoError
from spresso_assets.training.quantizer import load_quantizer, prefix_errors, quantizer_loss, train_quantizer
from spresso_assets.training.residual_kmeans import halves, rq_initialise

SMALL = QuantizerConfig(dim=8, codebooks=4, bits=5, width=16, hidden=24, blocks=1)


def curved(count: int, seed: int) -> Tensor:
    """Vectors on a curved surface in 8 dimensions: what a codebook that looks at x^ can use and a plain one cannot."""
    generator = torch.Generator().manual_seed(seed)
    a, b = torch.rand(2, count, 1, generator=generator) * 6
    noise = 0.02 * torch.randn(count, 8, generator=generator)
    return 3 * torch.cat([f(k * v) for k in (1, 2) for v in (a, b) for f in (torch.sin, torch.cos)], 1) + 1 + noise


def test_training_beats_plain_residual_quantization_on_unseen_vectors(tmp_path: Path) -> None:
    report = train_quantizer(SMALL, curved(4000, 0), curved(500, 1), tmp_path, max_minutes=5, max_steps=250)
    assert report["result"] == "qinco2"
    assert report["val"][-1] < 0.95 * report["val_start"][-1]
    assert report["val_start"][-1] <= report["val_start_greedy"][-1]
    assert report["val"] == sorted(report["val"], reverse=True)
    assert json.loads((tmp_path / "report.json").read_text()) == report
    model = load_quantizer(tmp_path / "quantizer.safetensors")
    assert prefix_errors(model, curved(500, 1)) == pytest.approx(report["val"], abs=1e-4)


def test_without_training_the_result_is_the_plain_quantizer(tmp_path: Path) -> None:
    report = train_quantizer(SMALL, curved(500, 0), curved(100, 1), tmp_path, max_minutes=0)
    assert report["result"] == "start"
    assert report["start"] in ("plain", "crossed")
    assert report["val"] == report["val_start"]


def test_a_stopped_run_continues_to_the_same_result(tmp_path: Path) -> None:
    train, val = curved(500, 0), curved(100, 1)
    whole = train_quantizer(SMALL, train, val, tmp_path / "whole", max_minutes=60, max_steps=12)
    train_quantizer(SMALL, train, val, tmp_path / "parts", max_minutes=60, max_steps=5)
    with pytest.raises(SpressoError, match="run_exists"):
        train_quantizer(SMALL, train, val, tmp_path / "parts", max_minutes=60, max_steps=12)
    parts = train_quantizer(SMALL, train, val, tmp_path / "parts", max_minutes=60, max_steps=12, resume=True)
    # the learning rate depends on the planned length, so only the shape of the outcome is the same
    assert parts["val_start"] == whole["val_start"]
    assert parts["val"][-1] == pytest.approx(whole["val"][-1], rel=0.1)


def test_a_killed_run_continues(tmp_path: Path) -> None:
    """SIGKILL in the middle of training: the folder stays readable and the run goes on from its start file."""
    save_file({"z": curved(2000, 0)}, tmp_path / "train.safetensors")
    save_file({"z": curved(100, 1)}, tmp_path / "val.safetensors")
    code = (
        "from pathlib import Path\n"
        "from spresso_assets.codec.quantizer import QuantizerConfig\n"
        "from spresso_assets.training.quantizer import train_quantizer\n"
        "train_quantizer(QuantizerConfig(8, 4, 5, 16, 24, 1), Path('train.safetensors'), Path('val.safetensors'),\n"
        "                Path('run'), max_minutes=60, threads=1)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code], cwd=tmp_path, env={**os.environ, "OMP_NUM_THREADS": "1"})
    try:
        deadline = time.monotonic() + 60
        while not (tmp_path / "run" / "log.jsonl").exists():
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.05)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    report = train_quantizer(
        SMALL,
        tmp_path / "train.safetensors",
        tmp_path / "val.safetensors",
        tmp_path / "run",
        max_minutes=60,
        max_steps=20,
        resume=True,
    )
    assert report["vectors"] == 2000
    assert not list((tmp_path / "run").glob("*.tmp"))


def test_the_start_is_good_for_vectors_that_it_has_not_seen() -> None:
    """Few distinct sounds, many copies of each: the start must not take the copies for knowledge."""
    torch.manual_seed(0)
    sounds = torch.randn(60, 1, 8)
    train = (sounds + 0.05 * torch.randn(60, 20, 8)).reshape(-1, 8)
    model = QINCo2(SMALL)
    rq_initialise(model, train, torch.arange(60).repeat_interleave(20))
    unseen = prefix_errors(model, torch.randn(300, 8))
    assert unseen == sorted(unseen, reverse=True)
    assert unseen[-1] < 0.35


def test_normalisation_gives_zero_mean_and_unit_variance() -> None:
    train = curved(1000, 0)
    model = QINCo2(SMALL)
    rq_initialise(model, train)
    x = model.normalise(train)
    assert torch.allclose(x.mean(0), torch.zeros(8), atol=1e-5)
    assert float(x.square().mean()) == pytest.approx(1, abs=1e-4)
    assert torch.allclose(model.denormalise(x), train, atol=1e-5)


def test_sounds_are_never_split_between_the_halves() -> None:
    groups = torch.randint(0, 50, (1000,), generator=torch.Generator().manual_seed(0))
    half = halves(1000, groups, torch.Generator().manual_seed(1))
    for group in range(50):
        assert len(half[groups == group].unique()) == 1
    assert 0.2 < float(half.float().mean()) < 0.8


def test_the_loss_counts_every_prefix() -> None:
    torch.manual_seed(0)
    model = QINCo2(QuantizerConfig(dim=8, codebooks=3, bits=4, width=8, hidden=8, blocks=1, tied_preselect=False))
    x_BD = torch.randn(6, 8)
    codes_BM = model.search(x_BD, 2, 2, 3)
    prefixes = [(model.decode(codes_BM, m) - x_BD).square().mean() for m in (1, 2, 3)]
    # untrained: the pre-selection codewords are the codewords, so steps 2 and 3 count twice
    expected = prefixes[0] + 2 * prefixes[1] + 2 * prefixes[2]
    loss = quantizer_loss(model, x_BD, codes_BM)
    assert float(loss.detach()) == pytest.approx(float(expected), rel=1e-5)
    loss.backward()
    assert all(p.grad is not None for p in model.parameters() if p.numel())


@pytest.mark.parametrize(
    ("train", "code"),
    [
        (torch.zeros(10, 8), "too_few_vectors"),
        (torch.zeros(100, 7), "bad_vectors"),
        (torch.full((100, 8), float("nan")), "bad_vectors"),
    ],
)
def test_unusable_vectors_are_refused(train: Tensor, code: str, tmp_path: Path) -> None:
    with pytest.raises(SpressoError, match=code):
        train_quantizer(SMALL, train, curved(50, 1), tmp_path)
