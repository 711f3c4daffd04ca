"""All of training as a person runs it: every verb on procedural sounds, and a bundle that is better than chance."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import numpy as np
import pytest
import torch

from spresso_assets.audio.procedural import CATALOGUE, synthesise
from spresso_assets.audio.write import write_wav
from spresso_assets.cli.main import main
from spresso_assets.codec.codec import SPresso
from spresso_assets.codec.config import PRESETS
from spresso_assets.training.adapter import AdapterConfig
from spresso_assets.training.autoencoder import AutoencoderTrainingConfig
from spresso_assets.training.finetune import FinetuneConfig
from spresso_assets.training.loop import LoopConfig
from spresso_assets.training.losses import MultiResolutionMel
from spresso_assets.training.prior import PriorConfig
from spresso_assets.training.settings import apply

REPO = Path(__file__).resolve().parents[2]
SETTINGS = """
[model.quantizers]
25hz = { codebooks = 10, bits = 5, own_codebooks = 2 }
11hz = { codebooks = 2, bits = 4 }
5hz = { codebooks = 2, bits = 4 }
1hz = { codebooks = 2, bits = 4, own_codebooks = 1 }
[autoencoder]
clip_frames = 40
batch = 2
[autoencoder.loop]
max_steps = 12
lr = 2e-3
warmup_steps = 2
[autoencoder.adversary]
discriminators = "mrd"
channels = 2
start = 8
[prior.loop]
max_steps = 4
[prior.denoising.crops]
budget = 400
[adapter]
component_windows = 300
[adapter.loop]
max_steps = 6
snapshot_steps = 2
[adapter.denoising.crops]
budget = 400
[quantizer]
vectors = 600
[finetune.loop]
max_steps = 3
[finetune.denoising.crops]
budget = 400
[distill.loop]
max_steps = 3
[distill.denoising.crops]
budget = 200
"""
HELD_OUT = ("door", "rain", "laser")


def _sound(name: str) -> np.ndarray:
    return synthesise(name, 77, 0.8)


def _distance(bundle: Path, profile: str) -> float:
    """Mean log-mel distance of decodes to held-out sounds, in decades."""
    codec, mel, distances = SPresso.load(bundle), MultiResolutionMel(), []
    for name in HELD_OUT:
        audio_CN = _sound(name)
        decoded_CN, _ = codec.decode(codec.encode(audio_CN, 48_000, profile), steps=2)
        assert decoded_CN.shape == audio_CN.shape and np.isfinite(decoded_CN).all()
        distances.append(float(mel(torch.from_numpy(decoded_CN).float(), torch.from_numpy(audio_CN).float())))
    return sum(distances) / len(distances)


def test_every_stage_by_its_command_makes_a_bundle_that_decodes_better(tmp_path: Path, tiny_bundle: Path) -> None:
    sounds, run, config = tmp_path / "sounds", tmp_path / "run", tmp_path / "train.toml"
    config.write_text(SETTINGS)
    sounds.mkdir()
    rows = ["path,split"]
    for i, name in enumerate(sorted(CATALOGUE)[:12]):
        write_wav(sounds / f"{i}.wav", synthesise(name, i, 0.8), 48_000)
        rows.append(f"{i}.wav,{'val' if i >= 10 else 'train'}")
    (sounds / "manifest.csv").write_text("\n".join(rows) + "\n")

    def train(*args: str | Path) -> None:
        shared = ["--run", run, "--preset", "tiny", "--config", config]
        assert main(["train", *map(str, [*args, *shared])]) == 0, args

    train("prepare", sounds, "--procedural", "0")
    train("autoencoder", sounds, "--procedural", "0")
    train("prior")
    train("adapter")
    assert main(["train", "ema", "adapter", "--run", str(run), "--sigma-rel", "0.08"]) == 0
    for rate in ("25hz", "11hz", "5hz", "1hz"):
        train("quantizer", rate, "--max-minutes", "0.02")
    train("bundle", tmp_path / "continuous")
    train("finetune")
    assert main(["train", "ema", "finetune", "--run", str(run), "--best"]) == 0
    train("distill")
    train("bundle", tmp_path / "bundle")

    untrained = _distance(tiny_bundle, "25hz")
    assert _distance(tmp_path / "continuous", "25hz") < 0.9 * untrained
    assert _distance(tmp_path / "bundle", "25hz") < 0.9 * untrained


def test_settings_of_the_guide_are_understood(tmp_path: Path) -> None:
    """Every TOML block of docs/how-to/train.md: tables are stages, keys are options."""
    stages = {
        "autoencoder": AutoencoderTrainingConfig(),
        "prior": PriorConfig(),
        "adapter": AdapterConfig(),
        "finetune": FinetuneConfig(),
        "model": PRESETS["small"],
    }
    blocks = re.findall(r"```toml\n(.*?)```", (REPO / "docs/how-to/train.md").read_text(encoding="utf-8"), re.S)
    assert len(blocks) >= 3
    for block in blocks:
        for stage, table in tomllib.loads(block).items():
            apply(LoopConfig(), table.pop("loop", {}))
            apply(stages[stage], table)


def test_what_runs_in_one_process_says_so_under_torchrun(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert main(["train", "prepare", str(tmp_path), "--run", str(tmp_path / "run")]) == 2
    assert "one_process" in capsys.readouterr().err


def test_ema_wants_one_way_to_choose(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "ema", "adapter", "--run", str(tmp_path)]) == 2
    assert "--sigma-rel or --best" in capsys.readouterr().err
    assert main(["train", "ema", "adapter", "--run", str(tmp_path), "--best"]) == 1
    assert "checkpoint_missing" in capsys.readouterr().err
