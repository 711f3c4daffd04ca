"""The .spr container: one encoded sound as a few dozen bytes. No torch, no floats that decide bits.

docs/reference/spr-format.md describes the layout byte by byte; this module is its only reader and writer. A stream is
canonical: every valid stream is exactly what `pack` makes of what `unpack` returns, so equal sounds are equal bytes.

Axes: C coded channels (1 in mono mode, 2 in dual), F latent frames, M codebooks, D latent channels.
"""

from __future__ import annotations

import math
import zlib
from binascii import crc_hqx
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from spresso_assets.errors import ExitCode, SpressoError

__all__ = [
    "MAX_SECONDS",
    "POOLS",
    "ChannelMode",
    "SprHeader",
    "cut",
    "frame_count",
    "pack",
    "read_header",
    "true_kbps",
    "unpack",
    "unpack_partial",
]

ChannelMode = Literal["mono", "dual"]
Payload = npt.NDArray[np.int32] | npt.NDArray[np.float32]

MAGIC = b"SPR"
VERSION = 1
SUFFIX = ".spr"
MAX_SECONDS = 4 * 3600 + 60  # the longest sound that is read, and a margin for resampling
MAX_CHANNELS = 64
MAX_EXTENSION = 65535
HEADER_READ = 64  # bytes that always hold the header of a stream without an extension

MODEL_RATE = 48_000  # Hz, rate at which the codec works
HOP = 480  # samples per autoencoder frame: 100 Hz

# Frame-rate code (3 bits) -> t, autoencoder frames pooled into one latent frame. 0 and 5..7 are free.
POOLS: dict[int, int] = {1: 4, 2: 9, 3: 20, 4: 100}
_POOL_CODES = {pool: code for code, pool in POOLS.items()}

# Sample-rate code (4 bits); the last code says that a varint follows.
_SAMPLE_RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000, 64000, 88200, 96000, 176400, 192000)
_RATE_FOLLOWS = 15
_MIN_RATE, _MAX_RATE = 100, 2_000_000

# Channel-count code (2 bits); the last one says that a varint follows.
_CHANNEL_COUNTS = (1, 2, 6)
_COUNT_FOLLOWS = 3

# Flag bits
_MODE_MASK = 0b0000_0011
_SILENT = 0b0000_0100
_EXTENDED = 0b0000_1000
_COUNT_SHIFT = 4
_RESERVED = 0b1100_0000
_MODES: dict[int, ChannelMode] = {0: "mono", 1: "dual"}

_MAX_CODEBOOKS = 31
_BLOCK = 8 * 512  # frames packed at once; a multiple of 8 frames always ends on a byte
_SMALL = 4096  # streams up to this size carry a 16-bit check, larger ones 32 bits


@dataclass(frozen=True)
class SprHeader:
    """What a stream says about itself.

    Attributes:
        model_id: first six hex digits of the SHA-256 of the weights that made it.
        pool: t, autoencoder frames (100 Hz) per latent frame: 4, 9, 20 or 100.
        codebooks: M, codes per frame; None for a continuous stream.
        bits: log2 K, bits per code; None for a continuous stream.
        dim: D, latent channels of a continuous stream; None for a discrete one.
        sample_rate: Hz, of the source and of the decoded sound.
        samples: N per channel, at `sample_rate`; the decoded length, exactly.
        channels: of the source.
        channel_mode: "mono" codes the mid signal, "dual" codes left and right apart.
        gain_db: level of the source relative to what was encoded, in steps of 0.5 dB; applied after decoding.
        silent: the source is digital silence; there are no codes.
        extension: bytes for later versions; readers keep them and look no further.
    """

    model_id: str
    pool: int
    codebooks: int | None
    bits: int | None
    sample_rate: int
    samples: int
    channels: int = 1
    channel_mode: ChannelMode = "mono"
    gain_db: float = 0.0
    silent: bool = False
    dim: int | None = None
    extension: bytes = b""

    @property
    def continuous(self) -> bool:
        """True if the payload is z itself (float16), not codes."""
        return self.codebooks is None

    @property
    def coded_channels(self) -> int:
        """C, channels in the payload."""
        return 2 if self.channel_mode == "dual" else 1

    @property
    def frames(self) -> int:
        """F, latent frames per coded channel (also when silent, where none are stored)."""
        return frame_count(self.samples, self.sample_rate, self.pool)

    @property
    def duration_s(self) -> float:
        """Length in seconds."""
        return self.samples / self.sample_rate

    @property
    def frame_bits(self) -> int:
        """Payload bits of one frame, all coded channels."""
        if self.codebooks is None or self.bits is None:
            return 16 * (self.dim or 0) * self.coded_channels
        return self.codebooks * self.bits * self.coded_channels

    @property
    def payload_bytes(self) -> int:
        """Size of the payload without header and check."""
        return 0 if self.silent else _ceil_div(self.frames * self.frame_bits, 8)

    @property
    def nominal_kbps(self) -> float:
        """Rate of the codes alone, M log2(K) 100/t per coded channel; `true_kbps` counts the container too."""
        return self.frame_bits * 100 / self.pool / 1000


