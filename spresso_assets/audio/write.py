"""Writing sounds: rounded with dither, marked with where they come from, and never half there.

A file appears under its name only when all of its bytes are on disk: it is written beside its place under a temporary
name, flushed and renamed. Equal input gives equal bytes, dither included.
"""

from __future__ import annotations

import errno
import itertools
import os
import shutil
import struct
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from spresso_assets.audio.broadcast import Bext
from spresso_assets.audio.riff import chunk_bytes, wav_head
from spresso_assets.errors import ExitCode, FaultKind, SpressoError

Samples = NDArray[np.float32]

WORD_BYTES = {"PCM_16": 2, "PCM_24": 3, "PCM_32": 4, "FLOAT": 4}
DITHER_FRAMES = 1 << 16
_GUID_TAIL = bytes.fromhex("000000001000800000aa00389b71")
_SPEAKERS = {1: 0x4, 2: 0x3, 6: 0x3F, 8: 0x63F}
_DITHER_SEED = 0x5370


def write_wav(
    path: str | os.PathLike[str],
    samples: Samples,
    sample_rate: int,
    subtype: str = "PCM_24",
    bext: dict[str, Any] | None = None,
    ixml: str | None = None,
    extra_chunks: Sequence[tuple[str, bytes]] = (),
) -> None:
    """Write a WAV file, or a FLAC file if the name ends in `.flac`.

    Args:
        path: where; replaced in one step if it exists. Its folder must exist.
        samples: float32 [C, N]; integers clip at full scale, FLOAT keeps values beyond it.
        sample_rate: hertz.
        subtype: PCM_16, PCM_24, PCM_32 or FLOAT; FLAC takes the first two. Samples that already lie on the grid of
            the word length are written exactly; all others get triangular dither of two steps before rounding.
        bext: fields of `broadcast.Bext`: description, coding_history...; in FLAC they become comments.
        ixml: an iXML document, see `broadcast.build_ixml`; WAV only.
        extra_chunks: (id, body) pairs written behind the samples, such as `Probe.raw_chunks`; WAV only. A bext or
            iXML among them gives way to the arguments above.

    Raises:
        SpressoError: `unsupported_subtype`, `no_samples`, `nonfinite_samples` (permanent); `disk_full`,
            `cannot_write` (environment).
    """
    channels, frames = samples.shape
    exact = subtype != "FLOAT" and _on_grid(samples, 8 * WORD_BYTES.get(subtype, 2))
    sound = _Sound(iter((samples,)), channels, frames, sample_rate, subtype, exact)
    _write(Path(path), sound, bext, ixml, extra_chunks)


def write_blocks(
    path: str | os.PathLike[str],
    blocks: Iterable[Samples],
    channels: int,
    frames: int,
    sample_rate: int,
    subtype: str = "PCM_24",
    bext: dict[str, Any] | None = None,
    ixml: str | None = None,
) -> None:
    """`write_wav` of a sound that comes in blocks float32 [C, n], ``frames`` in all; no more than a block is held.

    Integers are always dithered: whether all samples lie on the grid is only known at the end. The same samples give
    the same bytes however they are cut.

    Raises:
        SpressoError: as `write_wav`.
        ValueError: the blocks do not add up to ``frames``.
    """
    _write(Path(path), _Sound(iter(blocks), channels, frames, sample_rate, subtype, False), bext, ixml, ())


@dataclass(frozen=True)
class _Sound:
    """What is to be written: blocks [C, n] that can be read once, and what they add up to."""

    blocks: Iterator[Samples]
    channels: int
    frames: int
    sample_rate: int
    subtype: str
    exact: bool

    def even_blocks(self) -> Iterator[Samples]:
        """Blocks of DITHER_FRAMES, so that dither does not depend on how the sound came."""
        held: list[Samples] = []
        waiting = written = 0
        for block in itertools.chain(self.blocks, [None]):
            if block is not None:
                if not np.isfinite(block).all():
                    raise SpressoError("the samples to write hold NaN or infinity", code="nonfinite_samples")
                held.append(block)
                waiting += block.shape[1]
            if waiting < DITHER_FRAMES and block is not None:
                continue
            joined = held[0] if len(held) == 1 else np.concatenate(held, 1) if held else np.zeros((1, 0), np.float32)
            whole = waiting if block is None else waiting // DITHER_FRAMES * DITHER_FRAMES
            for at in range(0, whole, DITHER_FRAMES):
                yield joined[:, at : min(at + DITHER_FRAMES, whole)]
            held, waiting, written = [joined[:, whole:]], waiting - whole, written + whole
        if written != self.frames:
            raise ValueError(f"{written} frames to write where {self.frames} were announced")


