"""Ogg files taken apart: Opus without its container, and a container again for the decoder.

At 6 kbit/s pages and their headers would take a fifth of the rate, which says nothing about Opus (RFC 6716, RFC 7845).
"""

from __future__ import annotations

import io
import struct

from spresso_assets.audio.ogg import PAGE_HEADER, read_pages
from spresso_assets.rivals.interface import bad_stream

NAME = "opus"
_BEGIN, _END = 0x02, 0x04
_SERIAL = 1
_MAX_LACES = 255


def packets_of(file: bytes) -> tuple[list[bytes], int]:
    """Sound packets of an Ogg Opus file, and its pre-skip: samples at its start that are no sound."""
    packets: list[bytes] = []
    partial = b""
    stream = io.BytesIO(file)
    for page in read_pages(stream):
        at = page.body
        for lace in page.lacing:
            partial += file[at : at + lace]
            at += lace
            if lace < _MAX_LACES:
                packets.append(partial)
                partial = b""
    head = packets[0]
    assert head[:8] == b"OpusHead", "libsndfile writes Opus"
    return packets[2:], int.from_bytes(head[10:12], "little")


def with_serial(file: bytes) -> bytes:
    """An Ogg file with our serial number: libsndfile draws one, and equal sounds would be other bytes each time."""
    pages = [
        _numbered(file[page.body - 27 - len(page.lacing) : page.body + page.size])
        for page in read_pages(io.BytesIO(file))
    ]
    return b"".join(pages)


def join(packets: list[bytes], pre_skip: int) -> bytes:
    """Packets as one body: the pre-skip in two bytes, then each packet behind its length, of one byte or two."""
    parts = [pre_skip.to_bytes(2, "little")]
    for packet in packets:
        size = len(packet)
        # the length code of RFC 6716, 3.2.1
        code = bytes([size]) if size < 252 else bytes([252 + (size & 3), (size - 252 - (size & 3)) >> 2])
        parts.append(code + packet)
    return b"".join(parts)


def split(body: bytes) -> tuple[list[bytes], int]:
    """Inverse of `join`.

    Raises:
        SpressoError: ``rival_stream_bad``.
    """
    packets: list[bytes] = []
    at = 2
    while at < len(body):
        size = body[at]
        at += 1
        if size >= 252:
            if at >= len(body):
                raise bad_stream(NAME, "a packet's length is cut")
            size += 4 * body[at]
            at += 1
        if at + size > len(body):
            raise bad_stream(NAME, "a packet is cut")
        packets.append(body[at : at + size])
        at += size
    if not packets:
        raise bad_stream(NAME, "it has no packets")
    return packets, int.from_bytes(body[:2], "little")


def ogg_of(packets: list[bytes], pre_skip: int, channels: int, samples: int) -> bytes:
    """An Ogg Opus file of some packets, as short as its sound is."""
    head = b"OpusHead" + struct.pack("<BBHIhB", 1, channels, pre_skip, 48_000, 0, 0)
    tags = b"OpusTags" + struct.pack("<I", 0) + struct.pack("<I", 0)
    pages = [_page([head], 0, 0, _BEGIN), _page([tags], 0, 1, 0)]
    group: list[bytes] = []
    laces = 0
    done = 0
    for number, packet in enumerate(packets):
        group.append(packet)
        laces += len(packet) // _MAX_LACES + 1
        done += _samples_in(packet)
        last = number + 1 == len(packets)
        following = 0 if last else len(packets[number + 1]) // _MAX_LACES + 1
        if last or laces + following > _MAX_LACES:
            granule = pre_skip + samples if last else done
            pages.append(_page(group, granule, len(pages), _END if last else 0))
            group, laces = [], 0
    return b"".join(pages)


def _samples_in(packet: bytes) -> int:
    """Samples at 48 kHz that a packet holds, from its first byte (RFC 6716, 3.1)."""
    if not packet:
        return 0
    config, code = packet[0] >> 3, packet[0] & 3
    if config < 12:
        frame = (480, 960, 1920, 2880)[config & 3]
    elif config < 16:
        frame = (480, 960)[config & 1]
    else:
        frame = (120, 240, 480, 960)[config & 3]
    count = (1, 2, 2, packet[1] & 63 if len(packet) > 1 else 0)[code]
    return frame * count


def _page(packets: list[bytes], granule: int, number: int, flags: int) -> bytes:
    lacing = b"".join(b"\xff" * (len(packet) // _MAX_LACES) + bytes([len(packet) % _MAX_LACES]) for packet in packets)
    head = PAGE_HEADER.pack(b"OggS", 0, flags, granule, _SERIAL, number, 0, len(lacing)) + lacing
    return _numbered(head + b"".join(packets))


def _numbered(page: bytes) -> bytes:
    """A page with our serial number and its check."""
    page = page[:14] + _SERIAL.to_bytes(4, "little") + page[18:22] + bytes(4) + page[26:]
    return page[:22] + _crc(page).to_bytes(4, "little") + page[26:]


def _crc_table() -> list[int]:
    table = []
    for byte in range(256):
        value = byte << 24
        for _ in range(8):
            value = (value << 1) ^ (0x04C11DB7 if value & 0x80000000 else 0)
        table.append(value & 0xFFFFFFFF)
    return table


_TABLE = _crc_table()


def _crc(page: bytes) -> int:
    """CRC-32 of Ogg (RFC 3533): polynomial 04C11DB7, not reflected, started at 0."""
    value = 0
    for byte in page:
        value = (value << 8 & 0xFFFFFFFF) ^ _TABLE[value >> 24 ^ byte]
    return value
