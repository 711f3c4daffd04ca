"""Ogg pages (RFC 3533): whether a stream is whole, and which of its bytes are sound rather than tags."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

PAGE_HEADER = struct.Struct("<4sBBqIIIB")
_CONTINUED, _LAST = 0x01, 0x04
_LARGEST_PAGE = 27 + 255 + 255 * 255


@dataclass(frozen=True)
class Page:
    """One page: flags, position in samples, body offset in the file, and the lacing values of its segments."""

    flags: int
    granule: int
    serial: int
    body: int
    lacing: bytes

    @property
    def size(self) -> int:
        """Bytes of the body."""
        return sum(self.lacing)

    @property
    def last(self) -> bool:
        """Whether the page says that its stream ends here."""
        return bool(self.flags & _LAST)


def read_pages(file: BinaryIO, start: int = 0) -> Iterator[Page]:
    """Pages from byte `start` on; ends at the first byte that is no page, or at a page that is cut."""
    end = file.seek(0, os.SEEK_END)
    position = start
    while position + 27 <= end:
        file.seek(position)
        head = file.read(27 + 255)
        magic, version, flags, granule, serial, _, _, count = PAGE_HEADER.unpack_from(head)
        if magic != b"OggS" or version != 0 or len(head) < 27 + count:
            return
        page = Page(flags, granule, serial, position + 27 + count, head[27 : 27 + count])
        if page.body + page.size > end:
            return
        yield page
        position = page.body + page.size


def last_page(file: BinaryIO) -> tuple[Page | None, int]:
    """The last whole page of the file and the number of bytes behind it, found from the end."""
    end = file.seek(0, os.SEEK_END)
    tail_start = max(0, end - 2 * _LARGEST_PAGE)
    file.seek(tail_start)
    tail = file.read()
    at = tail.rfind(b"OggS")
    while at >= 0:
        page = next(read_pages(file, tail_start + at), None)
        if page is not None:
            return page, end - page.body - page.size
        at = tail.rfind(b"OggS", 0, at)
    return None, end


def sound_packets(file: BinaryIO) -> Iterator[bytes]:
    """Every piece of every packet except the comment header, which is the second packet of each stream.

    Retagging rewrites that packet and repaginates the file; what this yields, joined, stays the same.
    """
    packet_number: dict[int, int] = {}
    for page in read_pages(file):
        file.seek(page.body)
        body = file.read(page.size)
        number = packet_number.get(page.serial, 0)
        kept, position = [], 0
        for lace in page.lacing:
            if number != 1:
                kept.append(body[position : position + lace])
            position += lace
            if lace < 255:
                number += 1
        packet_number[page.serial] = number
        yield b"".join(kept)
