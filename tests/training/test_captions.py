"""Text embeddings beside the latents, in their order; dropped as often as asked, and part of the step."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from torch import Tensor

from spresso_assets.codec.config import PRESETS
from spresso_assets.errors import SpressoError
from spresso_assets.training.captions import build_text_cache, read_captions
from spresso_assets.training.checkpoint import save_checkpoint
from spresso_assets.training.data import CropConfig, CropSampler, LatentCache
from spresso_assets.training.denoising import Denoising, DenoisingConfig
from spresso_assets.training.prior import PriorConfig

CROPS = CropConfig(lengths=(48,), weights=(1.0,), budget=48 * 40)


class Counting:
    """Every caption's embedding is its number of letters."""

    dim = 512

    def encode(self, captions: Sequence[str]) -> Tensor:
        return torch.tensor([[float(len(c)) if c else torch.nan] * self.dim for c in captions])


@pytest.fixture
def data(tmp_path: Path) -> Path:
    for split, names in (("train", ["door.wav@1.0", "door.wav@0.8", "rain.wav@1.0"]), ("val", ["glass.wav@1.0"])):
        frames_KC = torch.randn(60 * len(names), 128) - 5
        tensors = {
            "frames": frames_KC.half(),
            "length": torch.full((len(names),), 60),
            "silence": torch.full((128,), -9.0),
        }
        save_checkpoint(tmp_path / f"latents-{split}.safetensors", tensors, {"names": names, "floor": -9.0})
    save_checkpoint(tmp_path / "statistics.safetensors", {"mean": torch.zeros(128), "std": torch.ones(128)}, {})
    return tmp_path


def test_speeds_share_a_caption_and_others_have_none(data: Path) -> None:
    assert build_text_cache(data, {"door.wav": "abcd", "glass.wav": "ab"}, Counting()) == {
        "train_captions": 2,
        "val_captions": 1,
    }
    text_IE = LatentCache(data, "train").text_IE
    assert text_IE is not None and text_IE[:2, 0].tolist() == [4, 4] and text_IE[2].isnan().all()


def test_each_clip_gets_the_caption_of_its_own_sound(data: Path) -> None:
    build_text_cache(data, {"door.wav": "abcd", "rain.wav": "ab"}, Counting())
    cache = LatentCache(data, "train")
    cache.frames_KC[:120], cache.frames_KC[120:] = -2.0, -4.0
    plain = CropConfig(lengths=(48,), weights=(1.0,), budget=48 * 40, mix=0, gain_std=0, tilt_std=0)
    batch_BTC, text_BE = CropSampler(cache, plain).captioned_batch(torch.Generator().manual_seed(0), 1)
    assert text_BE is not None
    for clip_TC, row_E in zip(batch_BTC, text_BE, strict=True):
        assert row_E[0] == (4 if clip_TC[0, 0] == -2 else 2)


@pytest.mark.parametrize("share", [0.1, 0.8])
def test_captions_are_left_out_as_often_as_asked(data: Path, share: float) -> None:
    build_text_cache(data, {"door.wav": "abcd", "rain.wav": "ab"}, Counting())
    stage = Denoising(PRESETS["tiny"], DenoisingConfig(crops=CROPS, text_dropout=share), data)
    generator = torch.Generator().manual_seed(0)
    rows = [stage.draw_captioned(generator)[2] for _ in range(10)]
    dropped = torch.cat([r.isnan().all(1) for r in rows if r is not None])
    assert dropped.float().mean() == pytest.approx(share, abs=0.06)


def test_the_papers_dropouts_are_the_defaults() -> None:
    assert PriorConfig().denoising.text_dropout == 0.1 and DenoisingConfig().text_dropout == 0.8


def test_text_reaches_the_network_and_its_absence_costs_nothing(data: Path) -> None:
    cfg = DenoisingConfig(crops=CROPS, text_dropout=0.0)

    def learned() -> bool:
        stage = Denoising(PRESETS["tiny"], cfg, data)
        torch.nn.init.normal_(stage.transformer.head.weight)
        for block in stage.transformer.mm_blocks:
            torch.nn.init.normal_(block.audio.modulation_6C)  # type: ignore[union-attr,arg-type]
        loss, _ = stage.step(torch.Generator().manual_seed(0), 0.5, None)
        loss.backward()
        grad = stage.transformer.text_embed.weight.grad
        return grad is not None and bool(grad.abs().max() > 0)

    assert not learned()
    build_text_cache(data, {"door.wav": "abcd", "rain.wav": "ab"}, Counting())
    assert learned()


def test_captions_of_other_sounds_are_refused(data: Path) -> None:
    save_checkpoint(data / "text-train.safetensors", {"text": torch.zeros(1, 512)}, {"names": ["other.wav@1.0"]})
    with pytest.raises(SpressoError) as caught:
        LatentCache(data, "train")
    assert caught.value.code == "stale_captions"


@pytest.mark.parametrize(
    "text", ["not json\n", '{"path": "a"}\n', "[]\n", '{"path":"a","caption":"b"}\n{"path":"a","caption":"c"}\n']
)
def test_a_file_that_cannot_be_read_is_told(tmp_path: Path, text: str) -> None:
    (tmp_path / "c.jsonl").write_text(text)
    with pytest.raises(SpressoError) as caught:
        read_captions(tmp_path / "c.jsonl")
    assert caught.value.code == "bad_captions"


def test_file_names_of_any_bytes_find_their_caption(tmp_path: Path) -> None:
    (tmp_path / "c.jsonl").write_text(json.dumps({"root": "r", "path": "bad\udcff.wav", "caption": "door"}) + "\n")
    assert read_captions(tmp_path / "c.jsonl") == {"bad\udcff.wav": "door"}
