"""How far a decode is from its source: one pure function per question.

Every function takes mono float arrays at 48 kHz, the decode first, and looks at the length that both share. The
absolute floors below assume that the source peaks near full scale: `aligned` scales a pair so, by one factor, which
keeps a difference in level. No single number stands for quality; each docstring says what its number does not see.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spresso_assets.codec.config import SAMPLE_RATE
from spresso_assets.evaluation.spectra import (
    Grid,
    Signal,
    bin_hz,
    erb_bands,
    mel_bank,
    power_spectrogram,
    slaney_bank,
)

PEAK = 0.7  # what `aligned` scales the source to
MEL_BANDS = {512: 32, 2048: 96, 4096: 128}  # window -> bands of `mel_distance`
DAC_BANDS = {32: 5, 64: 10, 128: 20, 256: 40, 512: 80, 1024: 160, 2048: 320}
POWER_FLOOR = 1e-9  # -90 dB
TEN_MS = 480
ENVELOPE_BANDS = 8
ONSET_HOP = 240  # 5 ms
ONSET_TOLERANCE_S = 0.05


def aligned(decoded_N: Signal, reference_N: Signal) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Cut both to the shorter length and scale both by the factor that brings the reference to a peak of 0.7."""
    length = min(len(decoded_N), len(reference_N))
    reference_n, decoded_n = np.asarray(reference_N[:length]), np.asarray(decoded_N[:length])
    gain = PEAK / max(float(np.abs(reference_n).max(initial=0)), 1e-6)
    return (gain * decoded_n).astype(np.float32), (gain * reference_n).astype(np.float32)


