"""Sample-rate conversion through soxr.

`scipy.signal.resample_poly` is no substitute: its default filter leaves aliases at -15 dB just above the new Nyquist
frequency, where soxr's HQ setting leaves -137 dB.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from spresso_assets.errors import SpressoError

MIN_RATE = 2_000
MAX_RATE = 768_000

Samples = NDArray[np.float32]


def check_rate(sample_rate: int, name: str = "sound") -> None:
    """Refuse rates that only a broken header has: 1 Hz to 48 kHz would be a 48,000-fold bomb.

    Raises:
        SpressoError: `bad_sample_rate`.
    """
    if not MIN_RATE <= sample_rate <= MAX_RATE:
        raise SpressoError(
            f"{name} has a sample rate of {sample_rate} Hz, outside {MIN_RATE} to {MAX_RATE} Hz",
            code="bad_sample_rate",
            hint="Export the sound again at its true rate.",
        )


def resampled_length(frames: int, source_rate: int, target_rate: int) -> int:
    """Frames after conversion: frames * target / source, rounded half up in integers, at least 1 for a sound."""
    if frames == 0:
        return 0
    return max(1, (2 * frames * target_rate + source_rate) // (2 * source_rate))


def resample(x_CN: Samples, source_rate: int, target_rate: int, quality: str = "HQ") -> Samples:
    """Convert a whole sound.

    Args:
        x_CN: float32 [C, N].
        source_rate: hertz.
        target_rate: hertz.
        quality: soxr setting, `HQ` (-137 dB aliases) or `VHQ`.

    Returns:
        float32 [C, resampled_length(N, source_rate, target_rate)]; the input itself when the rates agree.

    Raises:
        SpressoError: `bad_sample_rate`.
    """
    check_rate(source_rate)
    check_rate(target_rate)
    if source_rate == target_rate:
        return x_CN
    import soxr

    wanted = resampled_length(x_CN.shape[1], source_rate, target_rate)
    y_NC = soxr.resample(np.ascontiguousarray(x_CN.T), source_rate, target_rate, quality=quality)
    return _fit(y_NC.T, wanted)


def _fit(y_CN: Samples, frames: int) -> Samples:
    """Cut or zero-pad the end: soxr may round its length the other way by one frame."""
    y_CN = y_CN[:, :frames]
    if y_CN.shape[1] < frames:
        y_CN = np.pad(y_CN, ((0, 0), (0, frames - y_CN.shape[1])))
    return np.ascontiguousarray(y_CN, dtype=np.float32)


def resample_blocks(
    blocks: Iterable[Samples], channels: int, source_rate: int, target_rate: int, quality: str = "HQ"
) -> Iterator[Samples]:
    """Convert a stream of blocks [C, n] without ever holding the whole sound.

    The pieces joined are the conversion of the joined input, cut or padded to `resampled_length` in total.

    Raises:
        SpressoError: `bad_sample_rate`.
    """
    check_rate(source_rate)
    check_rate(target_rate)
    if source_rate == target_rate:
        yield from blocks
        return
    import soxr

    stream = soxr.ResampleStream(source_rate, target_rate, channels, dtype="float32", quality=quality)
    taken = given = 0

    def emit(y_NC: Samples, limit: int | None) -> Samples:
        piece = y_NC.T if limit is None else y_NC.T[:, : max(0, limit - given)]
        return np.ascontiguousarray(piece, dtype=np.float32)

    for x_CN in blocks:
        taken += x_CN.shape[1]
        piece = emit(stream.resample_chunk(np.ascontiguousarray(x_CN.T)), None)
        given += piece.shape[1]
        if piece.shape[1]:
            yield piece
    wanted = resampled_length(taken, source_rate, target_rate)
    tail = emit(stream.resample_chunk(np.zeros((0, channels), np.float32), last=True), wanted)
    given += tail.shape[1]
    if given < wanted:
        tail = np.pad(tail, ((0, 0), (0, wanted - given)))
    if tail.shape[1]:
        yield tail
