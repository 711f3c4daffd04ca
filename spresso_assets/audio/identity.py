"""What makes two files the same sound.

Lossless files are the same sound when rate, channels and sample values agree, whatever the container, word length or
tags: `pcm-sha256:`. Lossy files are the same when their coded bytes agree, tags left aside: `bytes-sha256:`; decoded
values would change with the next version of a decoder.
"""

from __future__ import annotations

import hashlib
import os
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from spresso_assets.audio.mpeg import sound_bytes
from spresso_assets.audio.ogg import sound_packets
from spresso_assets.audio.riff import walk_chunks

_PIECE = 1 << 20


class PcmHash:
    """Hash of sample values as little-endian float32, interleaved.

    A 16-bit WAV, its 24-bit copy and its FLAC agree, for float32 holds all of them exactly. Samples that need more
    (32-bit integers, doubles) are hashed as float64 as well, and that hash counts if any of them did need it.
    """

    def __init__(self, sample_rate: int, channels: int) -> None:
        start = f"{sample_rate}:{channels}:".encode()
        self._narrow, self._wide = hashlib.sha256(start), hashlib.sha256(start + b"f64:")
        self._needs_wide = False

    def add(self, block: NDArray[np.float32] | NDArray[np.float64], x_NC: NDArray[np.float32]) -> None:
        """Take samples as decoded (`block`) and as cleaned float32 (`x_NC`)."""
        # Adding zero turns -0.0 into 0.0: equal values must hash equally.
        self._narrow.update(np.ascontiguousarray(x_NC + np.float32(0), "<f4").data)
        if block.dtype == np.float64:
            finite = np.where(np.isfinite(block), block, 0.0) + np.float64(0)
            self._wide.update(np.ascontiguousarray(finite, "<f8").data)
            self._needs_wide = self._needs_wide or not np.array_equal(finite, x_NC)

    def digest(self) -> str:
        """`pcm-sha256:` and 64 hexadecimal digits."""
        return "pcm-sha256:" + (self._wide if self._needs_wide else self._narrow).hexdigest()


def coded_hash(file: BinaryIO, container: str) -> str:
    """`bytes-sha256:` over the coded sound of a lossy file, its tags left out where the container is known."""
    digest = hashlib.sha256()
    if container == "OGG":
        for packet in sound_packets(file):
            digest.update(packet)
    elif container in ("MP3", "MPEG"):
        for piece in sound_bytes(file):
            digest.update(piece)
    elif container in ("WAV", "WAVEX", "RF64", "AIFF"):
        for chunk in walk_chunks(file).chunks:
            if chunk.id in ("fmt ", "COMM", "data", "SSND"):
                _update(digest, file, chunk.offset, chunk.size)
    else:
        _update(digest, file, 0, file.seek(0, os.SEEK_END))
    return "bytes-sha256:" + digest.hexdigest()


def file_hash(file: BinaryIO) -> str:
    """SHA-256 of all bytes, 64 hexadecimal digits."""
    digest = hashlib.sha256()
    _update(digest, file, 0, file.seek(0, os.SEEK_END))
    return digest.hexdigest()


def _update(digest: hashlib._Hash, file: BinaryIO, start: int, size: int) -> None:
    file.seek(start)
    while size > 0:
        piece = file.read(min(_PIECE, size))
        if not piece:
            return
        digest.update(piece)
        size -= len(piece)
