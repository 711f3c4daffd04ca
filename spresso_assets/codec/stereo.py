"""Parametric stereo: one coded signal, and 144 bit/s that say where in the stereo image its bands stand.

Twice a second, each of twelve bands is one of 64 stereo positions: a level difference and a coherence in one number.
For powers l, r and correlation x of left and right, the three numbers ((l - r), 2x, the rest) / (l + r) form a point on
a unit half sphere, as the Stokes parameters do for polarised light. Its longitude is the pan angle, its latitude tells
how far left and right are alike; distance on the sphere is what a change costs the ear: coherence counts for nothing
where one channel is silent, and level differences count most where both channels are alike. So the 64 positions are
spread over the half sphere, and the nearest one is sent.

The scheme is that of parametric stereo coding (Breebaart, van de Par, Kohlrausch and Schuijers 2005): level difference
and coherence per band; decoding mixes the signal with a decorrelated copy of itself.

Axes: T frames of 100 Hz at 48 kHz, P stereo frames, B bands, F bins; 2 and 3 are (left, right) and (l, r, x).
"""

from __future__ import annotations

from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from spresso_assets.codec.bitstream_header import STEREO_BANDS, STEREO_BITS
from spresso_assets.codec.config import HOP
from spresso_assets.codec.stft import STFT

Audio = NDArray[np.float32]
Codes = NDArray[np.uint8]

