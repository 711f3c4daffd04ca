"""Each metric written a second time, slowly and from its definition, gives the same number."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from scipy.linalg import sqrtm
from scipy.signal import get_window, stft
from scipy.spatial.distance import pdist

from spresso_assets.evaluation.embedding import frechet_distance, kernel_distance
from spresso_assets.evaluation.metrics import (
    bandwidth_error,
    envelope_correlation,
    level_error,
    log_spectral_distance,
    mel_distance,
    multiscale_mel,
    si_sdr,
    spectral_flux,
)

RATE = 48_000
Signal = np.ndarray


def pair() -> tuple[Signal, Signal]:
    """A falling burst with a tone, and the same with other noise, duller and quieter."""
    rng = np.random.default_rng(7)
    time = np.arange(RATE) / RATE
    sway = np.exp(-3 * time) * (1 + 0.8 * np.sin(2 * np.pi * 5 * time))
    tone = 0.2 * np.sin(2 * np.pi * 440 * time)
    reference = sway * (0.2 * rng.standard_normal(RATE) + tone)
    dull = np.convolve(0.3 * rng.standard_normal(RATE), np.ones(4) / 4, "same")
    return (0.8 * sway * (dull + tone)).astype(np.float32), reference.astype(np.float32)


def power(x_N: Signal, window: int, hop: int) -> Signal:
    """|STFT|^2 through scipy, as many frames as the definition has: centred on 0, hop, 2 hop, ... past the end."""
    frames = math.ceil(len(x_N) / hop) + 1
    padded = np.pad(x_N.astype(np.float64), (window // 2, frames * hop + window))
    _, _, z_FT = stft(padded, RATE, get_window("hann", window), window, window - hop, boundary=None, padded=False)
    return (np.abs(z_FT) ** 2).T[:frames]


def triangle(hz: float, low: float, middle: float, high: float) -> float:
    if low < hz <= middle:
        return (hz - low) / (middle - low)
    return (high - hz) / (high - middle) if middle < hz < high else 0.0


def bank(window: int, edges: list[float], *, unit_area: bool = False) -> Signal:
    hz_F = [k * RATE / window for k in range(window // 2 + 1)]
    return np.array(
        [
            [triangle(f, *corners) * (2 / (corners[2] - corners[0]) if unit_area else 1) for f in hz_F]
            for corners in zip(edges, edges[1:], edges[2:], strict=False)
        ]
    ).T


def mel_edges(bands: int) -> list[float]:
    top = 2595 * math.log10(1 + 24_000 / 700)
    bottom = 2595 * math.log10(1 + 20 / 700)
    steps = [bottom + (top - bottom) * n / (bands + 1) for n in range(bands + 2)]
    return [700 * (10 ** (step / 2595) - 1) for step in steps]


def slaney_edges(bands: int) -> list[float]:
    def hz(mel: float) -> float:
        return mel * 200 / 3 if mel < 15 else 1000 * 6.4 ** ((mel - 15) / 27)

    top = 15 + 27 * math.log(24) / math.log(6.4)
    return [hz(top * n / (bands + 1)) for n in range(bands + 2)]


def test_mel_distance() -> None:
    parts = []
    for window, bands in ((512, 32), (2048, 96), (4096, 128)):
        a, b = (np.log10(power(x, window, window // 4) @ bank(window, mel_edges(bands)) + 1e-9) for x in pair())
        parts.append(np.abs(a - b).mean())
    assert mel_distance(*pair()) == pytest.approx(sum(parts) / 3, rel=1e-4)


def test_multiscale_mel() -> None:
    total = 0.0
    for window, bands in ((32, 5), (64, 10), (128, 20), (256, 40), (512, 80), (1024, 160), (2048, 320)):
        filters = bank(window, slaney_edges(bands), unit_area=True)
        # scipy divides by the sum of the window; the published loss does not.
        a, b = (
            np.log10(np.maximum(np.sqrt(power(x, window, window // 4)) * window / 2 @ filters, 1e-5)) for x in pair()
        )
        total += np.abs(a - b).mean()
    assert multiscale_mel(*pair()) == pytest.approx(total, rel=1e-4)


def test_log_spectral_distance() -> None:
    a, b = (10 * np.log10(power(x, 2048, 512) + 1e-9) for x in pair())
    per_frame = [math.sqrt(sum((p - q) ** 2) / len(p)) for p, q in zip(a, b, strict=True)]
    assert log_spectral_distance(*pair()) == pytest.approx(sum(per_frame) / len(per_frame), rel=1e-4)


def test_envelope_correlation() -> None:
    rates = np.linspace(21.4 * np.log10(1 + 0.00437 * 50), 21.4 * np.log10(1 + 0.00437 * 20_000), 9)
    edges = (10 ** (rates / 21.4) - 1) / 0.00437
    hz_F = np.arange(481) * 50.0
    found = []
    for low, high in itertools.pairwise(edges):
        inside = (hz_F >= low - 1e-6) & (hz_F < high - 1e-6)
        a, b = (10 * np.log10(power(x, 960, 480)[:, inside].sum(1) + 1e-8) for x in pair())
        if b.std() > 0.5:
            found.append(np.corrcoef(a, b)[0, 1])
    assert envelope_correlation(*pair()) == pytest.approx(np.mean(found), abs=1e-4)


def test_spectral_flux() -> None:
    decoded, _ = pair()
    level = 10 * np.log10(power(decoded, 960, 480) @ bank(960, mel_edges(64)) + 1e-9)
    steps = [abs(level[t, m] - level[t - 1, m]) for t in range(1, len(level)) for m in range(64)]
    assert spectral_flux(decoded) == pytest.approx(sum(steps) / len(steps), rel=1e-4)


def test_level_error() -> None:
    decoded, reference = (x.astype(np.float64) for x in pair())
    ratio = np.linalg.norm(decoded) / np.linalg.norm(reference)
    assert level_error(decoded, reference) == pytest.approx(abs(20 * math.log10(ratio)), abs=1e-6)


def test_bandwidth_error() -> None:
    rolloffs = []
    for x in pair():
        # By Parseval, the energy in the bins of the whole sound is that of its frames; bins of both are compared.
        energy, reached, k = power(x, 4096, 1024).sum(0), 0.0, 0
        while reached + energy[k] < 0.95 * energy.sum():
            reached, k = reached + energy[k], k + 1
        rolloffs.append(k)
    assert bandwidth_error(*pair()) == pytest.approx(abs(math.log2(rolloffs[0] / rolloffs[1])), abs=1e-3)


def test_si_sdr_is_minus_ten_log_of_one_over_r_squared_minus_one() -> None:
    # With correlation r, target over rest is r^2 / (1 - r^2).
    decoded, reference = pair()
    r = np.corrcoef(decoded.astype(np.float64), reference)[0, 1]
    assert si_sdr(decoded, reference) == pytest.approx(10 * math.log10(r**2 / (1 - r**2)), abs=1e-4)


def test_frechet_distance_by_the_root_of_a_matrix_and_by_singular_values() -> None:
    rng = np.random.default_rng(0)
    a = rng.standard_normal((300, 12)) @ rng.standard_normal((12, 12)) + 0.3
    b = rng.standard_normal((200, 12)) @ rng.standard_normal((12, 12))
    s1, s2 = np.cov(a.T), np.cov(b.T)
    gap = a.mean(0) - b.mean(0)
    textbook = gap @ gap + np.trace(s1 + s2 - 2 * np.real(sqrtm(s1 @ s2)))
    assert frechet_distance(a, b) == pytest.approx(textbook, rel=1e-6)
    # Fewer vectors than dimensions: tr (S1 S2)^1/2 is the nuclear norm of the product of the two centred sets.
    few_a, few_b = rng.standard_normal((9, 40)), rng.standard_normal((7, 40)) + 1
    cross = (few_a - few_a.mean(0)) @ (few_b - few_b.mean(0)).T / math.sqrt(8 * 6)
    gap = few_a.mean(0) - few_b.mean(0)
    singular = np.linalg.svd(cross, compute_uv=False).sum()
    by_values = gap @ gap + few_a.var(0, ddof=1).sum() + few_b.var(0, ddof=1).sum() - 2 * singular
    assert frechet_distance(few_a, few_b) == pytest.approx(by_values, rel=1e-4)


def test_kernel_distance_by_a_loop_over_pairs() -> None:
    rng = np.random.default_rng(0)
    decoded, reference = rng.standard_normal((2, 12, 3))
    decoded += 0.5
    sounds = np.arange(12)  # one window each: then it is the plain unbiased estimate
    width = np.median(pdist(reference))

    def k(x: Signal, y: Signal) -> float:
        return math.exp(-((x - y) @ (x - y)) / (2 * width**2))

    n = 12
    inside = sum(k(x[i], x[j]) for x in (decoded, reference) for i in range(n) for j in range(n) if i != j)
    across = sum(k(decoded[i], reference[j]) for i in range(n) for j in range(n) if i != j)
    assert kernel_distance(decoded, reference, sounds) == pytest.approx(100 * (inside - 2 * across) / (n * (n - 1)))
