"""The paper's way to a bundle on a shrunk `full`: learned autoencoder, one frozen prior, an adapter for each rate."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from spresso_assets.audio.procedural import synthesise
from spresso_assets.audio.write import write_wav
from spresso_assets.codec.autoencoder import AudioAE
from spresso_assets.codec.bundle import read_config
from spresso_assets.codec.codec import SPresso
from spresso_assets.codec.config import PRESETS
from spresso_assets.codec.transformer import Transformer
from spresso_assets.errors import SpressoError
from spresso_assets.training.adapter import AdapterConfig, train_adapter
from spresso_assets.training.assemble import assemble
from spresso_assets.training.checkpoint import CHECKPOINT, averaged_state
from spresso_assets.training.data import CropConfig, CropSampler, LatentCache, build_cache
from spresso_assets.training.denoising import DenoisingConfig
from spresso_assets.training.finetune import FinetuneConfig, train_finetune
from spresso_assets.training.loop import LoopConfig
from spresso_assets.training.prior import PriorConfig, train_prior
from spresso_assets.training.quantizer import train_quantizer
from spresso_assets.training.source import Source
from spresso_assets.training.vectors import collect_vectors

FULL = dataclasses.replace(
    PRESETS["tiny-full"],
    quantizers={k: dataclasses.replace(q, codebooks=2, bits=4) for k, q in PRESETS["tiny-full"].quantizers.items()},
)
STEPS = LoopConfig(max_minutes=30, max_steps=2, log_steps=1)
DENOISING = DenoisingConfig(crops=CropConfig(lengths=(100,), weights=(1.0,), budget=200), drop_code=0.0)
TRAINED = ("25hz", "1hz")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with latents of a learned encoder, a prior, and two of four rates trained; one of them fine-tuned."""
    work = tmp_path_factory.mktemp("full")
    sounds = work / "sounds"
    sounds.mkdir()
    rows = ["path,split"]
    for i, name in enumerate(("door", "rain", "laser", "glass")):
        write_wav(sounds / f"{i}.wav", synthesise(name, i, 0.6), 48_000)
        rows.append(f"{i}.wav,{'val' if i >= 2 else 'train'}")
    (sounds / "manifest.csv").write_text("\n".join(rows) + "\n")
    torch.manual_seed(0)
    autoencoder = AudioAE(FULL.autoencoder)
    autoencoder.std_C.fill_(0.02)
    build_cache(sounds, work / "data", FULL.autoencoder, autoencoder=autoencoder, speeds=(1.0,))
    train_prior(FULL, work / "data", work / "prior", STEPS, PriorConfig(DENOISING))
    source = Source(work)
    for rate in TRAINED:
        one = FULL.only(rate)
        cfg = AdapterConfig(denoising=DENOISING)
        found = train_adapter(one, work / "data", source, work / "adapter" / rate, STEPS, cfg)
        assert {name.split("_")[0] for name in found} == {rate, "mean"}
        train, groups, val = collect_vectors(FULL, work / "data", source, rate, 60)
        train_quantizer(
            one.quantizers[rate], train, val, work / "quantizer" / rate, groups_N=groups, max_minutes=5, max_steps=1
        )
    one, out = FULL.only("1hz"), work / "finetune" / "1hz"
    train_finetune(one, work / "data", source, source.quantizers(one), out, STEPS, FinetuneConfig(denoising=DENOISING))
    return work


def test_a_learned_encoder_needs_its_training_first(tmp_path: Path) -> None:
    with pytest.raises(SpressoError) as caught:
        build_cache(tmp_path, tmp_path, FULL.autoencoder)
    assert caught.value.code == "checkpoint_missing"


def test_latents_of_a_learned_encoder_are_cropped_and_not_bent(run: Path) -> None:
    """Silence is what the encoder says it is, and log-mel arithmetic is left alone."""
    cache = LatentCache(run / "data", "train")
    after_TC = cache.crop(0, 400)[int(cache.length_I[0]) :]
    assert cache.floor is None and torch.equal(after_TC, cache.silence_C.expand_as(after_TC))
    crop_BTC = CropSampler(cache, DENOISING.crops).batch(torch.Generator().manual_seed(0), 100)
    frames = {tuple(row) for row in cache.frames_KC.float().tolist()} | {tuple(cache.silence_C.tolist())}
    assert all(tuple(row) in frames for row in crop_BTC.flatten(0, 1).tolist())


def test_the_prior_holds_no_adapters_and_stays_frozen_under_them(run: Path) -> None:
    prior = averaged_state(run / "prior" / CHECKPOINT, "transformer")
    assert not any(Transformer.is_adapter(name) for name in prior)
    for folder in ("adapter/25hz", "adapter/1hz", "finetune/1hz"):
        state = averaged_state(run / folder / CHECKPOINT, "transformer")
        assert all(torch.equal(state[name], value) for name, value in prior.items()), folder
        others = set(FULL.rates) - {folder.split("/")[1]}
        assert not any(others & set(name.split(".")) for name in state)


def test_step_one_trains_everything_of_its_rate_and_step_three_lora_and_f_phi(run: Path) -> None:
    adapter = averaged_state(run / "adapter" / "1hz" / CHECKPOINT, "transformer")
    finetuned = averaged_state(run / "finetune" / "1hz" / CHECKPOINT, "transformer")
    assert any(value.abs().max() > 0 for name, value in adapter.items() if name.endswith("up_OR"))
    changed = {name.split(".")[0] for name, value in finetuned.items() if not torch.equal(value, adapter[name])}
    assert changed == {"lora", "f_phi"}


def test_the_bundle_keeps_prior_and_adapters_apart_and_speaks_the_trained_rates(run: Path) -> None:
    digest = assemble(FULL, run, run / "bundle")
    config, facts = read_config(run / "bundle")
    assert config.rates == TRAINED and config.transformer.lora_rank == 2
    assert {"prior", "adapter 25hz", "adapter 1hz", "finetune 1hz"} <= facts["training"].keys()
    codec = SPresso.load(run / "bundle")
    assert codec.weights_sha256 == digest
    audio_CN = synthesise("door", 1, 0.5)
    for point in TRAINED:
        stream = codec.encode(audio_CN, 48_000, point)
        decoded_CN, sample_rate = codec.decode(stream, steps=2)
        assert decoded_CN.shape == audio_CN.shape and sample_rate == 48_000 and np.isfinite(decoded_CN).all()
    with pytest.raises(SpressoError) as caught:
        codec.encode(audio_CN, 48_000, "5hz")
    assert caught.value.code == "no_rate"


def test_an_adapter_of_another_prior_is_told(run: Path, tmp_path: Path) -> None:
    train_prior(FULL, run / "data", tmp_path / "prior", dataclasses.replace(STEPS, seed=1), PriorConfig(DENOISING))
    for part in ("data", "adapter", "quantizer", "finetune"):
        (tmp_path / part).symlink_to(run / part)
    with pytest.raises(SpressoError) as caught:
        assemble(FULL, tmp_path, tmp_path / "bundle")
    assert caught.value.code == "prior_changed"
