"""A part of a file dressed up as a file of its own, for libraries that take file objects."""

from __future__ import annotations

import io
import os
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from typing_extensions import Buffer


class SoundSpan(io.RawIOBase):
    """Bytes `start` to `end` of a file, behind a prefix that the file itself does not have.

    The prefix mends headers that libsndfile cannot read, without touching the file on disk. Nothing beyond the span is
    ever asked for: a reader that trusts a size of gigabytes in a header gets what there is.
    """

    def __init__(self, file: BinaryIO, start: int, end: int, prefix: bytes = b"") -> None:
        self._file, self._start, self._prefix = file, start, prefix
        self._length, self._position = len(prefix) + end - start, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = (0, self._position, self._length)[whence]
        self._position = min(max(0, base + offset), self._length)
        return self._position

    def tell(self) -> int:
        return self._position

    def read(self, size: int | None = -1) -> bytes:
        left = self._length - self._position
        data = bytearray(left if size is None or size < 0 else min(size, left))
        return bytes(data[: self.readinto(data)])

    def readinto(self, buffer: Buffer) -> int:
        view = memoryview(buffer).cast("B")
        wanted = min(len(view), self._length - self._position)
        data = self._prefix[self._position : self._position + wanted]
        if len(data) < wanted:
            self._file.seek(self._start + self._position + len(data) - len(self._prefix))
            data += self._file.read(wanted - len(data))
        view[: len(data)] = data
        self._position += len(data)
        return len(data)
