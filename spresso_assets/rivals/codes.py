"""Codes of a few bits as bytes, without gaps; the last byte is filled up with zeros."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from spresso_assets.rivals.interface import bad_stream


def pack_codes(codes: npt.NDArray[np.integer], bits: int) -> bytes:
    """Codes of any shape, most significant bit first."""
    planes = (codes.reshape(-1, 1) >> np.arange(bits - 1, -1, -1)) & 1
    return np.packbits(planes.astype(np.uint8).reshape(-1)).tobytes()


def unpack_codes(body: bytes, shape: tuple[int, ...], bits: int, name: str) -> npt.NDArray[np.int64]:
    """Inverse of `pack_codes`.

    Raises:
        SpressoError: ``rival_stream_bad`` if there are more or fewer bytes than that many codes take.
    """
    count = int(np.prod(shape, dtype=np.int64))
    if len(body) != -(-count * bits // 8):
        raise bad_stream(name, "it holds another length than it says")
    planes = np.unpackbits(np.frombuffer(body, np.uint8), count=count * bits).reshape(count, bits)
    weights = 1 << np.arange(bits - 1, -1, -1)
    return (planes.astype(np.int64) @ weights).reshape(shape)
