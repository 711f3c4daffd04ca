"""The payload of an .spr stream: codes packed without gaps, or latents as 16-bit floats.

Axes: F latent frames, C coded channels, X values of a frame
and channel: codes (M) or latent channels (D).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from spresso_assets.codec.bitstream_errors import corrupt, unpackable
from spresso_assets.codec.bitstream_header import SprHeader

Payload = npt.NDArray[np.int32] | npt.NDArray[np.float32]

_BLOCK = 8 * 512  # frames packed at once; a multiple of 8 frames always ends on a byte


def by_frame(header: SprHeader, payload: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Codes or z in the order of a stream, [F, C, X], so that a prefix of the stream is a prefix of the sound.

    Codes come back as integers, z as little-endian float16.

    Raises:
        SpressoError: `spr_unpackable` if they do not fit the header.
    """
    per_frame = header.dim if header.codebooks is None else header.codebooks
    shape: tuple[int | None, ...] = (header.frames, per_frame)
    if header.channel_mode == "dual":
        shape = (2, *shape)
    if payload.shape != shape:
        raise unpackable(f"a payload of shape {payload.shape} does not fit the header, which asks for {shape}")
    values_FCX = payload.transpose(1, 0, 2) if payload.ndim == 3 else payload[:, None]
    if header.codebooks is None or header.bits is None:
        with np.errstate(over="ignore"):
            values_FCX = values_FCX.astype("<f2")
        if not np.isfinite(values_FCX).all():
            raise unpackable("z has values that are not finite in 16 bits")
    elif not np.issubdtype(values_FCX.dtype, np.integer):
        raise unpackable(f"codes must be integers, got {values_FCX.dtype}")
    elif values_FCX.size and not 0 <= int(values_FCX.min()) <= int(values_FCX.max()) < 1 << header.bits:
        raise unpackable(f"codes reach outside 0..{(1 << header.bits) - 1}")
    return values_FCX


def by_channel(values_FCX: npt.NDArray[Any]) -> Payload:
    """Inverse of `by_frame`: [F, X] of one channel, [2, F, X] of two."""
    channels = values_FCX.shape[1]
    return np.ascontiguousarray(values_FCX.transpose(1, 0, 2)) if channels == 2 else values_FCX[:, 0]


def write_plain(header: SprHeader, values_FCX: npt.NDArray[Any]) -> bytes:
    """What `by_frame` gives, as bytes."""
    if header.bits is None:
        return values_FCX.tobytes()
    blocks = (values_FCX[at : at + _BLOCK] for at in range(0, len(values_FCX), _BLOCK))
    return b"".join(pack_codes(block, header.bits) for block in blocks)


def read_plain(header: SprHeader, data: bytes, frames: int, whole: bool = True) -> npt.NDArray[Any]:
    """The first `frames` frames [F, C, X] back from their bytes; `whole`: these are all, so padding must be zero."""
    shape = (frames, header.coded_channels, header.codebooks or header.dim or 0)
    values: npt.NDArray[Any]
    if header.bits is None:
        values = np.frombuffer(data, "<f2").astype(np.float32)
        if not np.isfinite(values).all():
            raise corrupt("its latents are not finite")
        return values.reshape(shape)
    values = np.empty(shape, np.int32)
    step = _BLOCK * header.frame_bits // 8
    for block, at in enumerate(range(0, len(data), step)):
        rows = values[block * _BLOCK : (block + 1) * _BLOCK]
        rows[:] = unpack_codes(data[at : at + step], rows.size, header.bits).reshape(rows.shape)
    spare = -frames * header.frame_bits % 8
    if whole and spare and data[-1] & ((1 << spare) - 1):
        raise corrupt("its padding bits are not zero")
    return values


def pack_codes(codes: npt.NDArray[Any], bits: int) -> bytes:
    """Codes of up to 16 bits one after the other, most significant bit first; the last byte is filled up with zeros."""
    two_bytes = codes.reshape(-1, 1).astype(">u2").view(np.uint8)
    return np.packbits(np.unpackbits(two_bytes, axis=1)[:, 16 - bits :]).tobytes()


def unpack_codes(data: bytes, count: int, bits: int) -> npt.NDArray[np.uint16]:
    """Inverse of `pack_codes`: the first ``count`` codes."""
    planes = np.zeros((count, 16), np.uint8)
    planes[:, 16 - bits :] = np.unpackbits(np.frombuffer(data, np.uint8), count=count * bits).reshape(count, bits)
    return np.packbits(planes, axis=1).view(">u2")[:, 0]