def mel_distance(decoded_N: Signal, reference_N: Signal) -> float:
    """Mean |log10 mel power| difference over windows of 512, 2048 and 4096 samples, hop a quarter; 0 up to about 9.

    0.1 is one decibel, averaged over time and 32, 96 and 128 bands from 20 Hz to 24 kHz, each power floored at -90 dB
    of a full-scale amplitude. Does not see phase, nor fine structure within a band: noise shaped like a chord stands
    close to the chord.
    """
    parts = []
    for window, bands in MEL_BANDS.items():
        a_TM, b_TM = (_log_mel(x_N, window, window // 4, bands) for x_N in (decoded_N, reference_N))
        parts.append(np.abs(a_TM - b_TM).mean())
    return float(np.mean(parts))


def multiscale_mel(decoded_N: Signal, reference_N: Signal) -> float:
    """DAC's reconstruction loss, the sum over seven scales of the mean |log10 mel magnitude| difference; 0 and up.

    Windows 32 to 2048 with hops of a quarter and 5 to 320 bands of area 1, floored at 1e-5 (Kumar et al. 2023,
    section 3.4, and the settings of its public configuration). Comparable between papers rather than readable; its
    short windows weigh transients that `mel_distance` averages away. Does not see phase.
    """
    total = 0.0
    for window, bands in DAC_BANDS.items():
        logs = []
        for x_N in (decoded_N, reference_N):
            # The published loss takes magnitudes of an unscaled transform: times the sum of the Hann window.
            magnitude_TF = np.sqrt(power_spectrogram(x_N, window, window // 4)) * (window / 2)
            logs.append(np.log10(np.maximum(magnitude_TF @ slaney_bank(window, bands), 1e-5)))
        total += float(np.abs(logs[0] - logs[1]).mean())
    return total


def log_spectral_distance(decoded_N: Signal, reference_N: Signal) -> float:
    """RMS over bins of the difference of log power spectra, averaged over frames, in dB; 0 up to about 90.

    Window 2048, hop 512, floored at -90 dB (Gray & Markel 1976). Linear bins: half of them lie above 12 kHz, so it is
    mostly about treble. Two takes of one noise stand 7.9 dB apart; below that only a waveform codec gets.
    """
    a_TF, b_TF = (_decibel(power_spectrogram(x_N, 2048, 512)) for x_N in (decoded_N, reference_N))
    return float(np.sqrt(np.square(a_TF - b_TF).mean(1)).mean())


def envelope_correlation(decoded_N: Signal, reference_N: Signal) -> float:
    """Correlation of level envelopes in dB, 10 ms apart, averaged over eight ERB-wide bands; -1 to 1.

    Bands of equal width on the ERB-rate scale, 50 Hz to 20 kHz, levels floored at -80 dB. A band counts where the
    reference moves by more than 0.5 dB; nan where none does (a steady tone has no envelope to follow). Does not see
    level, timbre within a band, or anything faster than 20 ms.
    """
    bank_FM = erb_bands(2 * TEN_MS, ENVELOPE_BANDS, 50.0, 20_000.0)
    a_TM, b_TM = (
        10 * np.log10(power_spectrogram(x_N, 2 * TEN_MS, TEN_MS) @ bank_FM + 1e-8) for x_N in (decoded_N, reference_N)
    )
    a_TM, b_TM = a_TM - a_TM.mean(0), b_TM - b_TM.mean(0)
    norm_M = np.sqrt(np.square(a_TM).sum(0) * np.square(b_TM).sum(0))
    moves_M = b_TM.std(0) > 0.5
    if not moves_M.any():
        return math.nan
    return float(((a_TM * b_TM).sum(0) / np.maximum(norm_M, 1e-9))[moves_M].mean())


def onset_times(x_N: Signal) -> NDArray[np.float64]:
    """Onsets in seconds: peaks of the log-mel rise over 20 ms that stand 3 dB above their surroundings.

    Spectral flux with peak picking (Bello et al. 2005): mean rise over 40 bands, window 1024, every 5 ms; a peak is
    the largest value within 30 ms and exceeds the mean of the 200 ms around it.
    """
    level_TM = 10 * _log_mel(x_N, 1024, ONSET_HOP, 40, floor=1e-7)
    lag, reach, around = 4, 6, 20
    padded_TM = np.concatenate([np.full((lag, level_TM.shape[1]), -70.0), level_TM])
    rise_T = np.maximum(level_TM - padded_TM[: len(level_TM)], 0).mean(1)
    near_TK, wide_TK = (np.lib.stride_tricks.sliding_window_view(np.pad(rise_T, k), 2 * k + 1) for k in (reach, around))
    peak_T = (rise_T >= near_TK.max(1)) & (rise_T > wide_TK.mean(1) + 3)
    frames = np.flatnonzero(peak_T)
    frames = frames[np.diff(frames, prepend=-reach) >= reach]  # one of a plateau
    # The rise is largest once the window's leading half has passed the onset.
    return np.maximum(frames - 1, 0) * ONSET_HOP / SAMPLE_RATE


def onset_f1(decoded_N: Signal, reference_N: Signal) -> float:
    """F1 of onsets found in the decode against those of the reference, within 50 ms; 0 to 1.

    Each onset is matched at most once, in order of time. Both without onsets agree: 1. Does not see how strong an
    onset is, and textures made of many small events (rain, gravel) have onsets that no code could carry.
    """
    found, wanted = onset_times(decoded_N), onset_times(reference_N)
    if not len(found) and not len(wanted):
        return 1.0
    hits = i = j = 0
    while i < len(found) and j < len(wanted):
        if abs(found[i] - wanted[j]) <= ONSET_TOLERANCE_S:
            hits, i, j = hits + 1, i + 1, j + 1
        elif found[i] < wanted[j]:
            i += 1
        else:
            j += 1
    return 2 * hits / (len(found) + len(wanted))


def level_error(decoded_N: Signal, reference_N: Signal) -> float:
    """|difference of RMS levels| in dB; 0 and up. Does not see when or at which frequency the energy is there."""
    a, b = (10 * np.log10(np.square(x_N, dtype=np.float64).mean() + 1e-12) for x_N in (decoded_N, reference_N))
    return float(abs(a - b))


def bandwidth_error(decoded_N: Signal, reference_N: Signal) -> float:
    """|log2 ratio| of the frequencies below which 95 % of the energy lies, in octaves; 0 and up.

    Tells a dull or a hissing decode. Follows the loudest moments only, and a sound with most of its energy in the bass
    may lose all of its treble unseen.
    """
    rolloffs = []
    for x_N in (decoded_N, reference_N):
        total_F = power_spectrogram(x_N, 4096, 1024).sum(0, dtype=np.float64)
        share_F = np.cumsum(total_F) / max(total_F.sum(), 1e-30)
        rolloffs.append(max(bin_hz(4096)[np.searchsorted(share_F, 0.95).clip(max=len(share_F) - 1)], 20.0))
    return float(abs(np.log2(rolloffs[0] / rolloffs[1])))


def si_sdr(decoded_N: Signal, reference_N: Signal) -> float:
    """Scale-invariant signal-to-distortion ratio of the waveforms in dB, higher is closer (Le Roux et al. 2019).

    Means are removed first. A decoder that makes up its phase scores -20 to -40 dB however good it sounds: report it,
    never choose by it.
    """
    a_N, b_N = (np.asarray(x_N, np.float64) - np.mean(x_N, dtype=np.float64) for x_N in (decoded_N, reference_N))
    target_N = (a_N @ b_N) / (b_N @ b_N + 1e-12) * b_N
    rest_N = a_N - target_N
    return float(10 * np.log10((target_N @ target_N + 1e-12) / (rest_N @ rest_N + 1e-12)))


def spectral_flux(x_N: Signal) -> float:
    """Mean |change| of log-mel levels from one 10 ms frame to the next, in dB; 0 for silence, 2.8 for noise."""
    level_TM = 10 * _log_mel(x_N, 2 * TEN_MS, TEN_MS, 64)
    return float(np.abs(np.diff(level_TM, axis=0)).mean()) if len(level_TM) > 1 else 0.0


def flux_difference(decoded_N: Signal, reference_N: Signal) -> float:
    """`spectral_flux` of the decode less that of the reference, in dB; 0 is right, below is smeared, above is rough.

    The only signed metric: averaging over frames too much is the fault of a regression, flutter that of a sampler
    with too few steps. Does not see whether the changes come at the right time.
    """
    return spectral_flux(decoded_N) - spectral_flux(reference_N)


def diversity(decodes: Sequence[Signal]) -> float:
    """Mean `mel_distance` over all pairs of decodes of one code with different seeds; 0 means seeds change nothing.

    Two takes of white noise stand 0.24 apart. Does not see whether a variation is a good one.

    Raises:
        ValueError: fewer than two decodes.
    """
    if len(decodes) < 2:
        raise ValueError("diversity needs at least two decodes")
    return float(np.mean([mel_distance(a_N, b_N) for a_N, b_N in itertools.combinations(decodes, 2)]))


@dataclass(frozen=True)
class Metric:
    """A metric under its name in records, tables and JSON.

    Attributes:
        title, unit: for tables.
        better: ``lower``, ``higher`` or ``zero``.
    """

    measure: Callable[[Signal, Signal], float]
    title: str
    unit: str
    better: str


METRICS: dict[str, Metric] = {
    "mel_distance": Metric(mel_distance, "mel distance", "", "lower"),
    "multiscale_mel": Metric(multiscale_mel, "multi-scale mel", "", "lower"),
    "log_spectral_distance": Metric(log_spectral_distance, "log-spectral distance", "dB", "lower"),
    "envelope_correlation": Metric(envelope_correlation, "envelope correlation", "", "higher"),
    "onset_f1": Metric(onset_f1, "onset F1", "", "higher"),
    "level_error": Metric(level_error, "level error", "dB", "lower"),
    "bandwidth_error": Metric(bandwidth_error, "bandwidth error", "octaves", "lower"),
    "flux_difference": Metric(flux_difference, "flux difference", "dB", "zero"),
    "si_sdr": Metric(si_sdr, "SI-SDR", "dB", "higher"),
}


def compare(decoded_N: Signal, reference_N: Signal) -> dict[str, float]:
    """All of `METRICS` for one pair, after `aligned`."""
    a_N, b_N = aligned(decoded_N, reference_N)
    return {name: metric.measure(a_N, b_N) for name, metric in METRICS.items()}


def _log_mel(x_N: Signal, window: int, hop: int, bands: int, floor: float = POWER_FLOOR) -> Grid:
    return np.log10(power_spectrogram(x_N, window, hop) @ mel_bank(window, bands) + np.float32(floor))


def _decibel(power_TF: Grid) -> Grid:
    return 10 * np.log10(power_TF + np.float32(POWER_FLOOR))
