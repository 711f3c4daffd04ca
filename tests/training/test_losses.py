"""Losses of the AudioAE: what they weigh, by sounds whose answer is known."""

from __future__ import annotations

import math

import torch

from spresso_assets.training.losses import MultiScaleMel


def test_dacs_mel_loss_counts_decades_on_every_scale() -> None:
    """Half the level is log10(2) in every band that holds sound; over seven scales, seven times that at most."""
    noise_BN = torch.randn(2, 9600, generator=torch.Generator().manual_seed(0))
    mel = MultiScaleMel()
    for window, bands in ((32, 5), (256, 40), (2048, 320)):
        log_BTM = mel.log_mel(noise_BN, window)
        assert log_BTM.shape == (2, 9600 // (window // 4) + 1, bands)
        heard = log_BTM > -4
        step_BTM = (log_BTM - mel.log_mel(0.5 * noise_BN, window))[heard]
        torch.testing.assert_close(step_BTM, torch.full_like(step_BTM, math.log10(2)), atol=1e-4, rtol=0)
    assert 5 * math.log10(2) < float(mel(0.5 * noise_BN, noise_BN)) <= 7 * math.log10(2) + 1e-4
    assert float(mel(noise_BN, noise_BN)) == 0


def test_silence_has_a_finite_gradient() -> None:
    estimate_BN = torch.zeros(1, 4800, requires_grad=True)
    MultiScaleMel()(estimate_BN, torch.randn(1, 4800)).backward()
    assert estimate_BN.grad is not None and bool(estimate_BN.grad.isfinite().all())
