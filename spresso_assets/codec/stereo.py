"""Parametric stereo: 144 bit/s that say where in the stereo image the bands of one coded signal stand.

Twice a second, each of twelve bands is given one of 64 stereo positions: a level difference and a coherence in one
number. For powers l, r and correlation x of left and right, the three numbers (l - r, 2x, the rest) / (l + r) form a
point on a unit half sphere, as the Stokes parameters do for polarised light. Its longitude is the pan angle, its
latitude tells how far left and right are alike. Distance on the sphere is what a change costs the ear: coherence counts
for nothing where one channel is silent, and level differences count most where both channels are alike. So the 64
positions are spread over the half sphere, and the nearest one is sent.

The scheme is that of parametric stereo coding (Breebaart, van de Par, Kohlrausch and Schuijers 2005): level difference
and coherence per band; decoding mixes the signal with a decorrelated copy of itself, see `stereo_filter`.

Axes: T frames of 100 Hz at 48 kHz, P stereo frames, B bands; 3 is (l, r, x).
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from spresso_assets.codec.bitstream_header import STEREO_BANDS, STEREO_BITS

Codes = NDArray[np.uint8]
Powers = NDArray[np.float64]

STRETCH = 50  # frames that one description stands for: half a second; the last one stands for what follows, too
SILENT = 1e-7  # power of a band, as a part of the loudest in the sound, below which its position says nothing

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


def describe(powers_3SB: Powers, stereo_frames: int, bands: int = STEREO_BANDS) -> Codes:
    """Band powers of stretches -> the nearest stereo positions [P, bands]; all zero if everything stands in the centre.

    Stretches beyond the last stereo frame are added to it. A band that is silent keeps its last position, or takes its
    first one early: no image moves through a pause.
    """
    powers_3PB = np.add.reduceat(powers_3SB, np.arange(stereo_frames), 1)
    starts_B = np.searchsorted(_code_of_band(bands), np.arange(bands))
    left_PB, right_PB, cross_PB = np.add.reduceat(powers_3PB, starts_B, 2)
    total_PB = left_PB + right_PB
    heard_PB = total_PB > max(SILENT * float(total_PB.max()), np.finfo(np.float64).tiny)
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


def positions(codes_PB: Codes, start: int, stop: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Angle between the channels and pan angle, in radians, at frames ``start`` .. ``stop`` [T, B].

    They move in straight lines between the middles of the stretches, so that nothing in the image jumps.
    """
    at_P = (np.arange(len(codes_PB)) + 0.5) * STRETCH
    at_T = np.arange(start, stop) + 0.5
    angles_PB, pans_PB = np.moveaxis(np.radians(POSITIONS[codes_PB]), -1, 0)
    lines = [[np.interp(at_T, at_P, line_P) for line_P in lines_PB.T] for lines_PB in (angles_PB, pans_PB)]
    return np.array(lines[0]).T, np.array(lines[1]).T


def pack_codes(codes_PB: Codes) -> bytes:
    """Stereo positions as bytes: six bits each, most significant bit first, frame by frame."""
    return np.packbits(np.unpackbits(codes_PB.reshape(-1, 1), axis=1)[:, 8 - STEREO_BITS :]).tobytes()


def unpack_codes(side: bytes, stereo_frames: int, bands: int = STEREO_BANDS) -> Codes:
    """Inverse of `pack_codes`, with a code for every band: [P, B]."""
    count = stereo_frames * bands
    bits_X6 = np.unpackbits(np.frombuffer(side, np.uint8), count=count * STEREO_BITS).reshape(count, STEREO_BITS)
    codes_X = np.packbits(np.pad(bits_X6, ((0, 0), (8 - STEREO_BITS, 0))), axis=1)
    return codes_X.reshape(stereo_frames, bands)[:, _code_of_band(bands)]


@cache
def _sphere() -> NDArray[np.float64]:
    """The positions as points [64, 3] on the half sphere: balance, likeness, the rest."""
    angle_K, pan_K = np.radians(POSITIONS).T
    return np.stack([np.sin(pan_K), np.cos(pan_K) * np.cos(angle_K), np.cos(pan_K) * np.sin(angle_K)], -1)


def _code_of_band(bands: int) -> NDArray[np.intp]:
    """Which of ``bands`` codes each band follows [B]."""
    return np.arange(STEREO_BANDS) * bands // STEREO_BANDS
