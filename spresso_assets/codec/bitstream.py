"""The .spr container: one encoded sound as a few dozen bytes. No torch, no floats that decide bits.

docs/reference/spr-format.md describes the layout byte by byte; this module and those named `bitstream_*` are its only
readers and writers. A stream is canonical: every valid stream is exactly what `pack` makes of what `unpack` returns,
so equal sounds are equal bytes.

Axes: C coded channels (2 in dual mode, else 1), F latent frames, M codebooks, D latent channels.
"""

from __future__ import annotations

import zlib
from binascii import crc_hqx
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from spresso_assets.codec.bitstream_errors import corrupt, truncated, unpackable
from spresso_assets.codec.bitstream_header import (
    MAX_SECONDS,
    POOLS,
    ChannelMode,
    SprHeader,
    ceil_div,
    frame_count,
    parse_header,
    write_header,
)
from spresso_assets.codec.bitstream_payload import Payload, read_payload, write_payload
from spresso_assets.errors import SpressoError

__all__ = [
    "MAX_SECONDS",
    "POOLS",
    "ChannelMode",
    "SprHeader",
    "cut",
    "frame_count",
    "pack",
    "read_header",
    "read_side",
    "true_kbps",
    "unpack",
    "unpack_partial",
]

_SMALL = 4096  # streams up to this size carry a 16-bit check, larger ones 32 bits


def pack(header: SprHeader, payload: npt.NDArray[Any] | None = None, side: bytes = b"") -> bytes:
    """A header and its payload as .spr bytes.

    Args:
        header: see `SprHeader`; `frames` follows from its length and rate.
        payload: codes [F, M] ([2, F, M] in dual mode), or z [F, D] / [2, F, D]. None or empty if silent.
        side: the side section, `SprHeader.side_bytes` long: the stereo image in parametric mode, else empty.

    Raises:
        SpressoError: `spr_unpackable` if a value has no place in the format or the payload does not fit the header.
    """
    if header.coded:
        raise unpackable("there is no entropy coder yet")
    body = write_header(header)
    if len(side) != header.side_bytes:
        raise unpackable(f"a side section of {len(side)} bytes where the header asks for {header.side_bytes}")
    if not _padded(header, side):
        raise unpackable("the side section's padding bits are not zero")
    body += side
    if not header.silent:
        if payload is None:
            raise unpackable("a stream that is not silent needs a payload")
        body += write_payload(header, np.asarray(payload))
    elif payload is not None and np.size(payload):
        raise unpackable("a silent stream carries no payload")
    return body + _check(body)


def read_header(data: bytes) -> SprHeader:
    """Header of a stream, from its first bytes; the payload is neither needed nor checked.

    Raises:
        SpressoError: `not_spr`, `spr_version`, `spr_truncated` or `spr_corrupt`.
    """
    return parse_header(data)[0]


def read_side(data: bytes) -> bytes:
    """The side section of a stream that has arrived so far, unchecked.

    Raises:
        SpressoError: as `read_header`; `spr_truncated` if the section has not arrived in whole.
    """
    header, start = parse_header(data)
    side = data[start : start + header.side_bytes]
    if len(side) < header.side_bytes:
        raise truncated("the stream ends inside its side section")
    return side


def unpack(data: bytes) -> tuple[SprHeader, Payload]:
    """Header and payload of a complete stream, its check verified.

    Returns:
        (header, codes int32 [F, M] or z float32 [F, D]); in dual mode with a leading channel axis of 2;
        an array with F = 0 if silent.

    Raises:
        SpressoError: `not_spr`, `spr_version`, `spr_truncated` or `spr_corrupt`.
    """
    header, side_start = parse_header(data)
    start = side_start + header.side_bytes
    end = start + header.payload_bytes
    size = end + _check_size(end)
    if len(data) < size:
        raise truncated(f"the stream has {len(data)} of its {size} bytes")
    if len(data) > size:
        raise corrupt(f"{len(data) - size} bytes follow the end of the stream")
    if data[end:] != _check(data[:end]):
        raise corrupt("the check at its end does not match")
    if not _padded(header, data[side_start:start]):
        raise corrupt("its padding bits are not zero")
    return header, read_payload(header, data[start:end], 0 if header.silent else header.frames)


def unpack_partial(data: bytes) -> tuple[SprHeader, Payload]:
    """Like `unpack`, but a stream cut short gives the whole frames that arrived, unchecked (progressive loading).

    The header still tells the full length. A complete stream is verified as in `unpack`.
    """
    header, start = parse_header(data)
    start += header.side_bytes
    end = start + header.payload_bytes
    if len(data) >= end + _check_size(end):
        return unpack(data)
    arrived = max(0, min(len(data), end) - start)
    frames = 0 if header.silent else min(header.frames, arrived * 8 // header.frame_bits)
    end = start + ceil_div(frames * header.frame_bits, 8)
    return header, read_payload(header, data[start:end], frames, whole=False)


def cut(data: bytes, codebooks: int) -> bytes:
    """The same sound at a lower rate: keep the first `codebooks` codes of every frame. No network runs.

    Raises:
        SpressoError: as `unpack`; `spr_not_discrete` for a continuous stream; `spr_too_few_codebooks` if the stream
            has fewer.
    """
    header, codes = unpack(data)
    if header.codebooks is None:
        raise SpressoError(
            "a continuous stream has no codebooks to drop",
            code="spr_not_discrete",
            hint="Quantise it with `spresso codec encode` at a discrete profile",
        )
    if not 1 <= codebooks <= header.codebooks:
        raise SpressoError(
            f"{codebooks} codebooks asked of a stream that has {header.codebooks}",
            code="spr_too_few_codebooks",
            hint="Encode the source again at a higher rate",
        )
    kept = None if header.silent else codes[..., :codebooks]
    return pack(replace(header, codebooks=codebooks), kept, read_side(data))


def true_kbps(data: bytes) -> float:
    """Bit rate of the whole stream, container included, in kbit/s; 0 for a sound of no length."""
    header = read_header(data)
    return len(data) * 8 / header.duration_s / 1000 if header.samples else 0.0


def _padded(header: SprHeader, side: bytes) -> bool:
    return not side or not side[-1] & (1 << -header.side_bits % 8) - 1


def _check_size(body_size: int) -> int:
    return 2 if body_size <= _SMALL else 4


def _check(body: bytes) -> bytes:
    """CRC-16/CCITT (start 0xFFFF) of a small stream, CRC-32 of a large one, little-endian."""
    value = crc_hqx(body, 0xFFFF) if _check_size(len(body)) == 2 else zlib.crc32(body)
    return value.to_bytes(_check_size(len(body)), "little")
