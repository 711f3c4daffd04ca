"""Two sets of sounds compared as distributions, over an embedding made by hand.

Learned embeddings (VGGish, CLAP, YAMNet) need weights that do not ship here. This one needs none, so its figures are
no FAD or KAD of a paper and compare with nothing but themselves: two bundles, two profiles, the same sounds.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import scipy.linalg
from numpy.typing import NDArray

from spresso_assets.codec.config import SAMPLE_RATE
from spresso_assets.evaluation.metrics import onset_times
from spresso_assets.evaluation.spectra import Grid, Signal, bin_hz, mel_bank, power_spectrogram

HOP = 240  # 5 ms
BANDS = 64
MODULATION_EDGES_HZ = 2 * 32 ** (np.arange(9) / 8)  # eight bands from 2 to 64 Hz
DIMENSIONS = 3 * BANDS + 8 + 5

Embedding = NDArray[np.float64]


def embed(x_N: Signal) -> Embedding:
    """One vector per second of sound, every half second: [W, 205], W >= 1.

    Of the log-mel levels in dB (64 bands, window 2048, every 5 ms, floored at -90 dB): mean, standard deviation and
    standard deviation of the change over 10 ms, per band; modulation energy in eight bands from 2 to 64 Hz, in dB,
    averaged over the bands. Of the mean spectrum: centroid and 95 % roll-off in octaves, flatness and crest in dB.
    Onsets per second. The last second is padded with silence.
    """
    power_TF = power_spectrogram(x_N, 2048, HOP)
    level_TM = 10 * np.log10(power_TF @ mel_bank(2048, BANDS) + 1e-9)
    onsets = onset_times(x_N) * SAMPLE_RATE / HOP
    per_window = SAMPLE_RATE // HOP
    rows = []
    for start_sample in range(0, max(1, len(x_N) - SAMPLE_RATE // 2), SAMPLE_RATE // 2):
        start = start_sample // HOP
        level_WM = level_TM[start : start + per_window]
        missing = per_window - len(level_WM)
        level_WM = np.pad(level_WM, ((0, missing), (0, 0)), constant_values=-90.0)
        count = ((onsets >= start) & (onsets < start + per_window)).sum()
        rows.append(
            np.concatenate(
                [
                    level_WM.mean(0),
                    level_WM.std(0),
                    (level_WM[2:] - level_WM[:-2]).std(0),
                    _modulation(level_WM),
                    _shape(power_TF[start : start + per_window].mean(0)),
                    [float(count)],
                ]
            )
        )
    return np.stack(rows).astype(np.float64)


def _modulation(level_WM: Grid) -> Embedding:
    """Energy of level movements per modulation band in dB, [8]."""
    spectrum_KM = np.abs(np.fft.rfft(level_WM - level_WM.mean(0), axis=0)) ** 2 / len(level_WM)
    hz_K = np.fft.rfftfreq(len(level_WM), HOP / SAMPLE_RATE)
    low, high = MODULATION_EDGES_HZ[:-1, None], MODULATION_EDGES_HZ[1:, None]
    # A band narrower than the resolution of 1 Hz takes the bin nearest to its middle.
    inside_8K = (hz_K >= low) & (hz_K < high)
    nearest_8 = np.abs(hz_K - (low + high) / 2).argmin(1)
    inside_8K[np.arange(8), nearest_8] = True
    energy_8 = inside_8K @ spectrum_KM.mean(1) / inside_8K.sum(1)
    return 10 * np.log10(energy_8 + 1e-3)


def _shape(power_F: Grid) -> Embedding:
    """Centroid and roll-off (octaves re 20 Hz), flatness and crest (dB) of a mean power spectrum, [4]."""
    power_F = power_F + 1e-12
    hz_F = np.maximum(bin_hz(2048), 20.0)
    centroid = (power_F * hz_F).sum() / power_F.sum()
    rolloff = hz_F[np.searchsorted(np.cumsum(power_F), 0.95 * power_F.sum()).clip(max=len(hz_F) - 1)]
    log_F = 10 * np.log10(power_F)
    mean_db = 10 * np.log10(power_F.mean())
    return np.array([np.log2(centroid / 20), np.log2(rolloff / 20), log_F.mean() - mean_db, log_F.max() - mean_db])


@dataclass(frozen=True)
class Whitening:
    """Affine map that makes a reference set zero-mean of unit variance, per entry or in its leading directions."""

    mean_E: Embedding
    basis_ED: Embedding

    @classmethod
    def of(cls, reference_WE: Embedding, dimensions: int = 64) -> Whitening:
        """Standardise each entry, keep principal components, at most one for every four vectors.

        A covariance of d dimensions from fewer than a few d vectors is mostly noise, and Frechet distances of it grow
        with their own error; hence the cap.
        """
        mean_E = reference_WE.mean(0)
        scale_E = np.maximum(reference_WE.std(0), 1e-3)
        z_WE = (reference_WE - mean_E) / scale_E
        _, singular_K, right_KE = np.linalg.svd(z_WE, full_matrices=False)
        kept = max(1, min(dimensions, len(z_WE) // 4, int((singular_K > 1e-3 * singular_K[0]).sum())))
        # A single vector has no spread; what is compared with it is then left unscaled.
        deviation_D = np.where(singular_K[:kept] > 0, singular_K[:kept] / np.sqrt(max(len(z_WE) - 1, 1)), 1.0)
        return cls(mean_E, right_KE[:kept].T / scale_E[:, None] / deviation_D)

    @classmethod
    def entrywise(cls, reference_WE: Embedding) -> Whitening:
        """Standardise each entry, no more: few sounds then keep all the dimensions by which they can be told apart."""
        scale_E = np.maximum(reference_WE.std(0), 1e-3)
        return cls(reference_WE.mean(0), np.diag(1 / scale_E))

    def __call__(self, x_WE: Embedding) -> Embedding:
        """[W, E] -> [W, D]."""
        return (x_WE - self.mean_E) @ self.basis_ED


def frechet_distance(a_WD: Embedding, reference_WD: Embedding) -> float:
    """|m1 - m2|^2 + tr(S1 + S2 - 2 (S1 S2)^1/2) of two sets of vectors; 0 for equal moments.

    Biased upwards by about D (D + 1) / 2W for W vectors of D dimensions: compare sets of one size only.
    """
    # tr (S1 S2)^1/2 is the sum of the singular values of A B', where A'A = S1 and B'B = S2: with fewer vectors than
    # dimensions, which is usual, that is a small matrix.
    a_RD, b_RD = (_factor(x_WD) for x_WD in (a_WD, reference_WD))
    mean_D = a_WD.mean(0) - reference_WD.mean(0)
    cross = float(np.linalg.svd(a_RD @ b_RD.T, compute_uv=False).sum())
    return float(mean_D @ mean_D + np.square(a_RD).sum() + np.square(b_RD).sum() - 2 * cross)


def _factor(x_WD: Embedding) -> Embedding:
    """A with A'A the covariance of the rows of x; it has at most as many rows as columns."""
    apart_WD = (x_WD - x_WD.mean(0)) / math.sqrt(len(x_WD) - 1)
    if len(x_WD) <= x_WD.shape[1]:
        return apart_WD
    return np.asarray(scipy.linalg.qr(apart_WD, mode="r", check_finite=False)[0][: x_WD.shape[1]])