def frame_count(samples: int, sample_rate: int, pool: int) -> int:
    """Latent frames of a sound: ceil(ceil(N / 480) / t) with N its length at 48 kHz, rounded up. Integers only."""
    return _ceil_div(_ceil_div(_ceil_div(samples * MODEL_RATE, sample_rate), HOP), pool)


def pack(header: SprHeader, payload: npt.NDArray[Any] | None = None) -> bytes:
    """A header and its payload as .spr bytes.

    Args:
        header: see `SprHeader`; `frames` follows from its length and rate.
        payload: codes [F, M] (mono) or [2, F, M] (dual), or z [F, D] / [2, F, D]. None or empty if silent.

    Raises:
        SpressoError: `spr_unpackable` if a value has no place in the format or the payload does not fit the header.
    """
    body = _write_header(header)
    if not header.silent:
        if payload is None:
            raise _unpackable("a stream that is not silent needs a payload")
        body += _write_payload(header, np.asarray(payload))
    elif payload is not None and np.size(payload):
        raise _unpackable("a silent stream carries no payload")
    return body + _check(body)


def read_header(data: bytes) -> SprHeader:
    """Header of a stream, from its first bytes; the payload is neither needed nor checked.

    Raises:
        SpressoError: `not_spr`, `spr_version`, `spr_truncated` or `spr_corrupt`.
    """
    return _parse_header(data)[0]


def unpack(data: bytes) -> tuple[SprHeader, Payload]:
    """Header and payload of a complete stream, its check verified.

    Returns:
        (header, codes int32 [F, M] or z float32 [F, D]); in dual mode with a leading channel axis of 2;
        an array with F = 0 if silent.

    Raises:
        SpressoError: `not_spr`, `spr_version`, `spr_truncated` or `spr_corrupt`.
    """
    header, start = _parse_header(data)
    end = start + header.payload_bytes
    size = end + _check_size(end)
    if len(data) < size:
        raise _truncated(f"the stream has {len(data)} of its {size} bytes")
    if len(data) > size:
        raise _corrupt(f"{len(data) - size} bytes follow the end of the stream")
    if data[end:] != _check(data[:end]):
        raise _corrupt("the check at its end does not match")
    return header, _read_payload(header, data[start:end], 0 if header.silent else header.frames)