def _write(
    target: Path,
    sound: _Sound,
    bext: dict[str, Any] | None,
    ixml: str | None,
    extra_chunks: Sequence[tuple[str, bytes]],
) -> None:
    flac = target.suffix.lower() == ".flac"
    if sound.subtype not in (("PCM_16", "PCM_24") if flac else WORD_BYTES):
        raise SpressoError(
            f"{sound.subtype} cannot be written to {target.suffix or 'this file'}",
            code="unsupported_subtype",
            hint="Choose PCM_16 or PCM_24.",
            exit_code=ExitCode.USAGE,
        )
    if not sound.channels:
        raise SpressoError("there is no channel to write", code="no_samples")
    _require_space(target, sound.channels * sound.frames * WORD_BYTES[sound.subtype])
    if flac:
        _replace(target, lambda file: _write_flac(file, sound, bext or {}))
        return
    kept = [(name, body) for name, body in extra_chunks if not ((name == "bext" and bext) or (name == "iXML" and ixml))]
    front = chunk_bytes("bext", Bext(**bext).to_bytes()) if bext else b""
    behind = chunk_bytes("iXML", ixml.encode("utf-8")) if ixml else b""
    behind += b"".join(chunk_bytes(name, body) for name, body in kept)
    _replace(target, lambda file: _write_riff(file, sound, front, behind))


def _quantise(sound: _Sound, bits: int) -> Iterator[NDArray[np.int32]]:
    """Integer samples in blocks [n, C], dithered unless they lie on the grid already.

    Equal input gives equal bytes, since the dither is that of the block's place. Digital silence stays silent.
    """
    for number, block in enumerate(sound.even_blocks()):
        yield quantised(block.T, bits, None if sound.exact else dither_of(number, block.shape[1], len(block)))


def dither_of(number: int, frames: int, channels: int, first: int = 0, last: int | None = None) -> NDArray[np.float64]:
    """Dither [n, C] of the block with this number of a sound, in steps of the word length.

    It is triangular, of two steps peak to peak, which makes the rounding error independent of the signal. A function
    of the place alone, so that any part of a file can be made again without what precedes it.

    Args:
        number: of the block; all blocks but the last hold `DITHER_FRAMES`.
        frames: in the block.
        first, last: of the frames that are wanted; all of the block's by default.
    """
    shape = ((frames if last is None else last) - first, channels)
    at = 2 * number * DITHER_FRAMES + first
    up, down = (
        np.random.Generator(np.random.PCG64(_DITHER_SEED).advance(start * channels)) for start in (at, at + frames)
    )
    return up.random(shape) - down.random(shape)


def quantised(x_NC: Samples, bits: int, dither_NC: NDArray[np.float64] | None) -> NDArray[np.int32]:
    """Integers [n, C] of so many bits; what lies beyond full scale is clipped."""
    scale = float(1 << (bits - 1))
    scaled_NC = x_NC.astype(np.float64) * scale
    if dither_NC is not None:
        scaled_NC = scaled_NC + np.where(scaled_NC == 0, 0.0, dither_NC)
    return np.clip(np.rint(scaled_NC), -scale, scale - 1).astype(np.int32)


def packed(words_NC: NDArray[np.int32], width: int) -> bytes:
    """Integers as little-endian words of so many bytes."""
    words = np.ascontiguousarray(words_NC, "<i4").view(np.uint8).reshape(-1, 4)
    return words[:, :width].tobytes()


def _on_grid(samples: Samples, bits: int) -> bool:
    """Whether integers of so many bits can hold the samples exactly."""
    scale = float(1 << (bits - 1))
    blocks = (samples[:, at : at + DITHER_FRAMES] for at in range(0, samples.shape[1], DITHER_FRAMES))
    return all(np.array_equal(x := block.astype(np.float64) * scale, np.rint(x)) for block in blocks)


