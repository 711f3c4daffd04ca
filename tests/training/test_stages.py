"""Every stage on a handful of procedural sounds with the tiny preset: cache, train, assemble, encode, decode."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from spresso_assets.audio.procedural import CATALOGUE, synthesise
from spresso_assets.audio.write import write_wav
from spresso_assets.codec.autoencoder import AudioAE
from spresso_assets.codec.codec import SPresso
from spresso_assets.codec.config import PRESETS
from spresso_assets.errors import SpressoError
from spresso_assets.training.adapter import AdapterConfig, train_adapter
from spresso_assets.training.assemble import assemble
from spresso_assets.training.autoencoder import (
    AutoencoderTrainingConfig,
    WaveClips,
    build_wave_cache,
    train_autoencoder,
)
from spresso_assets.training.checkpoint import CHECKPOINT, averaged_state
from spresso_assets.training.data import CropConfig, CropSampler, LatentCache, build_cache, list_items
from spresso_assets.training.denoising import DenoisingConfig
from spresso_assets.training.finetune import FinetuneConfig, train_finetune
from spresso_assets.training.loop import LoopConfig
from spresso_assets.training.prior import train_prior
from spresso_assets.training.quantizer import train_quantizer
from spresso_assets.training.settings import apply, read_table
from spresso_assets.training.source import Source
from spresso_assets.training.vectors import collect_vectors

TINY = dataclasses.replace(
    PRESETS["tiny"],
    quantizers={k: dataclasses.replace(q, codebooks=2, bits=4) for k, q in PRESETS["tiny"].quantizers.items()},
)
STEPS = LoopConfig(max_minutes=30, max_steps=3, log_steps=1)
CROPS = CropConfig(lengths=(48, 100), weights=(0.5, 0.5), budget=300)
DENOISING = DenoisingConfig(crops=CROPS)
ADAPTER = AdapterConfig(component_windows=200, denoising=DENOISING)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder with cached latents of ten short sounds, two of them for validation."""
    folder = tmp_path_factory.mktemp("train")
    sounds = folder / "sounds"
    sounds.mkdir()
    rows = ["path,split"]
    for i, name in enumerate(sorted(CATALOGUE)[:10]):
        write_wav(sounds / f"{i}.wav", synthesise(name, i, 0.8), 48_000)
        rows.append(f"{i}.wav,{'val' if i >= 8 else 'train'}")
    (sounds / "broken.wav").write_bytes(b"RIFF")
    rows.append("broken.wav,train")
    (sounds / "manifest.csv").write_text("\n".join(rows) + "\n")
    report = build_cache(sounds, folder / "data", TINY.autoencoder, speeds=(1.0, 1.25), procedural=2)
    assert report["train_sounds"] == 2 * 8 + 2 and report["val_sounds"] == 2 and report["skipped"] == 1
    build_wave_cache(sounds, folder / "data", procedural=1)
    return folder


def test_cache_holds_standardised_statistics(run: Path) -> None:
    from spresso_assets.training.checkpoint import load_checkpoint

    cache = LatentCache(run / "data", "train")
    statistics, _ = load_checkpoint(run / "data" / "statistics.safetensors")
    x_KC = (cache.frames_KC.float() - statistics["mean"]) / statistics["std"]
    torch.testing.assert_close(x_KC.std(0), torch.ones(128), atol=0.1, rtol=0)
    skipped = json.loads((run / "data" / "skipped.jsonl").read_text())
    assert skipped["path"] == "broken.wav"


def test_crops_are_reproducible_and_silent_after_the_end(run: Path) -> None:
    cache = LatentCache(run / "data", "train")
    sampler = CropSampler(cache, CROPS)
    one, two = (sampler.batch(torch.Generator().manual_seed(3), 36) for _ in range(2))
    torch.testing.assert_close(one, two)
    assert one.shape[1] % 36 == 0 and one.min() >= cache.floor - 1e-3
    tail_TC = cache.crop(0, 500)[int(cache.length_I[0]) :]
    assert torch.all(tail_TC == cache.floor)


def test_split_without_manifest_is_stable(tmp_path: Path) -> None:
    for i in range(200):
        (tmp_path / f"{i}.wav").touch()
    first = list_items(tmp_path)
    assert first == list_items(tmp_path)
    assert 2 <= sum(i.split == "val" for i in first) <= 25
    with pytest.raises(SpressoError, match="no sounds"):
        list_items(tmp_path / "none")


