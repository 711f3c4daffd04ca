"""Codes of a few bits as bytes, as .spr packs them; a stream that is not ours is told."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from spresso_assets.codec import bitstream_payload
from spresso_assets.rivals.interface import bad_stream

pack_codes = bitstream_payload.pack_codes


def unpack_codes(body: bytes, shape: tuple[int, ...], bits: int, name: str) -> npt.NDArray[np.int64]:
    """Inverse of `pack_codes`, in the shape that they had.

    Raises:
        SpressoError: ``rival_stream_bad`` if there are more or fewer bytes than that many codes take.
    """
    count = int(np.prod(shape, dtype=np.int64))
    if len(body) != -(-count * bits // 8):
        raise bad_stream(name, "it holds another length than it says")
    return bitstream_payload.unpack_codes(body, count, bits).astype(np.int64).reshape(shape)
