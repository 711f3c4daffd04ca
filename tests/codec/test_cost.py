"""What a codec weighs and computes, against closed formulas and the sizes that the paper's model was planned with."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch

from spresso_assets.codec.bundle import default_bundle, read_config
from spresso_assets.codec.config import POOLS, PRESETS, ModelConfig
from spresso_assets.codec.cost import (
    arithmetic,
    bundle_shapes,
    evaluations,
    meta_modules,
    module_shapes,
    one_rate,
    operations,
    parts,
)


@pytest.fixture(scope="module")
def full() -> dict[str, torch.nn.Module]:
    return meta_modules(PRESETS["full"])


def test_full_has_the_planned_sizes(full: dict[str, torch.nn.Module]) -> None:
    """Millions of weights, per part and rate."""
    found = {(p.name, p.rate): p.weights / 1e6 for p in parts(module_shapes(full))}
    per_rate = {
        "latent encoder": (19.0, 31.6, 37.9, 37.9),
        "quantizer": (29.2, 29.2, 37.1, 46.7),
        "LoRA": (4.72,) * 4,
        "audio-down QKV": (10.62,) * 4,
    }
    for name, sizes in per_rate.items():
        for rate, millions in zip(POOLS, sizes, strict=True):
            assert found[name, rate] == pytest.approx(millions, rel=2e-3), (name, rate)
    whole = {"autoencoder encoder": 16.28, "autoencoder decoder": 13.72, "denoiser: audio stream": 84.99}
    for name, millions in whole.items():
        assert found[name, None] == pytest.approx(millions, rel=1e-3), name
    assert sum(v for (name, _), v in found.items() if name.startswith("denoiser")) == pytest.approx(186.2, rel=1e-3)


def test_every_tensor_is_in_one_part_and_bytes_are_two_each(full: dict[str, torch.nn.Module]) -> None:
    shapes = module_shapes(full)
    found = parts(shapes)
    assert sum(p.weights for p in found) == sum(math.prod(s) for s in shapes.values())
    assert len({(p.name, p.rate) for p in found}) == len(found)
    assert all(p.fp16_bytes == 2 * p.weights for p in found)
    # One rate alone: everything but what only the others need.
    alone = PRESETS["full"].only("1hz")
    assert one_rate(found, "1hz") == sum(p.weights for p in parts(module_shapes(meta_modules(alone))))


def test_a_bundle_is_counted_as_it_is_stored() -> None:
    bundle = default_bundle()
    config, _ = read_config(bundle)
    stored, made = bundle_shapes(bundle), module_shapes(meta_modules(config))
    assert {k: v for k, v in stored.items() if k in made} == made
    found = {(p.name, p.rate) for p in parts(stored)}
    assert {("linear code", "25hz"), ("audio-down QKV", None), ("quantizer", "1hz")} <= found


def _closed_formula(model: ModelConfig, rate: str, frames: int) -> int:
    """Multiply-adds of one evaluation with the null text token, times two."""
    cfg = model.transformer
    d, w, r, channels = cfg.dim, cfg.text_width, cfg.lora_rank, cfg.channels
    down = frames // POOLS[rate]
    macs = 256 * d + d * d + frames * channels * d + down * cfg.code_dim * d  # noise level, embedding, f_phi
    for i in range(cfg.mm_blocks + cfg.audio_blocks):
        last, joint = i >= cfg.mm_blocks - 1, i < cfg.mm_blocks
        keys = frames + (down + 1 if joint else 0)
        tokens = frames if last else frames + down  # what goes through the audio stream's output and MLP
        macs += 6 * d * d + frames * 3 * d * d + frames * r * 4 * d
        macs += tokens * 9 * d * d + tokens * r * (2 * d + 10 * d)
        macs += 2 * (frames if last else keys) * keys * d
        if joint:
            macs += down * 3 * d * d + 3 * d * w + (2 if last else 6) * d * w
            macs += 0 if last else d * w + 8 * w * w
    return 2 * (macs + 2 * d * d + frames * d * channels)


@pytest.mark.parametrize("rate", POOLS)
def test_operations_of_the_denoiser_are_those_of_a_closed_formula(rate: str) -> None:
    model = PRESETS["tiny-full"].only(rate)
    frames = -(-500 // POOLS[rate]) * POOLS[rate]
    counted = arithmetic(model, meta_modules(model))[rate]
    assert counted.evaluation * 5 == _closed_formula(model, rate, frames)


def test_counting_works_on_real_tensors_alike() -> None:
    layer = torch.nn.Linear(3, 5, bias=False)
    assert operations(lambda: layer(torch.ones(7, 3))) == 2 * 7 * 3 * 5


def test_decoding_is_evaluations_and_synthesis(tiny_bundle: Path) -> None:
    config, _ = read_config(tiny_bundle)
    assert evaluations(config) == {"default": 8, "preview": 1, "paper": 127}
    one = arithmetic(config.only("1hz"), meta_modules(config.only("1hz")))["1hz"]
    assert one.decode(8) - one.decode(7) == pytest.approx(one.evaluation)
    assert one.decode(0) == one.synthesis > 0 and one.encode > 0
