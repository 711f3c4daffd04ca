"""Chunks of the RIFF family: what a WAV or AIFF file carries besides its samples.

One walker reads RIFF, RIFX (big-endian), RF64 and BW64 (64-bit sizes in a `ds64` chunk) and AIFF's FORM. It never
trusts a declared size: every chunk says how many bytes it claims and how many are there. Nothing is decoded here, and
only chunk bodies that are asked for are read.

Sources: Microsoft/IBM RIFF 1.0; EBU Tech 3306 (RF64), ITU-R BS.2088 (BW64); Apple AIFF-C.
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass, field
from typing import BinaryIO

from spresso_assets.audio.opening import open_regular

MAX_CHUNKS = 4096
UNKNOWN_SIZE = 0xFFFFFFFF
RF64_FROM = UNKNOWN_SIZE - (1 << 20)


@dataclass(frozen=True)
class Chunk:
    """One chunk: four-character id, offset of its body, bytes really there, bytes declared."""

    id: str
    offset: int
    size: int
    declared_size: int

    @property
    def complete(self) -> bool:
        """Whether all declared bytes are in the file."""
        return self.size >= self.declared_size


@dataclass
class RiffFile:
    """What the walk found.

    Attributes:
        form: `RIFF`, `RIFX`, `RF64`, `BW64` or `FORM`; empty for a file of another kind.
        kind: the form type: `WAVE`, `AIFF`, `AIFC`...
        chunks: in file order, nested lists unopened.
        complete: every chunk is whole and the walk ended where the file ends.
        problem: one line on what is wrong, or None.
        unpadded: an odd chunk lacks its pad byte, which strict readers do not survive.
    """

    form: str = ""
    kind: str = ""
    chunks: list[Chunk] = field(default_factory=list)
    complete: bool = False
    problem: str | None = None
    file_size: int = 0
    unpadded: bool = False

    @property
    def byte_order(self) -> str:
        """`big` or `little`."""
        return "big" if self.form in ("RIFX", "FORM") else "little"

    def find(self, chunk_id: str) -> Chunk | None:
        """The first chunk with this id."""
        return next((chunk for chunk in self.chunks if chunk.id == chunk_id), None)


def read_chunks(path: str | os.PathLike[str]) -> RiffFile:
    """Walk the chunks of a file; a file of another kind gives an empty `form`.

    Raises:
        SpressoError: as `opening.open_regular` does. Damage is no error here: it is told in `problem`.
    """
    with open_regular(path) as file:
        return walk_chunks(file)


def walk_chunks(file: BinaryIO) -> RiffFile:
    """Walk the chunks of an open file from its start."""
    result = RiffFile(file_size=file.seek(0, os.SEEK_END))
    file.seek(0)
    head = file.read(12)
    form = head[:4].decode("latin-1")
    if len(head) < 12 or form not in ("RIFF", "RIFX", "RF64", "BW64", "FORM"):
        result.problem = "no RIFF header"
        return result
    result.form, result.kind = form, head[8:12].decode("latin-1")
    _walk(file, result)
    if result.problem is None and (cut := next((c for c in result.chunks if not c.complete), None)):
        missing = cut.declared_size - cut.size
        result.problem = f"chunk {cut.id!r} declares {cut.declared_size} bytes, {missing} of them are missing"
    result.complete = result.problem is None
    return result


def _walk(file: BinaryIO, result: RiffFile) -> None:
    order = ">" if result.byte_order == "big" else "<"
    long_sizes: dict[str, int] = {}
    position, end = 12, result.file_size
    while position + 8 <= end:
        file.seek(position)
        raw_id, declared = struct.unpack(order + "4sI", file.read(8))
        if not _is_id(raw_id):
            if raw_id.strip(b"\0"):
                result.problem = f"no chunk begins at byte {position}"
            return  # zeros behind the last chunk are padding, not damage
        name = raw_id.decode("ascii")
        if declared == UNKNOWN_SIZE and name in long_sizes:
            declared = long_sizes[name]
        body = position + 8
        unknown = declared == UNKNOWN_SIZE and result.form not in ("RF64", "BW64")
        size = max(0, min(declared, end - body))
        # A streaming writer leaves 0xFFFFFFFF behind: the chunk then lasts to the end, and that is all one can know.
        result.chunks.append(Chunk(name, body, size, size if unknown else declared))
        if name == "ds64":
            long_sizes = _long_sizes(file.read(min(size, 65536)))
        if len(result.chunks) >= MAX_CHUNKS:
            result.problem = f"more than {MAX_CHUNKS} chunks"
            return
        following = _next_chunk(file, body + declared, declared, end)
        result.unpadded |= following < body + declared + declared % 2
        position = following


def _is_id(raw: bytes) -> bool:
    """Whether four bytes may be a chunk id; stricter than the standard, where garbage may pass."""
    return (
        len(raw) == 4
        and all((chr(byte).isalnum() and byte < 0x80) or byte in b" _-" for byte in raw)
        and raw != b"    "
    )


def _next_chunk(file: BinaryIO, position: int, declared: int, end: int) -> int:
    """Chunks begin at even offsets, but some writers forget the pad byte: look which of the two it is."""
    if declared % 2 == 0 or position + 4 > end:
        return position + declared % 2
    file.seek(position)
    nearby = file.read(5)
    return position if _is_id(nearby[:4]) and not _is_id(nearby[1:5]) else position + 1


def _long_sizes(body: bytes) -> dict[str, int]:
    """Sizes that a `ds64` chunk gives: of `data` always, of other chunks by its table."""
    if len(body) < 24:
        return {}
    sizes = {"data": struct.unpack("<Q", body[8:16])[0]}
    count = struct.unpack("<I", body[24:28])[0] if len(body) >= 28 else 0
    for k in range(min(count, (len(body) - 28) // 12)):
        name, size = struct.unpack("<4sQ", body[28 + 12 * k : 40 + 12 * k])
        sizes[name.decode("latin-1")] = size
    return sizes


def load_chunk(file: BinaryIO, chunk: Chunk, limit: int = 1 << 20) -> bytes:
    """The body of a chunk, at most `limit` bytes of it."""
    file.seek(chunk.offset)
    return file.read(min(chunk.size, limit))


def chunk_bytes(chunk_id: str, body: bytes) -> bytes:
    """A chunk ready to be written: id, size, body and the pad byte that makes it even."""
    return struct.pack("<4sI", chunk_id.encode("ascii"), len(body)) + body + b"\0" * (len(body) % 2)


def wav_head(chunks: bytes, data_size: int, frames: int, behind: int = 0) -> bytes:
    """Everything of a WAV file in front of its samples, as RF64 once sizes outgrow 32 bits.

    Args:
        chunks: ready chunks to stand before the samples, `fmt ` among them.
        data_size: bytes of samples, without a pad byte.
        frames: samples per channel, for RF64's table; 0 when it follows from the rest.
        behind: bytes of chunks that will follow the samples.
    """
    total = 4 + len(chunks) + 8 + data_size + data_size % 2 + behind
    if total < RF64_FROM:
        return struct.pack("<4sI4s", b"RIFF", total, b"WAVE") + chunks + struct.pack("<4sI", b"data", data_size)
    sizes = chunk_bytes("ds64", struct.pack("<QQQI", total + 36, data_size, frames, 0))
    head = struct.pack("<4sI4s", b"RF64", UNKNOWN_SIZE, b"WAVE") + sizes + chunks
    return head + struct.pack("<4sI", b"data", UNKNOWN_SIZE)
