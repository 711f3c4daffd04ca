"""Writing sounds: rounded with dither, marked with where they come from, and never half there.

A file appears under its name only when all of its bytes are on disk: it is written beside its place under a temporary
name, flushed and renamed. Equal input gives equal bytes, dither included.
"""

from __future__ import annotations

import errno
import os
import shutil
import struct
import uuid
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from spresso_assets.audio.broadcast import Bext
from spresso_assets.audio.riff import chunk_bytes, wav_head
from spresso_assets.errors import ExitCode, FaultKind, SpressoError

Samples = NDArray[np.float32]

WORD_BYTES = {"PCM_16": 2, "PCM_24": 3, "PCM_32": 4, "FLOAT": 4}
_BLOCK_FRAMES = 1 << 16
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
    target = Path(path)
    channels, frames = samples.shape
    flac = target.suffix.lower() == ".flac"
    if subtype not in (("PCM_16", "PCM_24") if flac else WORD_BYTES):
        raise SpressoError(
            f"{subtype} cannot be written to {target.suffix or 'this file'}",
            code="unsupported_subtype",
            hint="Choose PCM_16 or PCM_24.",
            exit_code=ExitCode.USAGE,
        )
    if not channels:
        raise SpressoError("there is no channel to write", code="no_samples")
    if not np.isfinite(np.sum(samples, dtype=np.float64)) and not np.isfinite(samples).all():
        raise SpressoError("the samples to write hold NaN or infinity", code="nonfinite_samples")
    _require_space(target, channels * frames * WORD_BYTES[subtype])
    if flac:
        _replace(target, lambda file: _write_flac(file, samples, sample_rate, subtype, bext or {}))
        return
    kept = [(name, body) for name, body in extra_chunks if not ((name == "bext" and bext) or (name == "iXML" and ixml))]
    front = chunk_bytes("bext", Bext(**bext).to_bytes()) if bext else b""
    behind = chunk_bytes("iXML", ixml.encode("utf-8")) if ixml else b""
    behind += b"".join(chunk_bytes(name, body) for name, body in kept)
    _replace(target, lambda file: _write_riff(file, samples, sample_rate, subtype, front, behind))


def quantise(samples: Samples, bits: int) -> Iterator[NDArray[np.int32]]:
    """Integer samples in blocks [n, C], dithered unless they lie on the grid already.

    The dither is triangular, of two steps peak to peak, which makes the rounding error independent of the signal. Its
    generator starts anew with each call, so equal input gives equal bytes. Digital silence stays silent.
    """
    scale = float(1 << (bits - 1))
    lowest, highest = -scale, scale - 1
    blocks = range(0, samples.shape[1], _BLOCK_FRAMES)
    exact = all(_on_grid(samples[:, at : at + _BLOCK_FRAMES], scale) for at in blocks)
    rng = np.random.default_rng(_DITHER_SEED)
    for at in blocks:
        x_NC = samples[:, at : at + _BLOCK_FRAMES].T.astype(np.float64) * scale
        if not exact:
            dither = rng.random(x_NC.shape) - rng.random(x_NC.shape)
            x_NC = x_NC + np.where(x_NC == 0, 0.0, dither)
        yield np.clip(np.rint(x_NC), lowest, highest).astype(np.int32)


def _on_grid(x: Samples, scale: float) -> bool:
    scaled = x.astype(np.float64) * scale
    return bool(np.array_equal(scaled, np.rint(scaled)))


def _encoded(samples: Samples, subtype: str) -> Iterator[bytes]:
    if subtype == "FLOAT":
        for at in range(0, samples.shape[1], _BLOCK_FRAMES):
            yield np.ascontiguousarray(samples[:, at : at + _BLOCK_FRAMES].T, "<f4").tobytes()
        return
    width = WORD_BYTES[subtype]
    for block in quantise(samples, 8 * width):
        words = np.ascontiguousarray(block, "<i4").view(np.uint8).reshape(-1, 4)
        yield words[:, :width].tobytes()


def _format_chunk(channels: int, sample_rate: int, subtype: str) -> bytes:
    width = WORD_BYTES[subtype]
    tag = 3 if subtype == "FLOAT" else 1
    plain = channels <= 2 and subtype in ("PCM_16", "FLOAT")
    fields = (channels, sample_rate, sample_rate * channels * width, channels * width, 8 * width)
    if plain:
        return chunk_bytes("fmt ", struct.pack("<HHIIHH", tag, *fields))
    # More than 16 bits or two channels ask for the extensible form, which names the speakers.
    extension = struct.pack("<HHIH", 22, 8 * width, _SPEAKERS.get(channels, 0), tag) + _GUID_TAIL
    return chunk_bytes("fmt ", struct.pack("<HHIIHH", 0xFFFE, *fields) + extension)


def _write_riff(file: BinaryIO, samples: Samples, sample_rate: int, subtype: str, front: bytes, behind: bytes) -> None:
    channels, frames = samples.shape
    data_size = channels * frames * WORD_BYTES[subtype]
    head = _format_chunk(channels, sample_rate, subtype)
    if subtype == "FLOAT":
        head += chunk_bytes("fact", struct.pack("<I", min(frames, 0xFFFFFFFF)))
    file.write(wav_head(front + head, data_size, frames, len(behind)))
    for piece in _encoded(samples, subtype):
        file.write(piece)
    file.write(b"\0" * (data_size % 2) + behind)


def _write_flac(file: BinaryIO, samples: Samples, sample_rate: int, subtype: str, bext: dict[str, Any]) -> None:
    import soundfile

    bits = 8 * WORD_BYTES[subtype]
    with soundfile.SoundFile(file, "w", sample_rate, samples.shape[0], subtype, format="FLAC") as handle:
        # libFLAC takes comments only before the first sample.
        for key, name in (("description", "title"), ("originator", "software"), ("coding_history", "comment")):
            if bext.get(key):
                setattr(handle, name, str(bext[key]))
        for block in quantise(samples, bits):
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
        temporary.unlink(missing_ok=True)


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