@pytest.mark.parametrize("rank", [0, 2])
def test_the_whole_chain_makes_a_bundle(run: Path, rank: int) -> None:
    work = run / f"rank{rank}"
    work.mkdir()
    (work / "data").symlink_to(run / "data")
    data = work / "data"
    train_autoencoder(
        TINY, data, work / "autoencoder", STEPS, AutoencoderTrainingConfig(clip_frames=20, batch=2, refine_steps=1)
    )
    prior = train_prior(TINY, data, work / "prior", STEPS)
    assert prior["prior_20"] > 0.3  # nothing but noise to go by
    adapter = train_adapter(TINY.with_lora(rank), data, Source(work), work / "adapter", STEPS, ADAPTER)
    assert {"25hz_5", "25hz_5_other", "1hz_20"} <= adapter.keys()
    for rate in TINY.quantizers:
        train, sounds, val = collect_vectors(TINY, data, Source(work), rate, 300)
        assert train.shape == (300, 64) and val.shape[1] == 64 and 2 <= len(sounds.unique()) <= 10
        out = work / "quantizer" / rate
        train_quantizer(TINY.quantizers[rate], train, val, out, groups_N=sounds, max_minutes=5, max_steps=2)
    assemble(TINY, work, work / "step1")
    source = Source(work)
    train_finetune(
        TINY, data, source, source.quantizers(TINY), work / "finetune", STEPS, FinetuneConfig(denoising=DENOISING)
    )
    digest = assemble(TINY, work, work / "bundle")
    codec = SPresso.load(work / "bundle")
    assert codec.weights_sha256 == digest
    audio_CN = synthesise("door", 1, 0.5)
    decoded_CN, rate_hz = codec.decode(codec.encode(audio_CN, 48_000, "25hz"), steps=2)
    assert decoded_CN.shape == audio_CN.shape and rate_hz == 48_000 and np.isfinite(decoded_CN).all()


def test_lora_training_leaves_the_prior_untouched(run: Path) -> None:
    work = run / "frozen"
    train_prior(TINY, run / "data", work / "prior", STEPS)
    train_adapter(TINY.with_lora(2), run / "data", Source(work), work / "a", STEPS, ADAPTER)
    prior = averaged_state(work / "prior" / CHECKPOINT, "transformer")
    adapted = averaged_state(work / "a" / CHECKPOINT, "transformer")
    for name, value in prior.items():
        if "down_qkv" in name or name.startswith(("f_phi", "rate_vec", "sketches", "embed_sketch", "residual_std")):
            continue
        torch.testing.assert_close(adapted[name], value, rtol=0, atol=0, msg=name)


def test_options_come_from_toml_and_typos_are_told(tmp_path: Path) -> None:
    path = tmp_path / "train.toml"
    path.write_text("[adapter]\ncode_noise = 0.1\n[adapter.denoising]\np_mean = 0.5\n")
    cfg = apply(AdapterConfig(), read_table(path, "adapter"))
    assert cfg.code_noise == 0.1 and cfg.denoising.p_mean == 0.5 and cfg.denoising.p_std == DenoisingConfig().p_std
    with pytest.raises(SpressoError, match="unknown training option 'cod_noise'"):
        apply(AdapterConfig(), {"cod_noise": 1})
    smaller = apply(TINY, {"quantizers": {"5hz": {"bits": 3}}})
    assert smaller.quantizers["5hz"].entries == 8 and smaller.quantizers["1hz"] == TINY.quantizers["1hz"]
    for wrong in ({"2hz": {"bits": 3}}, {"5hz": {"bits": 99}}):
        with pytest.raises(SpressoError) as caught:
            apply(TINY, {"quantizers": wrong})
        assert caught.value.code == "bad_config"
    path.write_text("not toml [")
    with pytest.raises(SpressoError) as caught:
        read_table(path, "adapter")
    assert caught.value.code == "bad_config"


def test_the_learned_autoencoder_keeps_its_start_and_measures_its_latents(run: Path) -> None:
    """Few steps must not undo the closed-form start, and the latents come out with a standard deviation of 0.5."""
    conv = dataclasses.replace(TINY, autoencoder=dataclasses.replace(TINY.autoencoder, encoder="conv"))
    cfg = AutoencoderTrainingConfig(clip_frames=50, batch=2)
    steps = dataclasses.replace(STEPS, lr=1e-4)
    result = train_autoencoder(conv, run / "data", run / "learned", steps, cfg)
    assert result["si_sdr_db"] > 5
    autoencoder = AudioAE(conv.autoencoder)
    autoencoder.load_state_dict(averaged_state(run / "learned" / CHECKPOINT, "autoencoder"))
    clips = WaveClips(run / "data" / "waves-train.safetensors").batch(16, 24_000, torch.Generator().manual_seed(1))
    with torch.no_grad():
        x0_BTC = autoencoder.encode(clips)
    assert 0.3 < float(x0_BTC.square().mean().sqrt()) < 0.8
