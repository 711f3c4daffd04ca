"""The header of an .spr stream: what a sound says about itself in 14 bytes or little more.

docs/reference/spr-format.md describes it byte by byte.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from spresso_assets.codec.bitstream_errors import corrupt, truncated, unpackable
from spresso_assets.errors import SpressoError

ChannelMode = Literal["mono", "dual", "parametric"]

MAGIC = b"SPR"
NEWEST_VERSION = 2
MAX_SECONDS = 4 * 3600 + 60  # the longest sound that is read, and a margin for resampling
MAX_CHANNELS = 64
MAX_EXTENSION = 65535

MODEL_RATE = 48_000  # Hz, rate at which the codec works
HOP = 480  # samples per autoencoder frame: 100 Hz

# Frame-rate code (3 bits) -> t, autoencoder frames pooled into one latent frame. 0 and 5..7 are free.
POOLS: dict[int, int] = {1: 4, 2: 9, 3: 20, 4: 100}
_POOL_CODES = {pool: code for code, pool in POOLS.items()}

# Sample-rate code (4 bits); the last code says that a varint follows.
_SAMPLE_RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000, 64000, 88200, 96000, 176400, 192000)
_RATE_FOLLOWS = 15
MIN_RATE, MAX_RATE = 100, 2_000_000

# Channel-count code (2 bits); the last one says that a varint follows.
_CHANNEL_COUNTS = (1, 2, 6)
_COUNT_FOLLOWS = 3

# Flag bits
_MODE_MASK = 0b0000_0011
_SILENT = 0b0000_0100
_EXTENDED = 0b0000_1000
_COUNT_SHIFT = 4
_ENTROPY_CODED = 0b0100_0000
_RESERVED = 0b1000_0000
_MODES: dict[int, ChannelMode] = {0: "mono", 1: "dual", 2: "parametric"}
CHANNEL_MODES = tuple(_MODES.values())

_MAX_CODEBOOKS = 31

# Side section of parametric streams: see `stereo`
STEREO_BANDS = 12
STEREO_BITS = 6


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
        channel_mode: "mono" codes the mid signal, "dual" codes left and right apart, "parametric" codes the mid signal
            and describes its stereo image in the side section.
        gain_db: level of the source relative to what was encoded, in steps of 0.5 dB; applied after decoding.
        silent: the source is digital silence; there are no codes.
        extension: bytes for later versions; readers keep them and look no further.
        coded: the codes are entropy-coded with the tables of the model; `pack` decides that, it asks for nothing.
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
    coded: bool = False

    @property
    def version(self) -> int:
        """Format version that a stream needs: the first one that can say what its header says."""
        return 2 if self.coded or self.channel_mode == "parametric" else 1

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
        """Size of the payload as plain codes or latents, without header, side section and check."""
        return 0 if self.silent else ceil_div(self.frames * self.frame_bits, 8)

    @property
    def side_bytes(self) -> int:
        """Size of the side section, which stands between header and payload."""
        return ceil_div(self.side_bits, 8)

    @property
    def side_bits(self) -> int:
        """Bits of the side section that are in use; those that fill up its last byte are zero."""
        if self.channel_mode != "parametric":
            return 0
        return math.prod(stereo_grid(self.samples, self.sample_rate)) * STEREO_BITS

    @property
    def nominal_kbps(self) -> float:
        """Rate of the codes alone, M log2(K) 100/t per coded channel; `true_kbps` counts the container too."""
        return self.frame_bits * 100 / self.pool / 1000


def frame_count(samples: int, sample_rate: int, pool: int) -> int:
    """Latent frames of a sound: ceil(ceil(N / 480) / t) with N its length at 48 kHz, rounded up. Integers only."""
    return ceil_div(ceil_div(ceil_div(samples * MODEL_RATE, sample_rate), HOP), pool)


def stereo_grid(samples: int, sample_rate: int) -> tuple[int, int]:
    """Codes that describe the stereo image of a sound: P frames, one per whole half second, of so many bands.

    A sound of less than 0.48 s has one frame of as many bands as 150 bit/s buy, but at least one.
    """
    frames = max(1, 2 * samples // sample_rate)
    affordable = max(1, 150 * samples // (8 * sample_rate))
    return frames, min(STEREO_BANDS, 8 * affordable // STEREO_BITS)


def write_header(header: SprHeader) -> bytes:
    """The header's bytes. Raises SpressoError `spr_unpackable` for values that have no place in the format."""
    try:
        model = bytes.fromhex(header.model_id)
    except ValueError:
        model = b""
    if len(model) != 3:
        raise unpackable(f"model_id must be six hex digits, got {header.model_id!r}")
    if header.pool not in _POOL_CODES:
        raise unpackable(f"no frame-rate code for pool {header.pool}")
    problem = _problem(header)
    if problem:
        raise unpackable(problem)
    if not -64 <= header.gain_db <= 63.5 or header.gain_db * 2 % 1:
        raise unpackable(f"gain must be a multiple of 0.5 dB in -64..63.5, got {header.gain_db}")

    extra = b""
    if header.sample_rate in _SAMPLE_RATES:
        rate_code = _SAMPLE_RATES.index(header.sample_rate)
    else:
        rate_code = _RATE_FOLLOWS
        extra += varint(header.sample_rate)
    if header.channels in _CHANNEL_COUNTS:
        count_code = _CHANNEL_COUNTS.index(header.channels)
    else:
        count_code = _COUNT_FOLLOWS
        extra += varint(header.channels)
    if header.extension:
        extra += varint(len(header.extension)) + header.extension

    if header.codebooks is not None and header.bits is not None:
        codebooks, size_code = header.codebooks, header.bits - 1
    else:
        codebooks, size_code = 0, (header.dim or 8) // 8 - 1
    flags = (
        next(code for code, mode in _MODES.items() if mode == header.channel_mode)
        | (_SILENT if header.silent else 0)
        | (_EXTENDED if header.extension else 0)
        | (_ENTROPY_CODED if header.coded else 0)
        | count_code << _COUNT_SHIFT
    )
    rate_byte = _POOL_CODES[header.pool] << 5 | codebooks
    gain_byte = int(header.gain_db * 2) & 0xFF
    fixed = bytes([header.version, *model, flags, rate_byte, rate_code << 4 | size_code, gain_byte])
    return MAGIC + fixed + varint(header.samples) + extra


