"""Whether a FLAC file is whole: its last frame must pass its checksum and end at the declared length (RFC 9639)."""

from __future__ import annotations

import os
from typing import BinaryIO


def _table(polynomial: int, bits: int) -> list[int]:
    top, mask = 1 << (bits - 1), (1 << bits) - 1
    rows = []
    for byte in range(256):
        value = byte << (bits - 8)
        for _ in range(8):
            value = ((value << 1) ^ polynomial if value & top else value << 1) & mask
        rows.append(value)
    return rows


HEAD_BYTES = 42  # the mark, a block header and STREAMINFO
_LONGEST_SEARCH = 131_072

_CRC8, _CRC16 = _table(0x07, 8), _table(0x8005, 16)


def crc8(data: bytes) -> int:
    """Checksum of a frame header."""
    value = 0
    for byte in data:
        value = _CRC8[value ^ byte]
    return value


def crc16(data: bytes) -> int:
    """Checksum of a whole frame; zero when run over a frame with its own checksum."""
    value = 0
    for byte in data:
        value = ((value << 8) & 0xFFFF) ^ _CRC16[(value >> 8) ^ byte]
    return value


def declared_frames(file: BinaryIO) -> int | None:
    """Samples per channel by STREAMINFO: 0 when the encoder did not know, None when there is no such block."""
    file.seek(4)
    head = file.read(38)
    if len(head) < 38 or head[0] & 0x7F != 0:
        return None
    return int.from_bytes(head[17:22], "big") & 0xF_FFFF_FFFF


def check_flac(file: BinaryIO) -> str | None:
    """One line on what is missing, or None for a whole file."""
    total = declared_frames(file)
    if total is None:
        return "the FLAC header is cut"
    ends_at = last_sample(file)
    if ends_at is None:
        return "the last FLAC frame is cut or damaged"
    if total and ends_at < total:
        return f"the FLAC header declares {total} samples, the last frame ends at {ends_at}"
    return None


def last_sample(file: BinaryIO) -> int | None:
    """The sample at which the last frame ends, None unless that frame passes its checksum.

    Reads the last 128 KiB, or 4 MiB where frames are huge.
    """
    end = file.seek(0, os.SEEK_END)
    file.seek(-min(128, end), os.SEEK_END)
    if file.read(3) == b"TAG":  # ID3v1, which some taggers hang behind any file
        end -= 128
    block_size = _largest_block(file)
    for reach in (1 << 17, 1 << 22):
        start = max(0, end - reach)
        file.seek(start)
        tail = file.read(end - start)
        at = tail.rfind(b"\xff")
        while at >= 0:
            ends_at = _frame_end(tail, at, block_size)
            # A sync code inside a frame can look like a header: the checksum over the whole frame tells.
            if ends_at is not None and crc16(tail[at:]) == 0:
                return ends_at
            if ends_at is not None and len(tail) - at > _LONGEST_SEARCH:
                return None
            at = tail.rfind(b"\xff", 0, at)
        if start == 0:
            break
    return None


def with_length(file: BinaryIO, frames: int) -> bytes:
    """The head of the file up to the end of STREAMINFO, with the number of samples filled in."""
    file.seek(0)
    head = bytearray(file.read(HEAD_BYTES))
    head[21] = head[21] & 0xF0 | frames >> 32 & 0x0F
    head[22:26] = (frames & 0xFFFFFFFF).to_bytes(4, "big")
    return bytes(head)


def _largest_block(file: BinaryIO) -> int:
    file.seek(8)
    return int.from_bytes(file.read(4)[2:4], "big")


_BLOCK_SIZES = {1: 192, **{k: 576 << (k - 2) for k in range(2, 6)}, **{k: 256 << (k - 8) for k in range(8, 16)}}


def _frame_end(data: bytes, at: int, block_size: int) -> int | None:
    """If a frame header with a right checksum stands at `at`: the sample at which its frame ends."""
    head = data[at : at + 16]
    if len(head) < 6 or head[0] != 0xFF or head[1] & 0xFE != 0xF8 or head[3] & 1:
        return None
    variable = bool(head[1] & 1)
    size_code, rate_code = head[2] >> 4, head[2] & 0x0F
    number, position = _coded_number(head, 4)
    if number is None or size_code == 0 or rate_code == 15:
        return None
    frames = _BLOCK_SIZES.get(size_code, 0)
    if size_code in (6, 7):
        width = size_code - 5
        frames = int.from_bytes(head[position : position + width], "big") + 1
        position += width
    position += {12: 1, 13: 2, 14: 2}.get(rate_code, 0)
    if position >= len(head) or crc8(head[:position]) != head[position]:
        return None
    return number + frames if variable else number * block_size + frames


def _coded_number(head: bytes, at: int) -> tuple[int | None, int]:
    """A frame or sample number in the UTF-8-like code of FLAC, and the position behind it."""
    first = head[at]
    if first < 0x80:
        return first, at + 1
    ones = 8 - (first ^ 0xFF).bit_length()
    if not 2 <= ones <= 7 or at + ones > len(head):
        return None, at
    value = first & (0x7F >> ones)
    for byte in head[at + 1 : at + ones]:
        if byte & 0xC0 != 0x80:
            return None, at
        value = (value << 6) | (byte & 0x3F)
    return value, at + ones
