"""The AudioAE against discriminators: both kinds train, and a stopped game goes on as if it had not been."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch

from spresso_assets.codec.config import PRESETS
from spresso_assets.errors import SpressoError
from spresso_assets.training.adversarial import AdversaryConfig
from spresso_assets.training.autoencoder import AutoencoderTrainingConfig, train_autoencoder
from spresso_assets.training.checkpoint import CHECKPOINT, load_checkpoint, save_checkpoint
from spresso_assets.training.loop import Loop, LoopConfig
from spresso_assets.training.settings import apply

LOOP = LoopConfig(max_minutes=60, max_steps=4, log_steps=1, warmup_steps=1)
CLIPS = AutoencoderTrainingConfig(clip_frames=8, batch=2)
MRD = AdversaryConfig(discriminators="mrd", channels=2, start=1)
DAC = {"mel": "dac", "mel_weight": 15.0, "waveform_weight": 0.1, "adversary": {"discriminators": "full"}}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Caches of two bursts of noise."""
    folder = tmp_path_factory.mktemp("waves")
    generator = torch.Generator().manual_seed(0)
    for split in ("train", "val"):
        samples_K = torch.randint(-8000, 8000, (9600,), generator=generator).to(torch.int16)
        save_checkpoint(
            folder / f"waves-{split}.safetensors", {"samples": samples_K, "length": torch.tensor([4800, 4800])}, {}
        )
    statistics = {"mean": torch.full((128,), -5.0), "std": torch.ones(128)}
    save_checkpoint(folder / "statistics.safetensors", statistics, {})
    return folder


def _log(run: Path) -> list[dict[str, float]]:
    return [r for r in map(json.loads, (run / "log.jsonl").read_text().splitlines()) if "loss" in r]


def test_a_stopped_game_goes_on_as_if_it_had_not_been(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Weights and optimisers of both players, to the bit; the discriminators enter when they are told to."""
    cfg = apply(CLIPS, {"adversary": vars(MRD)})
    train_autoencoder(PRESETS["tiny"], data, tmp_path / "whole", LOOP, cfg)
    played = _log(tmp_path / "whole")
    assert ["disc" in r for r in played] == [False, True, True, True]
    assert all(math.isfinite(r[k]) for r in played[1:] for k in ("disc", "adv", "feature", "loss"))

    once = Loop._one_step

    def stopping(loop: Loop, *args: object) -> dict[str, float]:
        if loop.step == 2:
            loop.stop()
        return once(loop, *args)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(Loop, "_one_step", stopping)
        with pytest.raises(SpressoError, match="saved"):
            train_autoencoder(PRESETS["tiny"], data, tmp_path / "parts", LOOP, cfg)
    train_autoencoder(PRESETS["tiny"], data, tmp_path / "parts", LOOP, cfg, resume=True)
    whole, parts = (load_checkpoint(tmp_path / name / CHECKPOINT)[0] for name in ("whole", "parts"))
    assert int(whole["kept.adversary.steps"]) == 3
    assert whole.keys() == parts.keys() and all(torch.equal(parts[k], v) for k, v in whole.items())


def test_the_learned_pair_trains_on_dacs_losses(data: Path, tmp_path: Path) -> None:
    cfg = apply(CLIPS, DAC | {"adversary": {"discriminators": "full", "channels": 1, "start": 0}})
    result = train_autoencoder(PRESETS["tiny-full"], data, tmp_path, apply(LOOP, {"max_steps": 2}), cfg)
    assert all(map(math.isfinite, result.values()))
    first = _log(tmp_path)[0]
    parts = 15 * first["mel"] + first["complex"] - 0.03 * first["snr_db"] + 0.1 * first["waveform"]
    assert first["loss"] == pytest.approx(parts + first["adv"] + 2 * first["feature"], rel=0.01)


def test_unknown_discriminators_are_told() -> None:
    with pytest.raises(SpressoError) as caught:
        apply(CLIPS, {"adversary": {"discriminators": "mpd"}})
    assert caught.value.code == "bad_config" and "mrd" in caught.value.hint