def unpack_partial(data: bytes) -> tuple[SprHeader, Payload]:
    """Like `unpack`, but a stream cut short gives the whole frames that arrived, unchecked (progressive loading).

    The header still tells the full length. A complete stream is verified as in `unpack`.
    """
    header, start = _parse_header(data)
    end = start + header.payload_bytes
    if len(data) >= end + _check_size(end):
        return unpack(data)
    arrived = min(len(data), end) - start
    frames = 0 if header.silent else min(header.frames, arrived * 8 // header.frame_bits)
    end = start + _ceil_div(frames * header.frame_bits, 8)
    return header, _read_payload(header, data[start:end], frames, whole=False)


def cut(data: bytes, codebooks: int) -> bytes:
    """The same sound at a lower rate: keep the first `codebooks` codes of every frame. No network runs.

    Raises:
        SpressoError: as `unpack`; `spr_not_discrete` for a continuous stream; `spr_too_few_codebooks` if the stream
            has fewer.
    """
    header, codes = unpack(data)
    if header.codebooks is None:
        raise SpressoError(
            "a continuous stream has no codebooks to drop",
            code="spr_not_discrete",
            hint="Quantise it with `spresso codec encode` at a discrete profile",
        )
    if not 1 <= codebooks <= header.codebooks:
        raise SpressoError(
            f"{codebooks} codebooks asked of a stream that has {header.codebooks}",
            code="spr_too_few_codebooks",
            hint="Encode the source again at a higher rate",
        )
    return pack(replace(header, codebooks=codebooks), None if header.silent else codes[..., :codebooks])


def true_kbps(data: bytes) -> float:
    """Bit rate of the whole stream, container included, in kbit/s; 0 for a sound of no length."""
    header = read_header(data)
    return len(data) * 8 / header.duration_s / 1000 if header.samples else 0.0


# --- header ---------------------------------------------------------------------------------------------------------


def _write_header(header: SprHeader) -> bytes:
    try:
        model = bytes.fromhex(header.model_id)
    except ValueError:
        model = b""
    if len(model) != 3:
        raise _unpackable(f"model_id must be six hex digits, got {header.model_id!r}")
    if header.pool not in _POOL_CODES:
        raise _unpackable(f"no frame-rate code for pool {header.pool}")
    problem = _problem(header)
    if problem:
        raise _unpackable(problem)
    if not -64 <= header.gain_db <= 63.5 or header.gain_db * 2 % 1:
        raise _unpackable(f"gain must be a multiple of 0.5 dB in -64..63.5, got {header.gain_db}")

    extra = b""
    if header.sample_rate in _SAMPLE_RATES:
        rate_code = _SAMPLE_RATES.index(header.sample_rate)
    else:
        rate_code = _RATE_FOLLOWS
        extra += _varint(header.sample_rate)
    if header.channels in _CHANNEL_COUNTS:
        count_code = _CHANNEL_COUNTS.index(header.channels)
    else:
        count_code = _COUNT_FOLLOWS
        extra += _varint(header.channels)
    if header.extension:
        extra += _varint(len(header.extension)) + header.extension

    if header.codebooks is not None and header.bits is not None:
        codebooks, size_code = header.codebooks, header.bits - 1
    else:
        codebooks, size_code = 0, (header.dim or 8) // 8 - 1
    flags = (
        next(code for code, mode in _MODES.items() if mode == header.channel_mode)
        | (_SILENT if header.silent else 0)
        | (_EXTENDED if header.extension else 0)
        | count_code << _COUNT_SHIFT
    )
    rate_byte = _POOL_CODES[header.pool] << 5 | codebooks
    gain_byte = int(header.gain_db * 2) & 0xFF
    fixed = bytes([VERSION, *model, flags, rate_byte, rate_code << 4 | size_code, gain_byte])
    return MAGIC + fixed + _varint(header.samples) + extra


def _parse_header(data: bytes) -> tuple[SprHeader, int]:
    if data[: len(MAGIC)] != MAGIC[: len(data)] or not data:
        raise SpressoError("these bytes are not an .spr stream", code="not_spr", hint="Encode the sound first")
    if len(data) > 3 and data[3] != VERSION:
        raise SpressoError(
            f"the stream has format version {data[3]}, this program reads version {VERSION}",
            code="spr_version",
            hint="Update spresso-assets",
        )
    if len(data) < 12:
        raise _truncated("the stream ends inside its header")
    flags, rate_byte, size_byte = data[7], data[8], data[9]
    pool = POOLS.get(rate_byte >> 5)
    mode = _MODES.get(flags & _MODE_MASK)
    if flags & _RESERVED or pool is None or mode is None:
        raise _corrupt("its header uses values that format version 1 does not define")

    reader = _Reader(data, 11)
    samples = reader.varint()
    rate_code, size_code = size_byte >> 4, size_byte & 0x0F
    if rate_code < len(_SAMPLE_RATES):
        sample_rate = _SAMPLE_RATES[rate_code]
    elif rate_code == _RATE_FOLLOWS:
        sample_rate = reader.varint(forbidden=_SAMPLE_RATES)
    else:
        raise _corrupt("its header names an unknown sample rate")
    count_code = flags >> _COUNT_SHIFT & 0b11
    channels = reader.varint(forbidden=_CHANNEL_COUNTS) if count_code == _COUNT_FOLLOWS else _CHANNEL_COUNTS[count_code]
    extension = b""
    if flags & _EXTENDED:
        length = reader.varint(forbidden=(0,))
        if length > MAX_EXTENSION:
            raise _corrupt("its extension is longer than the format allows")
        extension = reader.take(length)

    codebooks = rate_byte & 0x1F
    header = SprHeader(
        model_id=data[4:7].hex(),
        pool=pool,
        codebooks=codebooks or None,
        bits=size_code + 1 if codebooks else None,
        dim=None if codebooks else 8 * (size_code + 1),
        sample_rate=sample_rate,
        samples=samples,
        channels=channels,
        channel_mode=mode,
        gain_db=int.from_bytes(data[10:11], "little", signed=True) / 2,
        silent=bool(flags & _SILENT),
        extension=extension,
    )
    problem = _problem(header)
    if problem:
        raise _corrupt(problem)
    return header, reader.position


def _problem(header: SprHeader) -> str | None:
    """What keeps these values from being a stream, in words; the same rules on both sides."""
    if header.codebooks is None:
        if header.bits is not None:
            return "a continuous stream has no code size"
        if header.dim is None or header.dim % 8 or not 8 <= header.dim <= 128:
            return f"a continuous stream needs a dimension of 8, 16 ... 128, not {header.dim}"
    elif not 1 <= header.codebooks <= _MAX_CODEBOOKS or header.bits is None or not 1 <= header.bits <= 16:
        return f"{header.codebooks} codebooks of {header.bits} bits are outside 1..{_MAX_CODEBOOKS} and 1..16"
    elif header.dim is not None:
        return "a discrete stream states no dimension"
    if header.channel_mode not in _MODES.values():
        return f"unknown channel mode {header.channel_mode!r}"
    if not 1 <= header.channels <= MAX_CHANNELS:
        return f"{header.channels} channels are outside 1..{MAX_CHANNELS}"
    if header.channel_mode == "dual" and header.channels < 2:
        return "dual mode needs at least two channels"
    if not _MIN_RATE <= header.sample_rate <= _MAX_RATE:
        return f"a sample rate of {header.sample_rate} Hz is outside {_MIN_RATE}..{_MAX_RATE}"
    if not 0 <= header.samples <= MAX_SECONDS * header.sample_rate:
        return f"a length of {header.samples} samples is outside 0..{MAX_SECONDS} s"
    if len(header.extension) > MAX_EXTENSION:
        return f"an extension of {len(header.extension)} bytes is longer than {MAX_EXTENSION}"
    return None


class _Reader:
    """Walks over the variable part of a header."""

    def __init__(self, data: bytes, position: int) -> None:
        self.data = data
        self.position = position

    def take(self, count: int) -> bytes:
        """The next `count` bytes."""
        piece = self.data[self.position : self.position + count]
        if len(piece) < count:
            raise _truncated("the stream ends inside its header")
        self.position += count
        return piece

    def varint(self, forbidden: tuple[int, ...] = ()) -> int:
        """An unsigned LEB128 integer below 2^42, in its shortest form; `forbidden` values have a shorter spelling."""
        value = 0
        for shift in range(0, 42, 7):
            byte = self.take(1)[0]
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                if (shift and not byte) or value in forbidden:
                    raise _corrupt("a number in its header is not in its shortest form")
                return value
        raise _corrupt("a number in its header is too long")


def _varint(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


# --- payload --------------------------------------------------------------------------------------------------------


def _write_payload(header: SprHeader, payload: npt.NDArray[Any]) -> bytes:
    per_frame = header.dim if header.codebooks is None else header.codebooks
    shape: tuple[int | None, ...] = (header.frames, per_frame)
    if header.channel_mode == "dual":
        shape = (2, *shape)
    if payload.shape != shape:
        raise _unpackable(f"a payload of shape {payload.shape} does not fit the header, which asks for {shape}")
    if payload.ndim == 3:
        payload = payload.transpose(1, 0, 2)  # frame by frame, so that a prefix of the stream is a prefix of the sound
    values_FX = payload.reshape(payload.shape[0], math.prod(payload.shape[1:]))
    if header.codebooks is None or header.bits is None:
        with np.errstate(over="ignore"):
            halves = values_FX.astype("<f2")
        if not np.isfinite(halves).all():
            raise _unpackable("z has values that are not finite in 16 bits")
        return halves.tobytes()
    if not np.issubdtype(values_FX.dtype, np.integer):
        raise _unpackable(f"codes must be integers, got {values_FX.dtype}")
    if values_FX.size and not 0 <= int(values_FX.min()) <= int(values_FX.max()) < 1 << header.bits:
        raise _unpackable(f"codes reach outside 0..{(1 << header.bits) - 1}")
    blocks = (values_FX[at : at + _BLOCK] for at in range(0, len(values_FX), _BLOCK))
    return b"".join(_pack_codes(block, header.bits) for block in blocks)


def _read_payload(header: SprHeader, data: bytes, frames: int, whole: bool = True) -> Payload:
    channels = header.coded_channels
    per_frame = (header.dim or 0) if header.codebooks is None else header.codebooks
    values: npt.NDArray[Any]
    if header.codebooks is None or header.bits is None:
        values = np.frombuffer(data, "<f2").astype(np.float32)
        if not np.isfinite(values).all():
            raise _corrupt("its latents are not finite")
    else:
        values = np.empty((frames, channels * per_frame), np.int32)
        step = _BLOCK * header.frame_bits // 8
        for block, at in enumerate(range(0, len(data), step)):
            rows = values[block * _BLOCK : (block + 1) * _BLOCK]
            rows[:] = _unpack_codes(data[at : at + step], rows.size, header.bits).reshape(rows.shape)
        spare = -frames * header.frame_bits % 8
        if whole and spare and data[-1] & ((1 << spare) - 1):
            raise _corrupt("its padding bits are not zero")
    values_FCX = values.reshape(frames, channels, per_frame)
    return np.ascontiguousarray(values_FCX.transpose(1, 0, 2)) if channels == 2 else values_FCX[:, 0]


def _pack_codes(codes: npt.NDArray[Any], bits: int) -> bytes:
    """Codes one after the other, most significant bit first; the last byte is filled up with zeros."""
    two_bytes = codes.reshape(-1, 1).astype(">u2").view(np.uint8)
    return np.packbits(np.unpackbits(two_bytes, axis=1)[:, 16 - bits :]).tobytes()


def _unpack_codes(data: bytes, count: int, bits: int) -> npt.NDArray[np.uint16]:
    planes = np.zeros((count, 16), np.uint8)
    planes[:, 16 - bits :] = np.unpackbits(np.frombuffer(data, np.uint8), count=count * bits).reshape(count, bits)
    return np.packbits(planes, axis=1).view(">u2")[:, 0]


def _ceil_div(a: int, b: int) -> int:
    return -(-a // b)


# --- check and errors -----------------------------------------------------------------------------------------------


def _check_size(body_size: int) -> int:
    return 2 if body_size <= _SMALL else 4


def _check(body: bytes) -> bytes:
    """CRC-16/CCITT (start 0xFFFF) of a small stream, CRC-32 of a large one, little-endian."""
    value = crc_hqx(body, 0xFFFF) if _check_size(len(body)) == 2 else zlib.crc32(body)
    return value.to_bytes(_check_size(len(body)), "little")


def _corrupt(reason: str) -> SpressoError:
    return SpressoError(f"the .spr stream is damaged: {reason}", code="spr_corrupt", hint="Encode the source again")


def _truncated(reason: str) -> SpressoError:
    return SpressoError(
        f"the .spr stream is cut short: {reason}", code="spr_truncated", hint="Copy it again or encode the source again"
    )


def _unpackable(reason: str) -> SpressoError:
    return SpressoError(reason, code="spr_unpackable", hint="This is a fault of the caller", exit_code=ExitCode.FAILED)