def kernel_distance(a_WD: Embedding, reference_WD: Embedding, sounds_W: NDArray[np.int64]) -> float:
    """`KernelDistance` of all sounds."""
    return KernelDistance(a_WD, reference_WD, sounds_W)()


class KernelDistance:
    """Unbiased squared maximum mean discrepancy with a Gaussian kernel, times 100 (form of KAD, Chung et al. 2025).

    Args:
        a_WD, reference_WD: vectors in pairs: row w of both stands for the same second of the same sound.
        sounds_W: number of the sound that each row belongs to.

    The kernel's width is the median distance within the reference. Only pairs from different sounds count (the
    U-statistic of Gretton et al. 2012): a set against another take of itself scores about 0, half of the time below.
    """

    def __init__(self, a_WD: Embedding, reference_WD: Embedding, sounds_W: NDArray[np.int64]) -> None:
        pairs = ((reference_WD, reference_WD), (a_WD, a_WD), (a_WD, reference_WD))
        self.squared = [_squared_distances(*pair) for pair in pairs]  # once, however many subsets are asked for
        self.apart_WW = sounds_W[:, None] != sounds_W[None]

    def __call__(self, rows_W: NDArray[np.bool_] | None = None) -> float:
        """Of some rows, or of all.

        Raises:
            ValueError: fewer than two sounds.
        """
        chosen = ... if rows_W is None else np.ix_(rows_W, rows_W)
        apart_VV = self.apart_WW[chosen]
        if not apart_VV.any():
            raise ValueError("a kernel distance needs at least two sounds")
        inside_P, own_P, across_P = (squared_WW[chosen][apart_VV] for squared_WW in self.squared)
        width_squared = max(float(np.median(np.sqrt(inside_P))) ** 2, 1e-12)
        inside, own, across = (float(np.exp(x / (-2 * width_squared)).mean()) for x in (inside_P, own_P, across_P))
        return 100 * (inside + own - 2 * across)


def _squared_distances(a_WD: Embedding, b_VD: Embedding) -> Embedding:
    squared = (a_WD**2).sum(1)[:, None] + (b_VD**2).sum(1)[None] - 2 * a_WD @ b_VD.T
    return np.maximum(squared, 0)
