"""The frame grid: perfect reconstruction, T = N / hop, and mel energies that mean what they say."""

import math

import pytest
import torch

from spresso_assets.codec.stft import STFT, LogMel, mel_filterbank


@pytest.mark.parametrize(("window", "n_fft"), [(960, 960), (1440, 2880), (1920, 1920)])
def test_inverse_restores_every_sample(window: int, n_fft: int) -> None:
    stft = STFT(window, 480, n_fft)
    audio_BN = torch.randn(2, 480 * 7)
    spectrum_BTF = stft(audio_BN)
    assert spectrum_BTF.shape == (2, 7, n_fft // 2 + 1)
    torch.testing.assert_close(stft.inverse(spectrum_BTF), audio_BN, atol=2e-6, rtol=0)


def test_frames_are_centred_alike_for_every_window() -> None:
    """An impulse in the middle of frame 3 is loudest in frame 3, whatever the window."""
    audio_1N = torch.zeros(1, 480 * 8)
    audio_1N[0, 480 * 3 + 240] = 1
    for window in (960, 1440):
        energy_T = STFT(window, 480)(audio_1N).abs().square().sum(-1)[0]
        assert int(energy_T.argmax()) == 3


def test_odd_padding_is_refused() -> None:
    with pytest.raises(ValueError, match="even"):
        STFT(961, 480)


def test_every_bin_within_range_is_covered_by_neighbouring_filters() -> None:
    bank_FM = mel_filterbank(2880, 128, 48_000, 20, 24_000)
    hertz_F = torch.linspace(0, 24_000, 1441)
    # Between the first and the last centre, triangles that meet at half height sum to one.
    inner = (hertz_F > 100) & (hertz_F < 23_000)
    torch.testing.assert_close(bank_FM[inner].sum(1), torch.ones(int(inner.sum())), atol=1e-4, rtol=0)


def _logmel() -> LogMel:
    return LogMel(1440, 480, 2880, 128, 48_000, 20, 24_000, 1e-9)


def test_level_of_a_sine_is_its_quarter_power() -> None:
    """A sine of amplitude A has spectral lines of A/2, so its strongest band reads 2 log10(A/2)."""
    t_N = torch.arange(48_000) / 48_000
    x_1N = 0.5 * torch.sin(2 * math.pi * 1000 * t_N)[None]
    peak = float(_logmel()(x_1N)[0, 50].max())
    assert peak == pytest.approx(2 * math.log10(0.25), abs=0.25)  # a band collects the window's neighbouring bins too


def test_silence_is_the_floor() -> None:
    assert torch.all(_logmel()(torch.zeros(1, 4800)) == math.log10(1e-9))


def test_projection_pulls_noise_onto_the_energies_of_another_sound() -> None:
    torch.manual_seed(0)
    logmel = _logmel()
    t_N = torch.arange(48_000) / 48_000
    target_1N = (torch.randn(48_000) * torch.exp(-3 * t_N) * 0.1)[None]
    wanted_BTM = logmel(target_1N)
    audio_1N = torch.randn(1, 48_000)
    before = float((logmel(audio_1N) - wanted_BTM).abs().mean())
    for _ in range(4):
        audio_1N = logmel.project(audio_1N, wanted_BTM)
    after = float((logmel(audio_1N) - wanted_BTM).abs().mean())
    assert after < 0.1 < before
