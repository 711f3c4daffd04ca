"""Is a file whole? Asked before decoding, because libsndfile reads half a WAV without complaint.

The answer comes from what the container declares against what is there; nothing is decoded, and only the head and the
tail of the file are read. A container that declares no length (MP3 without a Xing header, raw streams) counts as
whole: for those only the settle time of a watched folder can tell.
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass
from typing import BinaryIO

from spresso_assets.audio.ogg import last_page
from spresso_assets.audio.opening import open_regular, reading_fault
from spresso_assets.audio.riff import RiffFile, walk_chunks


@dataclass(frozen=True)
class Completeness:
    """The verdict.

    Attributes:
        complete: everything that the container declares is there.
        reason: one line: what is missing, or what the verdict rests on.
        audio_complete: at least all the sound is there (a chunk of metadata behind it may be cut).
        unfinished: the header was never finished: it declares no samples, yet bytes follow.
    """

    complete: bool
    reason: str
    audio_complete: bool = True
    unfinished: bool = False


def _cut(reason: str, unfinished: bool = False) -> Completeness:
    return Completeness(False, reason, audio_complete=False, unfinished=unfinished)


def is_complete(path: str | os.PathLike[str]) -> Completeness:
    """Check a file by name.

    Raises:
        SpressoError: as `opening.open_regular` does. A cut file is a verdict, not an error.
    """
    with open_regular(path) as file:
        try:
            return check(file)
        except OSError as error:
            raise reading_fault(path, error) from error


def check(file: BinaryIO) -> Completeness:
    """Check an open file of any kind."""
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    head = file.read(64)
    if not head:
        return _cut("the file is empty")
    if head[:4] in (b"RIFF", b"RIFX", b"RF64", b"BW64", b"FORM"):
        return _check_riff(walk_chunks(file), file)
    if head[:4] == b"OggS":
        return _check_ogg(file)
    if head[:4] == b"fLaC":
        from spresso_assets.audio.flac import check_flac

        problem = check_flac(file)
        return _cut(problem) if problem else Completeness(True, "the last FLAC frame is whole and is the one declared")
    if head[:4] == b"riff":
        return _check_w64(file, size)
    if head[:4] == b".snd":
        if len(head) < 24:
            return _cut("the header is cut")
        start, declared = struct.unpack(">II", head[4:12])
        return _compare("data", declared if declared != 0xFFFFFFFF else size - start, size - start)
    if head[:4] == b"caff":
        return _check_caf(file, size)
    if head[:3] == b"ID3" or (head[0] == 0xFF and head[1:2] >= b"\xe0"):
        from spresso_assets.audio.mpeg import check_mpeg

        problem = check_mpeg(file)
        return _cut(problem) if problem else Completeness(True, "no frame is missing as far as the file says")
    return Completeness(True, "this kind of file does not declare a length")


def _compare(what: str, declared: int, present: int) -> Completeness:
    if present < declared:
        return _cut(f"{what} declares {declared} bytes but {max(present, 0)} are there")
    return Completeness(True, f"all {declared} declared bytes of {what} are there")


def _check_riff(riff: RiffFile, file: BinaryIO) -> Completeness:
    name = "SSND" if riff.form == "FORM" else "data"
    data = riff.find(name)
    if data is None:
        return _cut(riff.problem or f"there is no {name} chunk")
    if not data.complete:
        return _cut(f"the {name} chunk declares {data.declared_size} bytes but {data.size} are there")
    behind = riff.file_size - data.offset
    if data.declared_size == 0 and behind > 8 and riff.chunks[-1] is data:
        return _cut(f"the header declares no samples but {behind} bytes follow it", unfinished=True)
    if data.declared_size == 0 and riff.problem and behind > 8:
        return _cut("the header declares no samples, yet what follows is no chunk", unfinished=True)
    # Garbage behind the samples is a broken writer, not a copy in progress: only a chunk cut short is.
    cut = next((chunk for chunk in riff.chunks if not chunk.complete), None)
    if cut is not None:
        return Completeness(False, riff.problem or f"chunk {cut.id!r} is cut")
    return Completeness(True, riff.problem or f"all {data.declared_size} declared bytes of {name} are there")


def _check_ogg(file: BinaryIO) -> Completeness:
    page, behind = last_page(file)
    if page is None:
        return _cut("no whole Ogg page")
    file.seek(page.body + page.size)
    if behind and file.read(4) == b"OggS":
        return _cut("the last Ogg page is cut")
    if not page.last:
        return _cut("the Ogg stream has no last page")
    return Completeness(True, "the last Ogg page is there")


_W64_DATA = b"data\xf3\xac\xd3\x11\x8c\xd1\x00\xc0\x4f\x8e\xdb\x8a"


def _check_w64(file: BinaryIO, size: int) -> Completeness:
    position = 40
    while position + 24 <= size:
        file.seek(position)
        guid, declared = struct.unpack("<16sQ", file.read(24))
        if guid == _W64_DATA:
            return _compare("data", declared - 24, size - position - 24)
        if declared < 24:
            break
        position += (declared + 7) // 8 * 8
    return _cut("there is no data chunk")


def _check_caf(file: BinaryIO, size: int) -> Completeness:
    position = 8
    while position + 12 <= size:
        file.seek(position)
        name, declared = struct.unpack(">4sq", file.read(12))
        present = size - position - 12
        if name == b"data":
            return _compare("data", present if declared == -1 else declared, present)
        if declared < 0:
            break
        position += 12 + declared
    return _cut("there is no data chunk")
