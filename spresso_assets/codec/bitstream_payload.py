"""The payload of an .spr stream: codes packed without gaps, or latents as 16-bit floats.

Axes: F latent frames, M codebooks, D latent channels, X values of a frame over all coded channels.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from spresso_assets.codec.bitstream_errors import corrupt, unpackable
from spresso_assets.codec.bitstream_header import SprHeader

Payload = npt.NDArray[np.int32] | npt.NDArray[np.float32]

_BLOCK = 8 * 512  # frames packed at once; a multiple of 8 frames always ends on a byte


def write_payload(header: SprHeader, payload: npt.NDArray[Any]) -> bytes:
    """Codes [F, M] / [2, F, M] or z as bytes. Raises SpressoError `spr_unpackable` if they do not fit the header."""
    per_frame = header.dim if header.codebooks is None else header.codebooks
    shape: tuple[int | None, ...] = (header.frames, per_frame)
    if header.channel_mode == "dual":
        shape = (2, *shape)
    if payload.shape != shape:
        raise unpackable(f"a payload of shape {payload.shape} does not fit the header, which asks for {shape}")
    if payload.ndim == 3:
        payload = payload.transpose(1, 0, 2)  # frame by frame, so that a prefix of the stream is a prefix of the sound
    values_FX = payload.reshape(payload.shape[0], math.prod(payload.shape[1:]))
    if header.codebooks is None or header.bits is None:
        with np.errstate(over="ignore"):
            halves = values_FX.astype("<f2")
        if not np.isfinite(halves).all():
            raise unpackable("z has values that are not finite in 16 bits")
        return halves.tobytes()
    if not np.issubdtype(values_FX.dtype, np.integer):
        raise unpackable(f"codes must be integers, got {values_FX.dtype}")
    if values_FX.size and not 0 <= int(values_FX.min()) <= int(values_FX.max()) < 1 << header.bits:
        raise unpackable(f"codes reach outside 0..{(1 << header.bits) - 1}")
    blocks = (values_FX[at : at + _BLOCK] for at in range(0, len(values_FX), _BLOCK))
    return b"".join(_pack_codes(block, header.bits) for block in blocks)


def read_payload(header: SprHeader, data: bytes, frames: int, whole: bool = True) -> Payload:
    """The first `frames` frames back from their bytes; `whole`: these are all, so padding must be zero."""
    channels = header.coded_channels
    per_frame = (header.dim or 0) if header.codebooks is None else header.codebooks
    values: npt.NDArray[Any]
    if header.codebooks is None or header.bits is None:
        values = np.frombuffer(data, "<f2").astype(np.float32)
        if not np.isfinite(values).all():
            raise corrupt("its latents are not finite")
    else:
        values = np.empty((frames, channels * per_frame), np.int32)
        step = _BLOCK * header.frame_bits // 8
        for block, at in enumerate(range(0, len(data), step)):
            rows = values[block * _BLOCK : (block + 1) * _BLOCK]
            rows[:] = _unpack_codes(data[at : at + step], rows.size, header.bits).reshape(rows.shape)
        spare = -frames * header.frame_bits % 8
        if whole and spare and data[-1] & ((1 << spare) - 1):
            raise corrupt("its padding bits are not zero")
    values_FCX = values.reshape(frames, channels, per_frame)
    return np.ascontiguousarray(values_FCX.transpose(1, 0, 2)) if channels == 2 else values_FCX[:, 0]


def _pack_codes(codes: npt.NDArray[Any], bits: int) -> bytes:
    """Codes one after the other, most significant bit first; the last byte is filled up with zeros."""
    two_bytes = codes.reshape(-1, 1).astype(">u2").view(np.uint8)
    return np.packbits(np.unpackbits(two_bytes, axis=1)[:, 16 - bits :]).tobytes()


def _unpack_codes(data: bytes, count: int, bits: int) -> npt.NDArray[np.uint16]:
    planes = np.zeros((count, 16), np.uint8)
    planes[:, 16 - bits :] = np.unpackbits(np.frombuffer(data, np.uint8), count=count * bits).reshape(count, bits)
    return np.packbits(planes, axis=1).view(">u2")[:, 0]
