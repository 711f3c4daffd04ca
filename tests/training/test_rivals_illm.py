"""The adversary that knows kinds of patches: its losses, its players, and the second part of the codec's training."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from spresso_assets.errors import SpressoError
from spresso_assets.rivals.spectrogram.codec import SpectrogramCodec
from spresso_assets.rivals.spectrogram.config import PRESETS
from spresso_assets.training.checkpoint import CHECKPOINT, load_checkpoint, save_checkpoint, strip
from spresso_assets.training.loop import LoopConfig
from spresso_assets.training.rivals_data import clips_file
from spresso_assets.training.rivals_illm import Illm, IllmConfig, LabelDiscriminator, told_apart, unlikely
from spresso_assets.training.rivals_spectrogram import (
    STAGE,
    SpectrogramTrainingConfig,
    bundle_spectrogram,
    train_spectrogram,
)
from spresso_assets.training.settings import apply

TINY, LATENTS = IllmConfig(kind="illm", codes=8, width=4, labeller_steps=160, lr=4e-3), 5


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def kinds(generator: torch.Generator, count: int = 2) -> tuple[Tensor, Tensor]:
    """Images of patches of four kinds [B, 1, 64, 64], and the kind of each patch [B, 8, 8]."""
    stripes_8 = (torch.arange(8) % 2).float()
    patches = torch.stack(
        [torch.zeros(8, 8), torch.ones(8, 8), stripes_8.expand(8, 8), stripes_8[:, None].expand(8, 8)]
    )
    kind_BTF = torch.randint(4, (count, 8, 8), generator=generator)
    images = patches[kind_BTF].transpose(2, 3).reshape(count, 1, 64, 64)
    return images + 0.02 * torch.randn(images.shape, generator=generator), kind_BTF


@pytest.fixture(scope="module")
def taught() -> Illm:
    """An adversary whose labeller has learned the kinds."""
    torch.manual_seed(0)
    illm, generator = Illm(TINY, LATENTS, "cpu"), seeded()
    for step in range(TINY.labeller_steps):
        assert illm.learns(TINY.start - TINY.labeller_steps + step)
        illm.learn_labels(kinds(generator)[0], generator)
    assert not illm.learns(TINY.start)
    return illm


# -- losses ----------------------------------------------------------------------------------------------------------
def test_losses_and_their_gradient_are_the_equations() -> None:
    """Two labels and forgery, two patches. The last logit is that of forgery."""
    fake = torch.tensor([[0.0, 2.0], [1.0, 0.0], [3.0, 0.0]])[None, :, :, None].requires_grad_()
    real = torch.tensor([[2.0, 0.0], [0.0, 0.0], [0.0, 1.0]])[None, :, :, None]
    labels = torch.tensor([[[1], [0]]])
    whole = [math.log(1 + math.e + math.e**3), math.log(2 + math.e**2)]
    decoder = unlikely(fake, labels)
    assert float(decoder.detach()) == pytest.approx(((whole[0] - 1) + (whole[1] - 2)) / 2, rel=1e-6)
    of_fake = ((whole[0] - 3) + whole[1]) / 2
    of_real = (math.log(2 + math.e**2) + math.log(2 + math.e)) / 2
    told = told_apart(real, fake, labels)
    assert float(told.detach()) == pytest.approx((of_real + of_fake) / 2, rel=1e-6)
    decoder.backward()
    wanted = fake.detach().softmax(1)
    wanted[0, 1, 0] -= 1
    wanted[0, 0, 1] -= 1
    assert fake.grad is not None
    torch.testing.assert_close(fake.grad, wanted / 2)
    assert unlikely(fake.detach() - 0.1 * fake.grad, labels) < decoder


# -- players ---------------------------------------------------------------------------------------------------------
def test_labels_are_several_the_same_each_time_and_say_the_kind(taught: Illm) -> None:
    image, kind_BTF = kinds(seeded(7), 4)
    labels_BTF = taught.labeller.labels(image)
    assert labels_BTF.shape == kind_BTF.shape and torch.equal(labels_BTF, taught.labeller.labels(image))
    table = torch.zeros(4, TINY.codes)
    table.index_put_((kind_BTF.flatten(), labels_BTF.flatten()), torch.ones(()), accumulate=True)
    assert (table.sum(0) > 0).sum() >= 4
    told = table.max(0).values.sum() / table.sum()  # patches whose label belongs to their kind more than to others
    assert told > 0.75  # by chance it would be little more than a quarter


@pytest.mark.parametrize("patch", [4, 8, 16])
def test_every_size_of_patch_has_its_logits(patch: int) -> None:
    cfg = dataclasses.replace(TINY, patch=patch)
    discriminator, image = LabelDiscriminator(cfg, LATENTS), torch.rand(2, 1, 64, 128, generator=seeded())
    logits = discriminator(image, torch.zeros(2, LATENTS, 4, 8))
    assert logits.shape == (2, TINY.codes + 1, 64 // patch, 128 // patch)
    assert Illm(cfg, LATENTS, "cpu").labeller.labels(image).shape == (2, 64 // patch, 128 // patch)
    told = discriminator(image, torch.ones(2, LATENTS, 4, 8))
    assert not torch.equal(logits, told)  # latents have a say


def test_forgeries_are_told_the_decoder_gets_a_direction_and_the_state_comes_back(taught: Illm) -> None:
    illm, generator = Illm(TINY, LATENTS, "cpu"), seeded(3)
    illm.load_tensors({k: t.clone() for k, t in taught.state_tensors().items()})
    latents = torch.zeros(2, LATENTS, 4, 4)
    labeller = {n: t.clone() for n, t in illm.labeller.state_dict().items()}

    def play(one: Illm, seed: int) -> tuple[float, float, Tensor]:
        image, _ = kinds(seeded(seed))
        made = (0.5 * image + 0.25).requires_grad_()  # a decoder that takes contrast away
        loss, values = one.play(image, made, latents)
        loss.backward()
        assert made.grad is not None
        return values["discriminator"], float(loss.detach()), made.grad

    told = [play(illm, int(seed)) for seed in torch.randint(99, (60,), generator=generator)]
    assert told[0][0] == pytest.approx(math.log(TINY.codes + 1), abs=0.4)  # it knows nothing yet
    assert told[-1][0] < 0.6 * told[0][0] and told[-1][1] > told[0][1]
    image, _ = kinds(seeded(100))
    faint = 0.5 * image + 0.25
    labels = illm.labeller.labels(image)
    forged = illm.discriminator(faint, latents).argmax(1) == TINY.codes
    true = illm.discriminator(image, latents).argmax(1) == TINY.codes
    assert forged.float().mean() > 0.9 > 0.1 > true.float().mean()
    # The same decoder is better off a little along the gradient it is given.
    push = play(illm, 100)[2]
    with torch.no_grad():
        moved = unlikely(illm.discriminator(faint - 0.05 * push / push.abs().max(), latents), labels)
        assert moved < unlikely(illm.discriminator(faint, latents), labels)
    assert all(torch.equal(t, labeller[n]) for n, t in illm.labeller.state_dict().items())

    again = Illm(TINY, LATENTS, "cpu")
    again.load_tensors({k: t.clone() for k, t in illm.state_tensors().items()})
    for seed in (1, 2):
        assert play(again, seed)[:2] == play(illm, seed)[:2]


def test_the_game_waits_for_the_labeller() -> None:
    cfg = dataclasses.replace(TINY, start=5, labeller_steps=2)
    for first, learning, begun in ((0, [3, 4], 5), (9, [9, 10], 11)):  # a new run, and one that was trained without
        illm, learned, game = Illm(cfg, LATENTS, "cpu"), [], []
        for step in range(first, first + 14):
            if illm.begins(step):
                illm.playing = True
                game.append(step)
            if illm.learns(step):
                illm.learned += 1
                learned.append(step)
        assert (learned, game) == (learning, [begun])


@pytest.mark.parametrize(
    "values", [{"kind": "hinge"}, {"codes": 100}, {"patch": 5}, {"labeller_steps": 0}, {"steps": 3}]
)
def test_impossible_options_are_refused(values: dict[str, object]) -> None:
    with pytest.raises(SpressoError) as caught:
        apply(SpectrogramTrainingConfig(), {"adversary": values})
    assert caught.value.code == "bad_config"


# -- training --------------------------------------------------------------------------------------------------------
PLAIN = SpectrogramTrainingConfig(frames=64, batch=2)
GAME = IllmConfig(kind="illm", codes=16, width=4, start=4, labeller_steps=2, weight=1.0)
DECODER = ("network.synthesis.", "network.ungain_RM")


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder, generator = tmp_path_factory.mktemp("clips"), np.random.default_rng(0)
    for split, count in (("train", 3), ("val", 1)):
        time_N = np.arange(6000) / 48_000
        rows = [np.sin(2 * np.pi * 700 * (i + 1) * time_N) * np.exp(-20 * time_N) for i in range(count)]
        samples = np.concatenate([0.3 * row + 0.01 * generator.standard_normal(6000) for row in rows])[None]
        tensors = {
            "samples": torch.from_numpy((samples * 32767).astype(np.int16)),
            "length": torch.full((count,), 6000),
        }
        save_checkpoint(folder / clips_file(split), tensors, {"sample_rate": 48_000})
    return folder


def state_after(steps: int, clips: Path, run: Path, adversary: IllmConfig | None, **loop: float) -> dict[str, Tensor]:
    """The checkpoint after so many steps; a run that is there is continued."""
    training = dataclasses.replace(PLAIN, adversary=adversary or IllmConfig())
    # The rate of learning is that of the step alone: how far runs are to go must not tell them apart.
    options = LoopConfig(max_minutes=60, max_steps=steps, decay_fraction=0, warmup_steps=1, log_steps=1, lr=3e-3)
    train_spectrogram(PRESETS["tiny"], clips, run, options, training, resume=(run / STAGE / CHECKPOINT).exists())
    return load_checkpoint(run / STAGE / CHECKPOINT)[0]


def assert_same(ours: dict[str, Tensor], theirs: dict[str, Tensor]) -> None:
    assert ours.keys() == theirs.keys()
    assert [name for name in ours if not torch.equal(ours[name], theirs[name])] == []


def test_off_or_waiting_it_changes_nothing(clips: Path, tmp_path: Path) -> None:
    """Also not while the labeller learns: what the codec draws at random stays the same."""
    off = state_after(3, clips, tmp_path / "off", None)
    waiting = state_after(3, clips, tmp_path / "waiting", dataclasses.replace(GAME, start=3))
    assert not any(name.startswith("kept.") for name in off)
    assert int(waiting["kept.adversary.learned"]) == 2
    assert_same(off, {n: t for n, t in waiting.items() if not n.startswith("kept.")})


def test_a_plain_run_goes_on_with_the_game_and_streams_stay_what_they_are(clips: Path, tmp_path: Path) -> None:
    run, audio_CN = tmp_path / "run", 0.1 * np.random.default_rng(1).standard_normal((1, 9000)).astype(np.float32)
    state_after(5, clips, run, None)
    state_after(7, clips, run, GAME)  # the labeller learns; the next step is the first of the game
    bundle_spectrogram(PRESETS["tiny"], run, tmp_path / "before")
    state = state_after(11, clips, run, GAME)
    bundle_spectrogram(PRESETS["tiny"], run, tmp_path / "after")
    assert bool(state["kept.adversary.playing"])
    before, after = SpectrogramCodec(tmp_path / "before"), SpectrogramCodec(tmp_path / "after")
    for point in before.points():
        assert before.encode(audio_CN, point.kbps) == after.encode(audio_CN, point.kbps)
    stream = before.encode(audio_CN, 12)
    assert np.abs(before.decode(stream) - after.decode(stream)).max() > 1e-6  # but it is decoded otherwise
    live, averaged = strip(state, "model."), strip(state, "ema.")
    apart = {name for name, value in averaged.items() if not torch.equal(value, live[name])}
    assert apart and all(name.startswith(DECODER) for name in apart)


def test_without_freezing_the_encoder_learns_too(clips: Path, tmp_path: Path) -> None:
    game = dataclasses.replace(GAME, freeze_encoder=False)
    early, late = (state_after(steps, clips, tmp_path / "run", game) for steps in (5, 6))
    moved = [n for n in strip(early, "model.") if not torch.equal(early[f"model.{n}"], late[f"model.{n}"])]
    assert any(n.startswith("network.analysis.") for n in moved)


def test_resumed_is_as_if_nothing_had_happened(clips: Path, tmp_path: Path) -> None:
    """Stopped while the labeller learns, right before the game, and in it."""
    whole = state_after(7, clips, tmp_path / "whole", GAME)
    for steps in (3, 4, 6, 7):
        pieces = state_after(steps, clips, tmp_path / "pieces", GAME)
    assert_same(whole, pieces)
