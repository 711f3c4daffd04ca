"""Samples where they are kept: in memory, or in a file where there are too many of them.

Both are written from the front while a decode runs and read from anywhere behind its front at the same time.
"""

from __future__ import annotations

import os
import struct
import threading
import zlib
from contextlib import suppress
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.float32]

MAGIC = b"SPRPCM1\n"
HEAD = struct.Struct("<8sQIIII")  # magic, frames, channels, sample rate, CRC-32 of the samples, CRC-32 of this head
BLOCK_BYTES = 1 << 20


class Sound(Protocol):
    """So many frames of so many channels."""

    frames: int
    channels: int

    @property
    def ram_bytes(self) -> int:
        """Bytes of memory that are held."""
        ...

    def write(self, at: int, block_NC: Samples) -> None:
        """Put a block at a frame; blocks come in order."""
        ...

    def read(self, start: int, stop: int) -> Samples:
        """Frames [n, C] that were written; not to be changed."""
        ...


class RamSound:
    """Samples in memory."""

    def __init__(self, frames: int, channels: int) -> None:
        self.frames, self.channels = frames, channels
        self._samples_NC = np.zeros((frames, channels), np.float32)

    @property
    def ram_bytes(self) -> int:
        return self._samples_NC.nbytes

    def write(self, at: int, block_NC: Samples) -> None:
        self._samples_NC[at : at + len(block_NC)] = block_NC

    def read(self, start: int, stop: int) -> Samples:
        found = self._samples_NC[start:stop]
        found.flags.writeable = False
        return found


class FileSound:
    """Samples in a file of the disk cache. The file may be unlinked while it is open.

    Plain reads and writes, no memory map: on a full disk a write to a map ends the process, not the write.
    """

    ram_bytes = 1 << 20  # it takes next to none, but this keeps the number of open files in bounds, too

    def __init__(self, path: Path, frames: int, channels: int, *, write: bool = False) -> None:
        """Open a file, or make it.

        Raises:
            OSError: whatever the system says.
        """
        self.path, self.frames, self.channels = path, frames, channels
        self._lock = threading.Lock()
        self._file = path.open("x+b" if write else "rb", buffering=0)
        self._crc = 0
        if write:
            self._file.write(bytes(HEAD.size))

    def write(self, at: int, block_NC: Samples) -> None:
        raw = np.ascontiguousarray(block_NC, "<f4").tobytes()
        with self._lock:
            self._file.seek(HEAD.size + 4 * at * self.channels)
            if self._file.write(raw) != len(raw):
                raise OSError(28, os.strerror(28))  # what a short write means on a disk
        self._crc = zlib.crc32(raw, self._crc)

    def read(self, start: int, stop: int) -> Samples:
        size = 4 * self.channels * (stop - start)
        with self._lock:
            self._file.seek(HEAD.size + 4 * start * self.channels)
            raw = self._file.read(size) or b""
        if len(raw) != size:
            raise OSError(5, f"{self.path.name} lost samples while it was read")
        return np.frombuffer(raw, "<f4").reshape(-1, self.channels)

    def finish(self, sample_rate: int) -> None:
        """Write the head, which makes the file a whole one.

        Raises:
            OSError: whatever the system says.
        """
        with self._lock:
            self._file.seek(0)
            self._file.write(head_bytes(self.frames, self.channels, sample_rate, self._crc))

    def close(self) -> None:
        """Let go of the file."""
        with suppress(OSError):
            self._file.close()

    def __del__(self) -> None:
        if hasattr(self, "_file"):  # it could be opened
            self.close()


def head_bytes(frames: int, channels: int, sample_rate: int, crc: int) -> bytes:
    """The head of a file of samples."""
    bare = HEAD.pack(MAGIC, frames, channels, sample_rate, crc, 0)[:-4]
    return bare + struct.pack("<I", zlib.crc32(bare))


def is_whole(path: Path, frames: int, channels: int, sample_rate: int) -> bool:
    """Whether a file holds exactly these samples, undamaged; reads all of it.

    Raises:
        OSError: it is not there, or cannot be read.
    """
    with path.open("rb") as file:
        raw = file.read(HEAD.size)
        if len(raw) != HEAD.size or zlib.crc32(raw[:-4]) != struct.unpack("<I", raw[-4:])[0]:
            return False
        magic, has_frames, has_channels, has_rate, crc, _ = HEAD.unpack(raw)
        if (magic, has_frames, has_channels, has_rate) != (MAGIC, frames, channels, sample_rate):
            return False
        found = size = 0
        while block := file.read(BLOCK_BYTES):
            found, size = zlib.crc32(block, found), size + len(block)
    return found == crc and size == 4 * frames * channels
