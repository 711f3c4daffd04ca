"""MPEG audio: where its frames begin between tags and junk, and whether any are missing.

libsndfile counts tags as sound when it guesses a length, and fails on padding behind a tag. So it is handed only the
span of the file that holds frames. Source of the header layout: ISO 11172-3 and 13818-3.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from typing import BinaryIO

_PIECE = 1 << 20
_SEARCH = 1 << 18
_FRAMES_IN_A_ROW = 3

# kbit/s by (MPEG-1?, layer); index 0 is "free format", which no sound library uses.
_RATES = {
    (True, 1): (0, 32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (True, 2): (0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (True, 3): (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (False, 1): (0, 32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (False, 2): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (False, 3): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_HERTZ = {3: (44_100, 48_000, 32_000), 2: (22_050, 24_000, 16_000), 0: (11_025, 12_000, 8_000)}


def frame_length(head: bytes) -> int:
    """Bytes of the frame that four header bytes announce; 0 when they are no frame header."""
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE0 != 0xE0:
        return 0
    version, layer = head[1] >> 3 & 3, 4 - (head[1] >> 1 & 3)
    rate_index, hertz_index, padding = head[2] >> 4, head[2] >> 2 & 3, head[2] >> 1 & 1
    if version == 1 or layer == 4 or rate_index in (0, 15) or hertz_index == 3:
        return 0
    bits_per_second = 1000 * _RATES[version == 3, layer][rate_index]
    hertz = _HERTZ[version][hertz_index]
    if layer == 1:
        return (12 * bits_per_second // hertz + padding) * 4
    samples = 72 if layer == 3 and version != 3 else 144
    return samples * bits_per_second // hertz + padding


def _first_frame(data: bytes) -> int | None:
    """Offset of the first header that further headers of the same kind follow at the right distance."""
    at = data.find(b"\xff")
    while at >= 0:
        position, seen = at, 0
        while seen < _FRAMES_IN_A_ROW and (length := frame_length(data[position : position + 4])):
            if data[position + 1] != data[at + 1] or (data[position + 2] ^ data[at + 2]) & 0x0C:
                break
            position, seen = position + length, seen + 1
            if position >= len(data) and seen:
                seen = _FRAMES_IN_A_ROW  # a sound of one or two frames: nothing contradicts it
        if seen >= _FRAMES_IN_A_ROW:
            return at
        at = data.find(b"\xff", at + 1)
    return None


def sound_span(file: BinaryIO) -> tuple[int, int] | None:
    """First and last-plus-one byte of the frames, without ID3v2 in front and ID3v1, APEv2 behind.

    None when no frames are found near the beginning: the file is no MPEG audio.
    """
    end = file.seek(0, os.SEEK_END)
    start = 0
    while start + 10 <= end:
        file.seek(start)
        head = file.read(10)
        if head[:3] != b"ID3" or any(byte & 0x80 for byte in head[6:10]):
            break
        size = head[6] << 21 | head[7] << 14 | head[8] << 7 | head[9]
        start += 10 + size + (10 if head[5] & 0x10 else 0)
    end = _before_tags(file, min(start, end), end)
    file.seek(min(start, end))
    offset = _first_frame(file.read(min(_SEARCH, max(0, end - start))))
    return None if offset is None else (start + offset, end)


def _before_tags(file: BinaryIO, start: int, end: int) -> int:
    if end - start >= 128:
        file.seek(end - 128)
        if file.read(3) == b"TAG":
            end -= 128
    if end - start >= 32:
        file.seek(end - 32)
        foot = file.read(32)
        if foot[:8] == b"APETAGEX":
            size, _, flags = struct.unpack("<III", foot[12:24])
            size += 32 if flags & 0x8000_0000 else 0
            if size <= end - start:
                end -= size
    return end


def sound_bytes(file: BinaryIO) -> Iterator[bytes]:
    """The bytes of `sound_span` in pieces: what stays the same when a file is retagged. The whole file if none."""
    start, end = sound_span(file) or (0, file.seek(0, os.SEEK_END))
    file.seek(start)
    while start < end:
        piece = file.read(min(_PIECE, end - start))
        if not piece:
            return
        start += len(piece)
        yield piece


def _length_mark(head: bytes) -> tuple[bool, int | None]:
    """Whether a first frame carries a Xing, Info or VBRI header that counts frames, and the bytes it declares."""
    for mark in (b"Xing", b"Info"):
        at = head.find(mark)
        if at >= 0 and at + 16 <= len(head):
            flags = struct.unpack(">I", head[at + 4 : at + 8])[0]
            where = at + 8 + (4 if flags & 1 else 0)
            return bool(flags & 1), struct.unpack(">I", head[where : where + 4])[0] if flags & 2 else None
    at = head.find(b"VBRI")
    if at >= 0 and at + 18 <= len(head):
        return True, struct.unpack(">I", head[at + 10 : at + 14])[0]
    return False, None


def counts_frames(file: BinaryIO, span: tuple[int, int]) -> bool:
    """Whether the file says how many frames it has; if not, any length is a guess."""
    file.seek(span[0])
    return _length_mark(file.read(2048))[0]


def length_frame(file: BinaryIO, span: tuple[int, int]) -> bytes:
    """A Xing frame that counts the frames of a layer III file which has none; empty for other layers.

    Put in front of the span it tells the decoder the true length. Without it libsndfile multiplies the bit rate of the
    first frame by the size of the file, and of a variable-rate sound that begins loudly most is never read.
    """
    file.seek(span[0])
    head = file.read(4)
    if 4 - (head[1] >> 1 & 3) != 3:
        return b""
    count = _count_frames(file, span)
    mpeg1, mono = head[1] >> 3 & 3 == 3, head[3] >> 6 == 3
    side_info = (17 if mono else 32) if mpeg1 else (9 if mono else 17)
    body = bytes(side_info) + b"Xing" + struct.pack(">II", 1, count)
    for rate_index in range(1, 15):
        new = bytes((0xFF, head[1] | 1, rate_index << 4 | head[2] & 0x0C, head[3]))
        if (length := frame_length(new)) >= 4 + len(body):
            return (new + body).ljust(length, b"\0")
    return b""


def _count_frames(file: BinaryIO, span: tuple[int, int]) -> int:
    """Walk from header to header; junk in between is skipped as a decoder would."""
    position, end = span
    count = 0
    at, window = position, b""
    while position + 4 <= end:
        if position + 4 > at + len(window):
            file.seek(position)
            at, window = position, file.read(min(_PIECE, end - position))
            if len(window) < 4:
                break
        length = frame_length(window[position - at : position - at + 4])
        if length:
            position, count = position + length, count + 1
            continue
        file.seek(position)
        offset = _first_frame(file.read(min(_SEARCH, end - position)))
        if offset is None:
            break
        position += max(offset, 1)
    return count


def check_mpeg(file: BinaryIO) -> str | None:
    """One line if fewer bytes are there than the Xing, Info or VBRI header declares; None if all are or none does."""
    span = sound_span(file)
    if span is None:
        return None  # not MPEG audio after all: the decoder will say what it is
    file.seek(span[0])
    declared = _length_mark(file.read(2048))[1]
    present = span[1] - span[0]
    # Encoders disagree on whether the header frame itself counts; one frame is at most 2,881 bytes.
    if declared is not None and present + 2_881 < declared:
        return f"the MP3 header declares {declared} bytes but {present} are there"
    return None
