"""Spectrograms and filter banks against what their definitions promise."""

from __future__ import annotations

import numpy as np
import pytest

from spresso_assets.evaluation.spectra import bin_hz, erb_bands, mel_bank, power_spectrogram, slaney_bank


@pytest.mark.parametrize("window", [512, 2048, 4096])
def test_a_full_scale_sine_reads_a_quarter_at_its_bin(window: int) -> None:
    hz = 40 * 48_000 / window
    x_N = np.sin(2 * np.pi * hz * np.arange(48_000) / 48_000)
    power_TF = power_spectrogram(x_N, window, window // 4)
    assert power_TF.shape == (-(-48_000 // (window // 4)) + 1, window // 2 + 1)
    assert power_TF[len(power_TF) // 2, 40] == pytest.approx(0.25, rel=1e-3)


def test_frames_are_centred_on_their_samples() -> None:
    x_N = np.zeros(4800)
    x_N[2400] = 1
    assert power_spectrogram(x_N, 512, 240).sum(1).argmax() == 10


def test_mel_triangles_hand_over_to_each_other() -> None:
    bank_FM = mel_bank(4096, 40)
    assert bank_FM.max() <= 1
    middle = (bin_hz(4096) > 500) & (bin_hz(4096) < 20_000)
    assert bank_FM.sum(1)[middle] == pytest.approx(1, abs=1e-5)


def test_slaney_triangles_have_unit_area() -> None:
    bank_FM = slaney_bank(4096, 40)
    assert bank_FM.sum(0) * 48_000 / 4096 == pytest.approx(1, rel=0.05)


def test_erb_bands_tile_their_range() -> None:
    bank_FM = erb_bands(960, 8, 50.0, 20_000.0)
    hz_F = bin_hz(960)
    assert (bank_FM.sum(1) == ((hz_F >= 50) & (hz_F < 20_000))).all()
    widths = bank_FM.sum(0)
    assert (np.diff(widths) > 0).all() and widths[0] >= 1