def _encoded(sound: _Sound) -> Iterator[bytes]:
    if sound.subtype == "FLOAT":
        for block in sound.even_blocks():
            yield np.ascontiguousarray(block.T, "<f4").tobytes()
        return
    width = WORD_BYTES[sound.subtype]
    for words_NC in _quantise(sound, 8 * width):
        yield packed(words_NC, width)


def format_chunk(channels: int, sample_rate: int, subtype: str) -> bytes:
    """The `fmt ` chunk, ready to be written."""
    width = WORD_BYTES[subtype]
    tag = 3 if subtype == "FLOAT" else 1
    plain = channels <= 2 and subtype in ("PCM_16", "FLOAT")
    fields = (channels, sample_rate, sample_rate * channels * width, channels * width, 8 * width)
    if plain:
        return chunk_bytes("fmt ", struct.pack("<HHIIHH", tag, *fields))
    # More than 16 bits or two channels ask for the extensible form, which names the speakers.
    extension = struct.pack("<HHIH", 22, 8 * width, _SPEAKERS.get(channels, 0), tag) + _GUID_TAIL
    return chunk_bytes("fmt ", struct.pack("<HHIIHH", 0xFFFE, *fields) + extension)


def _write_riff(file: BinaryIO, sound: _Sound, front: bytes, behind: bytes) -> None:
    data_size = sound.channels * sound.frames * WORD_BYTES[sound.subtype]
    head = format_chunk(sound.channels, sound.sample_rate, sound.subtype)
    if sound.subtype == "FLOAT":
        head += chunk_bytes("fact", struct.pack("<I", min(sound.frames, 0xFFFFFFFF)))
    file.write(wav_head(front + head, data_size, sound.frames, len(behind)))
    for piece in _encoded(sound):
        file.write(piece)
    file.write(b"\0" * (data_size % 2) + behind)


def _write_flac(file: BinaryIO, sound: _Sound, bext: dict[str, Any]) -> None:
    import soundfile

    bits = 8 * WORD_BYTES[sound.subtype]
    with soundfile.SoundFile(file, "w", sound.sample_rate, sound.channels, sound.subtype, format="FLAC") as handle:
        # libFLAC takes comments only before the first sample.
        for key, name in (("description", "title"), ("originator", "software"), ("coding_history", "comment")):
            if bext.get(key):
                setattr(handle, name, str(bext[key]))
        for block in _quantise(sound, bits):
            handle.write(block << (32 - bits))


def _replace(target: Path, write: Callable[[BinaryIO], None]) -> None:
    """Let `write` fill a temporary file beside `target`, flush it to disk and rename it into place."""
    temporary = target.parent / f".spresso-{uuid.uuid4().hex}.part"
    try:
        with open(temporary, "x+b") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
        _flush_folder(target.parent)
    except OSError as error:
        raise _writing_fault(target, error) from error
    finally:
        with suppress(OSError):  # where there is no folder there is nothing to remove
            temporary.unlink()


def _flush_folder(folder: Path) -> None:
    """Make the rename itself last through a power cut, where the system allows to open folders."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(descriptor)
    except OSError:
        pass
    finally:
        os.close(descriptor)


def _require_space(target: Path, size: int) -> None:
    try:
        free = shutil.disk_usage(target.parent).free
    except OSError as error:
        raise _writing_fault(target, error) from error
    if free < size + (1 << 20):
        raise SpressoError(
            f"{target.name} needs {size / 1e6:.1f} MB but only {free / 1e6:.1f} MB are free",
            code="disk_full",
            hint="Free some space or choose another folder.",
            kind=FaultKind.ENVIRONMENT,
        )


def _writing_fault(target: Path, error: OSError) -> SpressoError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return SpressoError(
            f"the disk is full, {target.name} was not written",
            code="disk_full",
            hint="Free some space or choose another folder.",
            kind=FaultKind.ENVIRONMENT,
        )
    return SpressoError(
        f"{target.name} cannot be written: {error.strerror or error}",
        code="cannot_write",
        hint="Check that the folder exists and may be written to.",
        kind=FaultKind.ENVIRONMENT,
    )
