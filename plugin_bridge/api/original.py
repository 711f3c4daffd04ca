"""The recording itself, where it is online: for comparing by ear, never for changing.

Whatever the original is, it leaves as plain WAV: 24 bits, or float where it is float. The file is opened read-only for
each request, and only while it is the file that the catalog knows.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import numpy as np
from fastapi import APIRouter, Request
from starlette.responses import Response, StreamingResponse

from plugin_bridge.bridge import Bridge
from plugin_bridge.render.ranges import byte_range, names_tag, still_same
from spresso_assets.audio.read import OpenSound, cleaned, open_sound
from spresso_assets.audio.riff import chunk_bytes, wav_head
from spresso_assets.audio.write import WORD_BYTES, format_chunk, packed, quantised
from spresso_assets.catalog.assets import find_asset
from spresso_assets.errors import FaultKind, SpressoError
from spresso_assets.export.originals import original_of

BLOCK_FRAMES = 1 << 15
FLOAT = ("FLOAT", "DOUBLE")


@dataclass(frozen=True)
class OriginalWave:
    """An original as the WAV file that leaves; nothing of it has been decoded yet.

    Attributes:
        path: the original.
        head: everything in front of the samples.
        frames: samples per channel.
        subtype: PCM_24 or FLOAT.
    """

    path: Path
    head: bytes
    frames: int
    channels: int
    subtype: str

    @property
    def frame_bytes(self) -> int:
        return self.channels * WORD_BYTES[self.subtype]

    @property
    def size(self) -> int:
        """Bytes of the file."""
        data = self.frames * self.frame_bytes
        return len(self.head) + data + data % 2

    def part(self, start: int, stop: int) -> Iterator[bytes]:
        """Bytes from `start` up to `stop`.

        Raises:
            SpressoError: as `audio.read.open_sound`; ``truncated_file`` when there are fewer samples than announced.
        """
        yield self.head[start:stop]
        base = len(self.head)
        first, last = max(0, start - base) // self.frame_bytes, -(-max(0, stop - base) // self.frame_bytes)
        at = base + first * self.frame_bytes
        if first < min(last, self.frames):
            for block in self._encoded(first, min(last, self.frames)):
                yield block[max(0, start - at) : max(0, stop - at)]
                at += len(block)
        yield bytes(max(0, stop - max(start, base + self.frames * self.frame_bytes)))  # the pad byte

    def _encoded(self, first: int, last: int) -> Iterator[bytes]:
        with open_sound(self.path) as sound:
            for raw in _frames(sound, first, last):
                if self.subtype == "FLOAT":
                    yield np.ascontiguousarray(cleaned(raw)[0], "<f4").tobytes()
                else:
                    # what was recorded lies on the grid of 24 bits already, or was coarser coded than that: no dither
                    yield packed(quantised(raw, 24, None), 3)


def open_original(path: Path, frames: int) -> OriginalWave:
    """Look at an original.

    Args:
        frames: how many the catalog counted, for files that do not say.

    Raises:
        SpressoError: as `audio.read.open_sound`.
    """
    with open_sound(path) as sound:
        subtype = "FLOAT" if sound.subtype in FLOAT else "PCM_24"
        frames = frames if sound.frames is None else sound.frames
        chunks = format_chunk(sound.channels, sound.sample_rate, subtype)
        if subtype == "FLOAT":
            chunks += chunk_bytes("fact", struct.pack("<I", min(frames, 0xFFFFFFFF)))
        head = wav_head(chunks, frames * sound.channels * WORD_BYTES[subtype], frames)
        return OriginalWave(path, head, frames, sound.channels, subtype)


def _frames(sound: OpenSound, first: int, last: int) -> Iterator[np.ndarray]:
    """Decoded blocks [n, C] of the frames from `first` up to `last`."""
    import soundfile

    dropped = first
    if sound.lossless and sound.handle.seekable():
        sound.handle.seek(first)  # elsewhere a seek may land beside the frame
        dropped = 0
    left = dropped + last - first
    dtype = "float64" if sound.wide else "float32"
    while left > 0:
        try:
            block = sound.handle.read(min(left, BLOCK_FRAMES), dtype=dtype, always_2d=True)
        except (soundfile.LibsndfileError, RuntimeError) as error:
            raise _cut(sound.name) from error
        if not len(block):
            raise _cut(sound.name)
        left -= len(block)
        yield block[dropped:]
        dropped = max(0, dropped - len(block))


def _cut(name: str) -> SpressoError:
    return SpressoError(
        f"{name} ends before its announced length", code="truncated_file", hint="Copy or export the file again."
    )


def router(bridge: Bridge) -> APIRouter:
    """GET, HEAD /v1/sounds/{id}/original.wav."""
    routes = APIRouter(tags=["sounds"])

    @routes.head("/v1/sounds/{id}/original.wav", include_in_schema=False)
    @routes.get("/v1/sounds/{id}/original.wav", response_class=Response)
    def original(id: str, request: Request) -> Response:
        """The original as WAV, with its exact length and in parts; 503 while its drive is away."""
        with bridge.catalog.read() as session:
            asset = find_asset(session, id)
            assert asset.id is not None
            found = original_of(session, asset.id, asset.uid)
        if found.sha256 is None:
            raise SpressoError(
                f"{found.path.name} has changed since it was read, so it may be another sound by now",
                code="original_changed",
                hint="Scan its root: spresso scan.",
                kind=FaultKind.RETRYABLE,
            )
        wave = open_original(found.path, asset.frames)
        etag = f'"{found.sha256[:32]}-original"'
        headers = {
            "etag": etag,
            "accept-ranges": "bytes",
            "cache-control": "private, no-cache",
            "content-disposition": f"inline; filename*=UTF-8''{quote(found.path.stem, errors='replace')}.wav",
        }
        if names_tag(request.headers.get("if-none-match"), etag):
            return Response(status_code=304, headers=headers)
        status, (start, stop) = 200, (0, wave.size)
        if request.method == "GET" and still_same(request.headers.get("if-range"), etag):
            try:
                asked = byte_range(request.headers.get("range"), wave.size)
            except ValueError:
                raise SpressoError(
                    f"the file has {wave.size} bytes, none of them is in the range",
                    code="range_not_satisfiable",
                    details={"size": wave.size},
                ) from None
            if asked is not None:
                status, (start, stop) = 206, asked
                headers["content-range"] = f"bytes {start}-{stop - 1}/{wave.size}"
        headers["content-length"] = str(stop - start)
        body = iter(()) if request.method == "HEAD" else wave.part(start, stop)
        return StreamingResponse(body, status, headers, "audio/wav")

    return routes