def parse_header(data: bytes) -> tuple[SprHeader, int]:
    """A stream's header and its size in bytes. Raises SpressoError as `bitstream.read_header`."""
    if data[: len(MAGIC)] != MAGIC[: len(data)] or not data:
        raise SpressoError("these bytes are not an .spr stream", code="not_spr", hint="Encode the sound first")
    if len(data) > 3 and not 1 <= data[3] <= NEWEST_VERSION:
        raise SpressoError(
            f"the stream has format version {data[3]}, this program reads versions up to {NEWEST_VERSION}",
            code="spr_version",
            hint="Update spresso-assets",
        )
    if len(data) < 12:
        raise truncated("the stream ends inside its header")
    flags, rate_byte, size_byte = data[7], data[8], data[9]
    pool = POOLS.get(rate_byte >> 5)
    mode = _MODES.get(flags & _MODE_MASK)
    if flags & _RESERVED or pool is None or mode is None:
        raise corrupt("its header uses values that the format does not define")

    reader = Reader(data, 11)
    samples = reader.varint()
    rate_code, size_code = size_byte >> 4, size_byte & 0x0F
    if rate_code < len(_SAMPLE_RATES):
        sample_rate = _SAMPLE_RATES[rate_code]
    elif rate_code == _RATE_FOLLOWS:
        sample_rate = reader.varint(forbidden=_SAMPLE_RATES)
    else:
        raise corrupt("its header names an unknown sample rate")
    count_code = flags >> _COUNT_SHIFT & 0b11
    channels = reader.varint(forbidden=_CHANNEL_COUNTS) if count_code == _COUNT_FOLLOWS else _CHANNEL_COUNTS[count_code]
    extension = b""
    if flags & _EXTENDED:
        length = reader.varint(forbidden=(0,))
        if length > MAX_EXTENSION:
            raise corrupt("its extension is longer than the format allows")
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
        coded=bool(flags & _ENTROPY_CODED),
    )
    problem = _problem(header)
    if problem:
        raise corrupt(problem)
    if header.version != data[3]:
        raise corrupt(f"it says format version {data[3]}, its header is one of version {header.version}")
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
    if header.coded and (header.codebooks is None or header.silent or not header.samples):
        return "only codes are entropy-coded"
    if header.channel_mode not in _MODES.values():
        return f"unknown channel mode {header.channel_mode!r}"
    if not 1 <= header.channels <= MAX_CHANNELS:
        return f"{header.channels} channels are outside 1..{MAX_CHANNELS}"
    if header.channel_mode != "mono" and header.channels < 2:
        return f"{header.channel_mode} mode needs at least two channels"
    if header.channel_mode == "parametric" and (header.silent or not header.samples):
        return "silence has no stereo image: its mode is mono"
    if not MIN_RATE <= header.sample_rate <= MAX_RATE:
        return f"a sample rate of {header.sample_rate} Hz is outside {MIN_RATE}..{MAX_RATE}"
    if not 0 <= header.samples <= MAX_SECONDS * header.sample_rate:
        return f"a length of {header.samples} samples is outside 0..{MAX_SECONDS} s"
    if len(header.extension) > MAX_EXTENSION:
        return f"an extension of {len(header.extension)} bytes is longer than {MAX_EXTENSION}"
    return None


class Reader:
    """Walks over those parts of a stream whose size is not fixed; `place` is their name for messages."""

    def __init__(self, data: bytes, position: int = 0, place: str = "header") -> None:
        self.data, self.position, self.place = data, position, place

    def take(self, count: int) -> bytes:
        """The next `count` bytes."""
        piece = self.data[self.position : self.position + count]
        if len(piece) < count:
            raise truncated(f"the stream ends inside its {self.place}")
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
                    raise corrupt(f"a number in its {self.place} is not in its shortest form")
                return value
        raise corrupt(f"a number in its {self.place} is too long")


def varint(value: int) -> bytes:
    """An unsigned LEB128 integer, shortest form."""
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def ceil_div(a: int, b: int) -> int:
    """a / b, rounded up."""
    return -(-a // b)
