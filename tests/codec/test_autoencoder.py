"""AudioAE: both encoders on one frame grid, context that margins account for, latents of unit scale."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from spresso_assets.codec.autoencoder import AudioAE, compand, expand
from spresso_assets.codec.config import PRESETS

TINY = PRESETS["tiny"].autoencoder


def _autoencoder(encoder: str) -> AudioAE:
    torch.manual_seed(0)
    return AudioAE(dataclasses.replace(TINY, encoder=encoder)).eval()


@pytest.mark.parametrize("encoder", ["logmel", "conv"])
@torch.inference_mode()
def test_one_latent_frame_per_ten_milliseconds_and_back(encoder: str) -> None:
    autoencoder = _autoencoder(encoder)
    audio_BN = 0.1 * torch.randn(2, 480 * 30)
    x0_BTC = autoencoder.encode(audio_BN)
    assert x0_BTC.shape == (2, 30, 128)
    decoded_BN = autoencoder.decode(x0_BTC, torch.randn(2, 480 * 30))
    assert decoded_BN.shape == audio_BN.shape and decoded_BN.isfinite().all()


@pytest.mark.parametrize("encoder", ["logmel", "conv"])
@torch.inference_mode()
def test_margin_covers_the_context(encoder: str) -> None:
    """Frames further from a cut than the margin do not know of it."""
    autoencoder = _autoencoder(encoder)
    audio_1N = 0.1 * torch.randn(1, 480 * 100)
    margin = autoencoder.encoder.margin
    whole_BTC = autoencoder.encode(audio_1N)
    part_BTC = autoencoder.encode(audio_1N[:, 480 * 20 : 480 * 80])
    torch.testing.assert_close(
        part_BTC[:, margin : 60 - margin], whole_BTC[:, 20 + margin : 80 - margin], atol=2e-4, rtol=0
    )


def test_standardising_gives_sigma_data_and_comes_back() -> None:
    autoencoder = _autoencoder("logmel")
    raw_BTC = 3 * torch.randn(4, 500, 128) - 5
    autoencoder.mean_C.copy_(raw_BTC.mean((0, 1)))
    autoencoder.std_C.copy_(raw_BTC.std((0, 1)))
    x0_BTC = autoencoder.standardise(raw_BTC)
    assert float(x0_BTC.std()) == pytest.approx(0.5, abs=0.01)
    torch.testing.assert_close(autoencoder.unstandardise(x0_BTC), raw_BTC, atol=1e-4, rtol=1e-4)


@torch.inference_mode()
def test_projection_makes_an_untrained_decoder_follow_the_sound() -> None:
    """The figure behind the choice of latents: noise pulled onto the energies is within two decibels."""
    autoencoder = AudioAE(dataclasses.replace(TINY, refine_steps=4)).eval()
    t_N = torch.arange(48_000) / 48_000
    audio_1N = (0.3 * torch.randn(48_000, generator=torch.Generator().manual_seed(1)) * torch.exp(-4 * t_N))[None]
    decoded_1N = autoencoder.decode(autoencoder.encode(audio_1N), torch.randn(1, 48_000))
    difference_BTC = autoencoder.encode(decoded_1N) - autoencoder.encode(audio_1N)
    log10_difference = difference_BTC * autoencoder.std_C / autoencoder.sigma_data
    assert float(log10_difference.abs().mean()) < 0.2


@torch.inference_mode()
def test_an_untrained_learned_pair_is_a_lapped_transform_of_the_low_band() -> None:
    """What training of the learned encoder starts from: sound below 6.4 kHz comes back, sound above does not."""
    autoencoder = _autoencoder("conv")
    n_N = torch.arange(48_000) / 48_000
    inner = slice(480, -480)  # at its ends a lapped transform lacks a neighbour to cancel aliasing with

    def error_db(frequency: float) -> float:
        audio_1N = 0.3 * (2 * torch.pi * frequency * n_N).sin()[None]
        error_1N = autoencoder.decode(autoencoder.encode(audio_1N), torch.zeros(1, 48_000)) - audio_1N
        return float(10 * (error_1N[:, inner].square().mean() / audio_1N.square().mean()).log10())

    assert error_db(440.0) < -30 and error_db(5_000.0) < -30
    assert error_db(9_000.0) > -1


def test_companding_is_undone_and_compresses_level() -> None:
    x = torch.cat([torch.logspace(-6, 2, 50), -torch.logspace(-6, 2, 50), torch.zeros(1)])
    torch.testing.assert_close(expand(compand(x)), x, rtol=1e-3, atol=1e-6)
    assert float(compand(torch.tensor(4.0)) / compand(torch.tensor(1.0))) == pytest.approx(2, abs=0.05)
    y = torch.zeros(1, requires_grad=True)
    compand(y).sum().backward()
    assert y.grad is not None and y.grad.isfinite().all()
