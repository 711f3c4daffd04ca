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

from spresso_assets.codec.bitstream_blocks import EntropyModel, damage, read_blocks, read_first_blocks, write_blocks
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
from spresso_assets.codec.bitstream_payload import Payload, by_channel, by_frame, read_plain, write_plain
from spresso_assets.errors import SpressoError

__all__ = [
    "MAX_SECONDS",
    "POOLS",
    "ChannelMode",
    "EntropyModel",
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


def pack(
    header: SprHeader,
    payload: npt.NDArray[Any] | None = None,
    side: bytes = b"",
    model: EntropyModel | None = None,
) -> bytes:
    """A header and its payload as .spr bytes.

    Args:
        header: see `SprHeader`; `frames` follows from its length and rate.
        payload: codes [F, M] ([2, F, M] in dual mode), or z [F, D] / [2, F, D]. None or empty if silent.
        side: the side section, `SprHeader.side_bytes` long: the stereo image in parametric mode, else empty.
        model: tables of the model that made the codes; they are then entropy-coded, where that makes them smaller.

    Raises:
        SpressoError: `spr_unpackable` if a value has no place in the format or the payload does not fit the header.
    """
    header = replace(header, coded=False)
    plain_header = write_header(header)
    if len(side) != header.side_bytes:
        raise unpackable(f"a side section of {len(side)} bytes where the header asks for {header.side_bytes}")
    if not is_padded(header, side):
        raise unpackable("the side section's padding bits are not zero")
    if header.silent:
        if payload is not None and np.size(payload):
            raise unpackable("a silent stream carries no payload")
        return checked(plain_header)
    if payload is None:
        raise unpackable("a stream that is not silent needs a payload")
    values_FCX = by_frame(header, np.asarray(payload))
    coded = write_blocks(header, values_FCX, model)
    if coded is not None and len(coded) < header.payload_bytes:
        return checked(write_header(replace(header, coded=True)) + side + coded)
    return checked(plain_header + side + write_plain(header, values_FCX))


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


def unpack(data: bytes, model: EntropyModel | None = None) -> tuple[SprHeader, Payload]:
    """Header and payload of a complete stream, its check verified.

    Args:
        data: the stream.
        model: tables of the model that made it; only a coded stream needs them.

    Returns:
        (header, codes int32 [F, M] or z float32 [F, D]); in dual mode with a leading channel axis of 2;
        an array with F = 0 if silent.

    Raises:
        SpressoError: `not_spr`, `spr_version`, `spr_truncated` or `spr_corrupt`; `spr_needs_model` if the codes are
            entropy-coded with tables that are not at hand.
    """
    header, side_start = parse_header(data)
    start = side_start + header.side_bytes
    if header.coded:
        end = end_of_codes(data)
    else:
        end = start + header.payload_bytes
        size = end + _check_size(end)
        if len(data) < size:
            raise truncated(f"the stream has {len(data)} of its {size} bytes")
        if len(data) > size:
            raise corrupt(f"{len(data) - size} bytes follow the end of the stream")
    if end < start:
        raise truncated("the stream ends before its codes")
    if not is_whole(data, end):
        raise damage(header, data[start:end]) if header.coded else corrupt("the check at its end does not match")
    if not is_padded(header, data[side_start:start]):
        raise corrupt("its padding bits are not zero")
    if not header.coded:
        return header, by_channel(read_plain(header, data[start:end], 0 if header.silent else header.frames))
    if end - start >= header.payload_bytes:
        raise corrupt("its codes take more room than they would take uncoded")
    return header, by_channel(read_blocks(header, data[start:end], model))


def unpack_partial(data: bytes, model: EntropyModel | None = None) -> tuple[SprHeader, Payload]:
    """Like `unpack`, but a stream cut short gives the whole frames that arrived, unchecked (progressive loading).

    The header still tells the full length. A complete stream is verified as in `unpack`. Coded frames need not end on
    a byte: a frame counts as arrived when what is missing cannot change it any more.
    """
    header, start = parse_header(data)
    start += header.side_bytes
    if header.coded:
        try:
            return unpack(data, model)
        except SpressoError as error:
            if error.code not in ("spr_corrupt", "spr_truncated"):
                raise
        # Where the codes end is known only when all is there: the last bytes may belong to the check.
        return header, by_channel(read_first_blocks(header, data[start : max(start, len(data) - 3)], model))
    end = start + header.payload_bytes
    if len(data) >= end + _check_size(end):
        return unpack(data)
    arrived = max(0, min(len(data), end) - start)
    frames = 0 if header.silent else min(header.frames, arrived * 8 // header.frame_bits)
    end = start + ceil_div(frames * header.frame_bits, 8)
    return header, by_channel(read_plain(header, data[start:end], frames, whole=False))


def cut(data: bytes, codebooks: int, model: EntropyModel | None = None) -> bytes:
    """The same sound at a lower rate: keep the first `codebooks` codes of every frame. No network runs.

    `model` holds the tables of the model that made the stream; without them a plain stream stays plain.

    Raises:
        SpressoError: as `unpack`; `spr_not_discrete` for a continuous stream; `spr_too_few_codebooks` if the stream
            has fewer.
    """
    header, codes = unpack(data, model)
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
    return pack(replace(header, codebooks=codebooks), kept, read_side(data), model)


def true_kbps(data: bytes) -> float:
    """Bit rate of the whole stream, container included, in kbit/s; 0 for a sound of no length."""
    header = read_header(data)
    return len(data) * 8 / header.duration_s / 1000 if header.samples else 0.0


def end_of_codes(data: bytes) -> int:
    """Where the codes of an entropy-coded stream end and its check begins."""
    return len(data) - (2 if len(data) <= _SMALL + 2 else 4)  # the only sizes that `_check_size` can lead to


def is_whole(data: bytes, end: int) -> bool:
    """Whether the check behind ``end`` bytes is theirs."""
    return data[end:] == _check(data[:end])


def is_padded(header: SprHeader, side: bytes) -> bool:
    """Whether the bits that fill up a side section are zero."""
    return not side or not side[-1] & (1 << -header.side_bits % 8) - 1


def checked(body: bytes) -> bytes:
    """A stream's body with its check behind it."""
    return body + _check(body)


def _check_size(body_size: int) -> int:
    return 2 if body_size <= _SMALL else 4


def _check(body: bytes) -> bytes:
    """CRC-16/CCITT (start 0xFFFF) of a small stream, CRC-32 of a large one, little-endian."""
    value = crc_hqx(body, 0xFFFF) if _check_size(len(body)) == 2 else zlib.crc32(body)
    return value.to_bytes(_check_size(len(body)), "little")
