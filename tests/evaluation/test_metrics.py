"""Each metric on signals whose answer is known beforehand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from spresso_assets.evaluation.metrics import (
    METRICS,
    aligned,
    bandwidth_error,
    compare,
    diversity,
    envelope_correlation,
    level_error,
    log_spectral_distance,
    mel_distance,
    multiscale_mel,
    onset_f1,
    onset_times,
    si_sdr,
    spectral_flux,
)

RATE = 48_000
Signal = np.ndarray


def noise(seconds: float = 1.0, seed: int = 0) -> Signal:
    return (0.2 * np.random.default_rng(seed).standard_normal(round(seconds * RATE))).astype(np.float32)


def bursts(times: tuple[float, ...], seconds: float = 2.0) -> Signal:
    """Decaying bursts of noise over a faint bed."""
    x_N = 1e-3 * noise(seconds, seed=9)
    for n, time in enumerate(times):
        start = round(time * RATE)
        x_N[start : start + 4800] += (noise(0.1, seed=n) * np.exp(-np.arange(4800) / 800)).astype(np.float32)
    return x_N


def test_a_sound_is_like_itself() -> None:
    figures = compare(bursts((0.2, 0.9)), bursts((0.2, 0.9)))
    assert set(figures) == set(METRICS)
    for name, value in figures.items():
        perfect = {"envelope_correlation": 1.0, "onset_f1": 1.0}.get(name, 0.0)
        assert value > 100 if name == "si_sdr" else value == pytest.approx(perfect, abs=1e-6), name


def test_loudness_of_the_pair_does_not_matter_but_of_the_decode_does() -> None:
    decoded, reference = bursts((0.2,)), bursts((0.25,))
    quiet = compare(0.01 * decoded, 0.01 * reference)
    for name, value in compare(decoded, reference).items():
        assert quiet[name] == pytest.approx(value, abs=1e-3), name
    assert level_error(*aligned(0.5 * reference, reference)) == pytest.approx(6.02, abs=0.01)


def test_one_decibel_is_a_tenth() -> None:
    x = noise()
    for decibel in (1.0, 6.0):
        louder = x * 10 ** (decibel / 20)
        assert mel_distance(louder, x) == pytest.approx(decibel / 10, rel=0.02)
        assert log_spectral_distance(louder, x) == pytest.approx(decibel, rel=0.01)
        # Seven scales of magnitudes, not powers: half as many decades each, less some bands without a bin of theirs.
        assert multiscale_mel(louder, x) == pytest.approx(7 * decibel / 20, rel=0.05)


def test_what_is_below_the_floor_does_not_count() -> None:
    silence = np.zeros(RATE, np.float32)
    assert mel_distance(1e-4 * noise(), silence) < 0.05  # about -110 dB in a band
    assert 5 < mel_distance(noise(), silence) < 9


def test_onsets_are_found_where_they_are() -> None:
    times = (0.2, 0.5, 0.62, 1.5)
    assert onset_times(bursts(times)) == pytest.approx(times, abs=0.01)
    assert len(onset_times(noise(2.0)[RATE:])) <= 1  # a steady noise begins, and that is all


def test_onset_f1_counts_each_onset_once_and_within_fifty_milliseconds() -> None:
    reference = bursts((0.2, 0.6, 1.0, 1.4))
    assert onset_f1(bursts((0.2, 0.6, 1.0)), reference) == pytest.approx(6 / 7)
    assert onset_f1(bursts((0.24, 0.64, 1.04, 1.44)), reference) == 1
    assert onset_f1(bursts((0.3, 0.7, 1.1, 1.5)), reference) == 0
    assert onset_f1(bursts((0.2, 0.6, 1.0, 1.2, 1.4)), reference) == pytest.approx(8 / 9)
    assert onset_f1(bursts((0.25,)), bursts((0.21, 0.29))) == pytest.approx(2 / 3)
    assert onset_f1(bursts((0.21, 0.29)), bursts((0.25,))) == pytest.approx(2 / 3)


def test_envelopes_that_move_together_correlate_and_opposed_ones_do_not() -> None:
    sway = 0.2 * (6 + 5 * np.sin(2 * np.pi * 4 * np.arange(2 * RATE) / RATE)) / 6
    opposed = 0.2 * (6 - 5 * np.sin(2 * np.pi * 4 * np.arange(2 * RATE) / RATE)) / 6
    reference = (sway * noise(2.0, seed=1)).astype(np.float32)
    assert envelope_correlation((sway * noise(2.0, seed=2)).astype(np.float32), reference) > 0.7
    assert envelope_correlation((opposed * noise(2.0, seed=2)).astype(np.float32), reference) < -0.7


def test_a_steady_tone_has_no_envelope_to_follow() -> None:
    tone = (0.5 * np.sin(2 * np.pi * 1000 * np.arange(RATE) / RATE)).astype(np.float32)
    faded = tone * np.minimum(1, np.arange(RATE) / 4800)
    assert math.isnan(envelope_correlation(np.tile(tone, 1)[:0], np.tile(tone, 1)[:0]))
    assert envelope_correlation(faded, faded) == pytest.approx(1)


def test_half_the_bandwidth_is_one_octave() -> None:
    spectrum = np.fft.rfft(noise(2.0))
    half = spectrum.copy()
    half[len(half) // 2 :] = 0
    dull = np.fft.irfft(half).astype(np.float32)
    assert bandwidth_error(dull, noise(2.0)) == pytest.approx(1.0, abs=0.02)
    assert bandwidth_error(noise(2.0), dull) == pytest.approx(1.0, abs=0.02)


def test_si_sdr_is_the_ratio_of_signal_to_orthogonal_noise_whatever_the_scale() -> None:
    x = np.sin(2 * np.pi * 100 * np.arange(RATE) / RATE)
    y = np.cos(2 * np.pi * 100 * np.arange(RATE) / RATE)  # orthogonal, of equal power
    assert si_sdr(x + 0.1 * y, x) == pytest.approx(20, abs=0.01)
    assert si_sdr(-3 * (x + 0.1 * y), x) == pytest.approx(20, abs=0.01)


def test_flux_falls_when_frames_are_smeared() -> None:
    rough = noise(2.0)
    tone = (0.5 * np.sin(2 * np.pi * 500 * np.arange(2 * RATE) / RATE)).astype(np.float32)
    assert spectral_flux(tone) < 0.5 * spectral_flux(rough)
    assert compare(tone, rough)["flux_difference"] < 0 < compare(rough, tone)["flux_difference"]


def test_diversity_is_the_mean_over_pairs() -> None:
    takes = [noise(seed=n) for n in range(3)]
    pairs = [mel_distance(takes[a], takes[b]) for a, b in ((0, 1), (0, 2), (1, 2))]
    assert diversity(takes) == pytest.approx(np.mean(pairs))
    assert diversity([takes[0], takes[0]]) == 0
    with pytest.raises(ValueError, match="two"):
        diversity(takes[:1])


def test_sounds_of_a_few_milliseconds_are_measured_too() -> None:
    figures = compare(noise(0.05), noise(0.05, seed=1))
    assert all(math.isfinite(v) for k, v in figures.items() if k != "envelope_correlation")