WINDOW = 1920  # 40 ms: 25 Hz per bin
# One band up to 200 Hz, where level differences are hardly heard, then 3.4 ERB each (Glasberg and Moore 1990), in bins.
EDGES = (0, 8, 16, 27, 42, 65, 98, 146, 214, 313, 456, 662, WINDOW // 2 + 1)

# The 64 stereo positions. For each angle between the channels (0: alike, 90: unrelated, 180: opposed) the pan angles
# towards one side, in degrees; each but 0 also stands for the other side. 90 is hard left or hard right.
PANS = {
    0: (0, 13, 26, 39, 51, 64, 77, 90),
    20: (0, 13, 27, 42, 60),
    40: (0, 14, 29, 45, 65),
    58: (0, 14, 29, 50),
    74: (0, 14, 29, 50),
    90: (0, 14, 29, 50),
    110: (0, 17, 40),
    132: (0, 27),
    156: (0,),
    180: (0,),
}
# Code c is POSITIONS[c] = (angle between the channels, pan angle, positive: left). Code 0 is the plain centre.
POSITIONS = np.array([(a, p) for a, pans in PANS.items() for pan in pans for p in sorted({pan, -pan})], np.int16)

SILENT = 1e-7  # power of a band, as a part of its loudest frame, below which its position says nothing
OPPOSED = (-0.8, -0.5)  # correlations between which the downmix turns from L - R to L + R
CHUNK_FRAMES = 3000
MARGIN_FRAMES = 14  # a frame depends on so many neighbours: decorrelator, window and smoothing

# The decorrelator: delays in samples and gain of its all-pass sections. Power arrives within 10 ms in the median.
ALL_PASS_DELAYS = (47, 139, 311)
ALL_PASS_GAIN = 0.6
RESPONSE = 4096  # samples of it that are used: all but 3e-6 of its power
MAX_WIDE_GAIN = 4.0


# --- describing -----------------------------------------------------------------------------------------------------


def band_powers(audio_2N: Audio) -> NDArray[np.float64]:
    """48 kHz stereo, N a multiple of 480 -> powers of left and right and their correlation [3, T, B]."""
    frames = audio_2N.shape[1] // HOP
    powers_3TB = np.zeros((3, frames, STEREO_BANDS))
    for start, stop, low, high in _chunks(frames):
        left_TF, right_TF = _stft()(torch.from_numpy(np.ascontiguousarray(audio_2N[:, low * HOP : high * HOP])))
        for row, (a_TF, b_TF) in enumerate(((left_TF, left_TF), (right_TF, right_TF), (left_TF, right_TF))):
            product_TF = a_TF.real * b_TF.real + a_TF.imag * b_TF.imag
            powers_3TB[row, start:stop] = _by_band(product_TF)[start - low : stop - low]
    return powers_3TB


def describe(powers_3TB: NDArray[np.float64], stereo_frames: int, bands: int = STEREO_BANDS) -> Codes:
    """Band powers -> the nearest stereo positions [P, bands]; all zero if everything stands in the centre.

    A band that is silent keeps its last position, or takes its first one early: no image moves through a pause.
    """
    frames = powers_3TB.shape[1]
    starts_P = np.arange(stereo_frames) * frames // stereo_frames
    starts_B = np.searchsorted(_code_of_band(bands), np.arange(bands))
    left_PB, right_PB, cross_PB = np.add.reduceat(np.add.reduceat(powers_3TB, starts_P, 1), starts_B, 2)
    total_PB = left_PB + right_PB
    heard_PB = total_PB > SILENT * max(float(total_PB.max()), np.finfo(np.float64).tiny)
    scale_PB = np.where(heard_PB, total_PB, 1.0)
    balance_PB, alike_PB = (left_PB - right_PB) / scale_PB, 2 * cross_PB / scale_PB
    rest_PB = np.sqrt(np.clip(1 - balance_PB**2 - alike_PB**2, 0, 1))
    codes_PB = np.argmax(np.stack([balance_PB, alike_PB, rest_PB], -1) @ _sphere().T, -1).astype(np.uint8)
    for band, heard_P in enumerate(heard_PB.T):
        if heard_P.any():
            last_P = np.maximum.accumulate(np.where(heard_P, np.arange(stereo_frames), -1))
            codes_PB[:, band] = codes_PB[np.where(last_P < 0, np.argmax(heard_P), last_P), band]
        else:
            codes_PB[:, band] = 0
    return codes_PB


def downmix(audio_2N: Audio, powers_3TB: NDArray[np.float64]) -> Audio:
    """48 kHz stereo -> one signal with the mean power of both channels in every band, whatever their phases.

    Where the channels are opposed the right one is turned over first: a plain mean would cancel.
    """
    left_TB, right_TB, cross_TB = (_smooth(p_TB, 4) for p_TB in powers_3TB)
    geometric_TB = np.sqrt(left_TB * right_TB)
    likeness_TB = np.divide(cross_TB, geometric_TB, out=np.ones_like(cross_TB), where=geometric_TB > 0)
    sign_TB = np.clip(np.interp(likeness_TB, OPPOSED, (-1.0, 1.0)), -1, 1)
    mixed_TB = left_TB + sign_TB**2 * right_TB + 2 * sign_TB * cross_TB
    ratio_TB = np.divide(
        2 * (left_TB + right_TB), mixed_TB, out=np.ones_like(mixed_TB), where=mixed_TB > np.finfo(np.float64).tiny
    )
    gain_TB = 0.5 * np.sqrt(ratio_TB)
    weights_2TB = np.stack([gain_TB, gain_TB * sign_TB]).astype(np.float32)
    out_N = np.zeros(audio_2N.shape[1], np.float32)
    for start, stop, low, high in _chunks(audio_2N.shape[1] // HOP):
        spectra_2TF = _stft()(torch.from_numpy(np.ascontiguousarray(audio_2N[:, low * HOP : high * HOP])))
        mixed_TF = (spectra_2TF * _to_bins(weights_2TB[:, low:high])).sum(0, keepdim=True)
        out_N[start * HOP : stop * HOP] = _stft().inverse(mixed_TF)[0, (start - low) * HOP : (stop - low) * HOP]
    return out_N


# --- side section ---------------------------------------------------------------------------------------------------


def pack_codes(codes_PB: Codes) -> bytes:
    """Stereo positions as bytes: six bits each, most significant bit first, frame by frame."""
    return np.packbits(np.unpackbits(codes_PB.reshape(-1, 1), axis=1)[:, 8 - STEREO_BITS :]).tobytes()


def unpack_codes(side: bytes, stereo_frames: int, bands: int = STEREO_BANDS) -> Codes:
    """Inverse of `pack_codes`, with a code for every band: [P, B]."""
    count = stereo_frames * bands
    bits_X6 = np.unpackbits(np.frombuffer(side, np.uint8), count=count * STEREO_BITS).reshape(count, STEREO_BITS)
    codes_X = np.packbits(np.pad(bits_X6, ((0, 0), (8 - STEREO_BITS, 0))), axis=1)
    return codes_X.reshape(stereo_frames, bands)[:, _code_of_band(bands)]


# --- synthesis ------------------------------------------------------------------------------------------------------


def widen(mono_N: Audio, codes_PB: Codes) -> Audio:
    """48 kHz signal, N a multiple of 480, and its stereo positions -> [2, N].

    Left and right together have twice the power of the signal in every band. A function of its arguments alone: the
    decorrelator is fixed, and chunks do not show.
    """
    frames = len(mono_N) // HOP
    angles_TB, pans_TB = positions(codes_PB, frames)
    out_2N = np.zeros((2, len(mono_N)), np.float32)
    for start, stop, low, high in _chunks(frames):
        mono_n = torch.from_numpy(np.ascontiguousarray(mono_N[low * HOP : high * HOP]))
        direct_TF, wide_TF = _stft()(torch.stack([mono_n, decorrelate(mono_n)]))
        coefficients_22TB = _mixing(direct_TF, wide_TF, angles_TB[low:high], pans_TB[low:high])
        direct_2TF, wide_2TF = _to_bins(coefficients_22TB)
        pair_2N = _stft().inverse(direct_2TF * direct_TF + wide_2TF * wide_TF).numpy()
        out_2N[:, start * HOP : stop * HOP] = pair_2N[:, (start - low) * HOP : (stop - low) * HOP]
    return out_2N


def positions(codes_PB: Codes, frames: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Angle between the channels and pan angle, in radians, at every frame [T, B]: straight lines between the centres
    of stereo frames, so that nothing in the image jumps.
    """
    at_P = (np.arange(len(codes_PB)) + 0.5) * frames / len(codes_PB)
    at_T = np.arange(frames) + 0.5
    angles_PB2 = np.radians(POSITIONS[codes_PB])
    lines_2BT = [[np.interp(at_T, at_P, line_P) for line_P in angles_PB2[..., axis].T] for axis in (0, 1)]
    return np.array(lines_2BT[0]).T, np.array(lines_2BT[1]).T


def decorrelate(mono_N: Tensor) -> Tensor:
    """The signal through three all-pass sections (Schroeder 1962): other phases, the same spectrum."""
    size = 1 << (len(mono_N) + RESPONSE).bit_length()
    return torch.fft.irfft(torch.fft.rfft(mono_N, size) * torch.fft.rfft(_response(), size), size)[: len(mono_N)]


def _mixing(
    direct_TF: Tensor, wide_TF: Tensor, angles_TB: NDArray[np.float64], pans_TB: NDArray[np.float64]
) -> NDArray[np.float32]:
    """Weights [direct or wide, left or right, T, B] that turn a signal and its decorrelated copy into left and right.

    What the copy still shares with the signal is taken out of it, and its power follows that of the signal within
    50 ms: the coherence comes out as asked for, and nothing rings on after a knock.
    """
    power_TB = _smooth(_by_band(direct_TF.real**2 + direct_TF.imag**2), 2)
    wide_power_TB = _smooth(_by_band(wide_TF.real**2 + wide_TF.imag**2), 2)
    shared_TB = _smooth(_by_band(direct_TF.real * wide_TF.real + direct_TF.imag * wide_TF.imag), 2)
    tiny = np.finfo(np.float64).tiny
    share_TB = np.divide(shared_TB, power_TB, out=np.zeros_like(power_TB), where=power_TB > tiny)
    own_TB = wide_power_TB - share_TB * shared_TB
    ratio_TB = np.divide(power_TB, own_TB, out=np.zeros_like(own_TB), where=own_TB > 1e-9 * power_TB + tiny)
    gain_TB = np.minimum(np.sqrt(np.maximum(ratio_TB, 0)), MAX_WIDE_GAIN)

    # sqrt(1 + sin p) and sqrt(1 - sin p), in a form that is exactly zero for hard left and hard right
    left_TB, right_TB = (2**0.5 * np.sin(np.pi / 4 + sign * pans_TB / 2) for sign in (1, -1))
    alike_TB, apart_TB = np.cos(angles_TB / 2), np.sin(angles_TB / 2) * gain_TB
    direct = (left_TB * (alike_TB - apart_TB * share_TB), right_TB * (alike_TB + apart_TB * share_TB))
    wide = (left_TB * apart_TB, -right_TB * apart_TB)
    return np.array([direct, wide], np.float32)


# --- tables ---------------------------------------------------------------------------------------------------------


@cache
def _stft() -> STFT:
    return STFT(WINDOW, HOP)


@cache
def _sphere() -> NDArray[np.float64]:
    """The positions as points [64, 3] on the half sphere: balance, likeness, the rest."""
    angle_K, pan_K = np.radians(POSITIONS).T
    return np.stack([np.sin(pan_K), np.cos(pan_K) * np.cos(angle_K), np.cos(pan_K) * np.sin(angle_K)], -1)


@cache
def _response() -> Tensor:
    size = 4 * RESPONSE  # the recursion never ends; here what it would still say wraps around far below float32
    delay_F = np.exp(-2j * np.pi * np.arange(size // 2 + 1) / size)
    spectrum_F = np.ones(len(delay_F), np.complex128)
    for section, delay in enumerate(ALL_PASS_DELAYS):
        gain = ALL_PASS_GAIN * (-1) ** section
        spectrum_F *= (delay_F**delay - gain) / (1 - gain * delay_F**delay)
    return torch.from_numpy(np.fft.irfft(spectrum_F)[:RESPONSE].astype(np.float32))


def _code_of_band(bands: int) -> NDArray[np.intp]:
    """Which of ``bands`` codes each band follows [B]."""
    return np.arange(STEREO_BANDS) * bands // STEREO_BANDS


def _by_band(power_TF: Tensor) -> NDArray[np.float64]:
    return np.add.reduceat(power_TF.numpy().astype(np.float64), EDGES[:-1], -1)


def _to_bins(weights_XTB: NDArray[np.float32]) -> Tensor:
    return torch.from_numpy(np.repeat(weights_XTB, np.diff(EDGES), -1))


def _smooth(values_TB: NDArray[np.float64], reach: int) -> NDArray[np.float64]:
    """Weighted mean over time with a triangle of ``reach`` frames to either side."""
    frames = len(values_TB)
    padded_TB = np.pad(values_TB, ((reach, reach), (0, 0)))
    weights = [1 - abs(k) / (reach + 1) for k in range(-reach, reach + 1)]
    return np.sum([w * padded_TB[k : k + frames] for k, w in enumerate(weights)], 0)


def _chunks(frames: int) -> list[tuple[int, int, int, int]]:
    """(start, stop, low, high): frames to make, and frames to look at for that."""
    return [
        (s, min(frames, s + CHUNK_FRAMES), max(0, s - MARGIN_FRAMES), min(frames, s + CHUNK_FRAMES + MARGIN_FRAMES))
        for s in range(0, frames, CHUNK_FRAMES)
    ]
