"""Discriminators and what they say: DAC's sizes and losses, and a game that can be played and resumed."""

from __future__ import annotations

import math

import pytest
import torch

from spresso_assets.training.adversarial import (
    Adversary,
    AdversaryConfig,
    discriminator_loss,
    feature_loss,
    generator_loss,
)
from spresso_assets.training.discriminators import Discriminators, PeriodDiscriminator, SpectrumDiscriminator, normalise

TINY = AdversaryConfig(discriminators="full", channels=2, start=0, lr=5e-3)


def _count(module: torch.nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def _sounds(seed: int, samples: int = 2280) -> torch.Tensor:
    """Two clips: a decaying tone and noise."""
    generator = torch.Generator().manual_seed(seed)
    time_N = torch.arange(samples) / 48_000
    tone_N = (2 * math.pi * 440 * time_N).sin() * (-20 * time_N).exp()
    return torch.stack([tone_N, 0.1 * torch.randn(samples, generator=generator)])


def test_full_width_has_dacs_parameter_counts() -> None:
    """MPD 8.2 M each, 41 M for five; MRD 0.47 M each; weight norm adds one gain per output channel."""
    convolutions = 5 * (1 * 32 + 32 * 128 + 128 * 512 + 512 * 1024 + 1024 * 1024) + 3 * 1024
    assert _count(PeriodDiscriminator(2)) == convolutions + 2 * (32 + 128 + 512 + 1024 + 1024 + 1) == 8_221_154
    band = (2 * 32 + 3 * 32 * 32) * 27 + 32 * 32 * 9 + 5 * 64
    assert _count(SpectrumDiscriminator(2048)) == 5 * band + 32 * 9 + 2 == 471_330
    full = Discriminators("full")
    assert _count(full) == pytest.approx(41.1e6 + 3 * 0.471e6, rel=2e-3)
    assert len(full.members) == 8 and len(Discriminators("mrd", 2).members) == 3


def test_period_maps_follow_the_strides_and_spectrum_bands_add_up() -> None:
    audio_BN = _sounds(0)
    maps = PeriodDiscriminator(7, 2)(audio_BN)
    rows = -(-2280 // 7)
    for expected_channels, stride, m in zip((2, 8, 32, 64, 64), (3, 3, 3, 3, 1), maps, strict=False):
        rows = -(-rows // stride)
        assert m.shape == (2, expected_channels, rows, 7)
    assert maps[-1].shape == (2, 1, rows, 7)
    maps = SpectrumDiscriminator(512, 2)(audio_BN)
    frames = -(-2280 // 128)
    assert [m.shape[3] for m in maps[0:25:5]] == [25, 39, 64, 64, 65] and sum((25, 39, 64, 64, 65)) == 257
    assert len(maps) == 26 and all(m.shape[2] == frames for m in maps)
    assert maps[-1].shape[3] == sum(m.shape[3] for m in maps[4:25:5])


def test_every_sample_counts_and_level_does_not() -> None:
    """The last sample reaches a verdict through padding; gain and offset reach none."""
    torch.manual_seed(0)
    networks = Discriminators("full", 2)
    audio_BN = _sounds(0).requires_grad_(True)
    sum(m[-1].square().mean() for m in networks(audio_BN)).backward()
    assert audio_BN.grad is not None and bool((audio_BN.grad != 0).all())
    with torch.no_grad():
        for a, b in zip(networks(audio_BN), networks(0.03 * audio_BN + 0.2), strict=True):
            torch.testing.assert_close(a[-1], b[-1], atol=1e-4, rtol=1e-3)
    assert torch.equal(normalise(torch.zeros(1, 100)), torch.zeros(1, 100))


def test_losses_are_least_squares_and_features_without_the_verdict() -> None:
    real = [[torch.full((1, 2), 3.0), torch.full((1, 4), 0.8)], [torch.zeros(1, 1), torch.full((1, 1), 1.0)]]
    fake = [[torch.full((1, 2), 1.0), torch.full((1, 4), 0.5)], [torch.full((1, 1), -0.5), torch.full((1, 1), 0.0)]]
    assert float(discriminator_loss(real, fake)) == pytest.approx(0.2**2 + 0.5**2 + 0 + 0)
    assert float(generator_loss(fake)) == pytest.approx(0.5**2 + 1)
    assert float(feature_loss(real, fake)) == pytest.approx(2 + 0.5)


def test_discriminators_learn_to_tell_and_leave_the_other_player_alone() -> None:
    torch.manual_seed(0)
    adversary = Adversary(TINY, torch.device("cpu"))
    real_BN, fake_BN = _sounds(1), (0.5 * _sounds(2)).requires_grad_(True)
    told = []
    for _ in range(12):
        loss, values = adversary.play(real_BN, fake_BN)
        assert math.isfinite(float(loss.detach())) and all(map(math.isfinite, values.values()))
        told.append(values["disc"])
    assert told[-1] < 0.8 * told[0]
    assert fake_BN.grad is None  # their own step sends nothing back
    loss.backward()
    assert fake_BN.grad is not None and bool(fake_BN.grad.isfinite().all()) and float(fake_BN.grad.abs().sum()) > 0
    assert adversary.optimizer.param_groups[0]["lr"] == pytest.approx(TINY.lr * TINY.decay**11, rel=1e-12)


def test_a_resumed_game_continues_identically() -> None:
    real_BN, fake_BN = _sounds(1), 0.5 * _sounds(2)

    def play(adversary: Adversary, steps: int) -> dict[str, torch.Tensor]:
        for _ in range(steps):
            adversary.play(real_BN, fake_BN)
        return {k: v.clone() for k, v in adversary.state_tensors().items()}

    torch.manual_seed(0)
    whole = Adversary(TINY, torch.device("cpu"))
    half = play(whole, 2)
    expected = play(whole, 2)
    resumed = Adversary(TINY, torch.device("cpu"))
    resumed.load_tensors(half)
    found = play(resumed, 2)
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[k], v) for k, v in expected.items())
    resumed.load_tensors({})  # a checkpoint from before there were discriminators
    assert resumed.steps == 4
