"""Reading sounds: every format that libsndfile knows, guarded against what files of strangers do.

Two ways in: `read_audio` for a whole sound in memory, `iter_blocks` for sounds of any length. Both refuse what would
only yield garbage: files that are cut, channel counts, rates and lengths beyond any real recording, samples that are
no numbers. `open_sound` is the door both go through.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

import numpy as np
from numpy.typing import NDArray

from spresso_assets.audio.completeness import Completeness, check
from spresso_assets.audio.flac import HEAD_BYTES, declared_frames, last_sample, with_length
from spresso_assets.audio.opening import open_regular, reading_fault, short_name
from spresso_assets.audio.resample import check_rate
from spresso_assets.audio.riff import chunk_bytes, load_chunk, walk_chunks, wav_head
from spresso_assets.audio.span import SoundSpan
from spresso_assets.errors import SpressoError

if TYPE_CHECKING:
    import soundfile

MAX_SECONDS = 4 * 3600
MAX_CHANNELS = 64
MAX_SAMPLES_IN_MEMORY = 800_000_000
BLOCK_SAMPLES = 1 << 19
MAX_NONFINITE_SHARE = 0.01

# Formats of sound. libsndfile also opens MATLAB matrices and headerless guesses, which are data, not recordings.
FORMATS = frozenset(
    {"WAV", "WAVEX", "RF64", "W64", "AIFF", "FLAC", "OGG", "MP3", "MPEG", "CAF", "AU"}
    | {"SVX", "NIST", "VOC", "IRCAM", "PAF", "AVR", "SDS", "WVE", "MPC2K", "XI", "SD2"}
)
# Subtypes whose samples are the same whatever the decoder: their decoded values may serve as identity.
LOSSLESS = frozenset(
    {"PCM_S8", "PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ULAW", "ALAW"}
    | {"ALAC_16", "ALAC_20", "ALAC_24", "ALAC_32", "DWVW_12", "DWVW_16", "DWVW_24", "DPCM_8", "DPCM_16"}
)
_WIDE = frozenset(("PCM_32", "DOUBLE", "ALAC_32"))
UNKNOWN_FRAMES = 1 << 62

Samples = NDArray[np.float32]


@dataclass
class Sound:
    """A decoded sound: float32 samples [C, N], full scale at 1.0, and its rate in hertz."""

    samples: Samples
    sample_rate: int

    @property
    def channels(self) -> int:
        """C."""
        return self.samples.shape[0]

    @property
    def frames(self) -> int:
        """N."""
        return self.samples.shape[1]

    @property
    def seconds(self) -> float:
        """Length."""
        return self.frames / self.sample_rate


@dataclass
class OpenSound:
    """An open, checked sound file. `frames` is what the header declares, None when it does not know."""

    handle: soundfile.SoundFile
    name: str
    format: str
    subtype: str
    sample_rate: int
    channels: int
    frames: int | None
    completeness: Completeness

    @property
    def lossless(self) -> bool:
        """Whether decoding gives the same values with every decoder."""
        return self.subtype in LOSSLESS or self.format == "FLAC"

    @property
    def wide(self) -> bool:
        """Whether samples may need more than float32's 24 bits."""
        return self.subtype in _WIDE

    def blocks(self, frames: int | None = None) -> Iterator[NDArray[np.float32] | NDArray[np.float64]]:
        """Raw blocks [n, C] as decoded: float64 when `wide`, else float32; not yet checked for numbers.

        Raises:
            SpressoError: `truncated_file` when decoding fails or ends before the declared length, `too_long` when it
                goes on beyond MAX_SECONDS.
        """
        import soundfile

        step = frames or max(1024, BLOCK_SAMPLES // self.channels)
        if not self.completeness.audio_complete:
            step = min(step, 4096)  # a decoder that meets the cut gives nothing of the block it stands in
        dtype = "float64" if self.wide else "float32"
        limit = MAX_SECONDS * self.sample_rate
        got = 0
        while self.frames is None or got < self.frames:
            block = np.empty((step, self.channels), dtype)
            try:
                block = block[: self.handle.buffer_read_into(block, dtype)]
            except (soundfile.LibsndfileError, RuntimeError) as error:
                raise SpressoError(
                    f"{self.name} breaks off while decoding after {got / self.sample_rate:.1f} s: {_plain(error)}",
                    code="truncated_file",
                    hint="Copy or export the file again.",
                    details={"frames_read": got},
                ) from error
            if not len(block):
                break
            got += len(block)
            if got > limit:
                raise _too_long(self.name, got / self.sample_rate)
            yield block
        if self.frames is not None and got < self.frames:
            raise SpressoError(
                f"{self.name} declares {self.frames} frames but holds {got}",
                code="truncated_file",
                hint="Copy or export the file again.",
                details={"frames_read": got},
            )
        if got == 0:
            raise _no_samples(self.name)


@contextmanager
def open_sound(path: str | os.PathLike[str], allow_truncated: bool = False) -> Iterator[OpenSound]:
    """Open a sound file and check everything that can be known before decoding.

    Args:
        path: the file.
        allow_truncated: go on with what is there of a file that is cut.

    Raises:
        SpressoError: `file_missing`, `not_a_file`, `unreadable_file`, `empty_file`, `truncated_file`,
            `unsupported_format`, `zero_channels`, `too_many_channels`, `bad_sample_rate`, `too_long`, `no_samples`.
    """
    name = short_name(path)
    with open_regular(path) as file:
        try:
            completeness = _require_whole(name, file, allow_truncated)
            with _decoder(name, file) as (handle, length_declared):
                yield _checked(name, handle, completeness, length_declared)
        except OSError as error:
            raise reading_fault(path, error) from error


def _require_whole(name: str, file: BinaryIO, allow_truncated: bool) -> Completeness:
    if os.fstat(file.fileno()).st_size == 0:
        raise SpressoError(f"{name} is empty (0 bytes)", code="empty_file", hint="Copy or export the file again.")
    completeness = check(file)
    if completeness.audio_complete or allow_truncated:
        return completeness
    raise SpressoError(
        f"{name} is cut: {completeness.reason}",
        code="truncated_file",
        hint="Let its writer finish, or copy the file again.",
        details={"unfinished": completeness.unfinished},
    )


@contextmanager
def _decoder(name: str, file: BinaryIO) -> Iterator[tuple[soundfile.SoundFile, bool]]:
    """The decoder, and whether its length is declared rather than guessed."""
    import soundfile

    from spresso_assets.audio.mpeg import counts_frames, length_frame, sound_span

    file.seek(0)
    head = file.read(4)
    frames = sound_span(file) if head[:3] == b"ID3" or head[:1] == b"\xff" else None
    handle = None
    try:
        if frames is None:
            handle = soundfile.SoundFile(_mended(file, head) or _descriptor(file), closefd=True)
    except (soundfile.LibsndfileError, RuntimeError, TypeError, ValueError) as error:
        frames = sound_span(file)  # frames behind junk?
        if frames is None:
            raise _open_fault(name, file, error) from error
    if frames is not None:
        try:
            prefix = b"" if counts_frames(file, frames) else length_frame(file, frames)
            handle = soundfile.SoundFile(SoundSpan(file, *frames, prefix=prefix))
        except (soundfile.LibsndfileError, RuntimeError, TypeError, ValueError) as error:
            raise _open_fault(name, file, error) from error
    assert handle is not None
    with handle:
        yield handle, frames is None or counts_frames(file, frames)


def _descriptor(file: BinaryIO) -> int:
    """A descriptor of its own for libsndfile, at the start of the file."""
    descriptor = os.dup(file.fileno())
    os.lseek(descriptor, 0, os.SEEK_SET)  # a buffered file's own seek may leave the descriptor where it is
    return descriptor


def _mended(file: BinaryIO, head: bytes) -> SoundSpan | None:
    """The same sound behind a header that libsndfile takes, for the legal files that it does not; else None.

    These are FLAC of undeclared length, BW64 (an RF64 by another name) and WAV with odd chunks that lack a pad byte.
    """
    if head == b"fLaC" and declared_frames(file) == 0 and (frames := last_sample(file)):
        size = os.fstat(file.fileno()).st_size
        return SoundSpan(file, HEAD_BYTES, size, with_length(file, frames))
    if head not in (b"RIFF", b"BW64"):
        return None
    riff = walk_chunks(file)
    fmt, data = riff.find("fmt "), riff.find("data")
    if fmt is None or data is None or (head == b"RIFF" and not riff.unpadded):
        return None
    body = load_chunk(file, fmt)
    prefix = wav_head(chunk_bytes("fmt ", body), data.size, frames=0)
    return SoundSpan(file, data.offset, data.offset + data.size, prefix)


def _open_fault(name: str, file: BinaryIO, error: Exception) -> SpressoError:
    """libsndfile has one message for many faults; look at the header to say which it is."""
    riff = walk_chunks(file)
    fmt = riff.find("fmt ")
    if fmt is not None and fmt.size >= 8:
        channels, rate = struct.unpack(">HI" if riff.byte_order == "big" else "<HI", load_chunk(file, fmt)[2:8])
        if channels == 0:
            return _zero_channels(name)
        if rate == 0:
            check_rate(rate, name)
    return SpressoError(
        f"{name} is no sound that can be read: {_plain(error)}",
        code="unsupported_format",
        hint="Convert it to WAV or FLAC, or exclude it.",
    )


def _zero_channels(name: str) -> SpressoError:
    return SpressoError(
        f"{name} declares 0 channels", code="zero_channels", hint="Export the sound again from its project."
    )


def _checked(name: str, handle: soundfile.SoundFile, completeness: Completeness, length_declared: bool) -> OpenSound:
    frames = handle.frames if length_declared and 0 <= handle.frames < UNKNOWN_FRAMES else None
    if handle.format not in FORMATS:
        raise SpressoError(
            f"{name} is a {handle.format} file, which holds data rather than sound",
            code="unsupported_format",
            hint="Convert it to WAV or FLAC, or exclude it.",
        )
    if handle.channels < 1:
        raise _zero_channels(name)
    if handle.channels > MAX_CHANNELS:
        raise SpressoError(
            f"{name} declares {handle.channels} channels, more than {MAX_CHANNELS}",
            code="too_many_channels",
            hint="Split it into stems.",
        )
    check_rate(handle.samplerate, name)
    if frames is not None and frames > MAX_SECONDS * handle.samplerate:
        raise _too_long(name, frames / handle.samplerate)
    if frames == 0:
        raise _no_samples(name)
    return OpenSound(
        handle, name, handle.format, handle.subtype, handle.samplerate, handle.channels, frames, completeness
    )


def _too_long(name: str, seconds: float) -> SpressoError:
    return SpressoError(
        f"{name} lasts {seconds / 3600:.1f} h, more than {MAX_SECONDS / 3600:.0f} h",
        code="too_long",
        hint="Split it into shorter files.",
    )


def _no_samples(name: str) -> SpressoError:
    return SpressoError(f"{name} holds no samples", code="no_samples", hint="Export the sound again, or exclude it.")


def _plain(error: Exception) -> str:
    """libsndfile's own words without Python's frame around them."""
    text = getattr(error, "error_string", None) or str(error)
    return " ".join(str(text).split()).rstrip(".")


def cleaned(block: NDArray[np.float32] | NDArray[np.float64]) -> tuple[Samples, int]:
    """float32 samples with NaN and infinities replaced by zero, and how many those were."""
    with np.errstate(over="ignore"):
        x = block if block.dtype == np.float32 else block.astype(np.float32)
    # A sum is finite unless a member is not, and costs a fraction of looking at each sample.
    if np.isfinite(np.sum(x, dtype=np.float64)):
        return x, 0  # type: ignore[return-value]
    bad = ~np.isfinite(x)
    return np.where(bad, np.float32(0), x), int(bad.sum())


def require_finite(name: str, bad: int, total: int) -> None:
    """A few broken samples are repaired, more are refused.

    Raises:
        SpressoError: `nonfinite_samples` above MAX_NONFINITE_SHARE.
    """
    if bad > MAX_NONFINITE_SHARE * total:
        raise SpressoError(
            f"{name}: {100 * bad / total:.1f} % of its samples are not numbers (NaN or infinite)",
            code="nonfinite_samples",
            hint="Render the sound again.",
        )


def iter_blocks(
    path: str | os.PathLike[str], frames: int = BLOCK_SAMPLES, allow_truncated: bool = False
) -> Iterator[Samples]:
    """Stream a sound as float32 blocks [C, n] of at most `frames` frames.

    Non-finite samples come as zeros; when the whole sound proves to have more than 1 % of them, the last step raises.

    Raises:
        SpressoError: as `open_sound`, `OpenSound.blocks` and `require_finite` do.
    """
    with open_sound(path, allow_truncated) as sound:
        bad = total = 0
        try:
            for raw in sound.blocks(frames):
                block, broken = cleaned(raw)
                bad, total = bad + broken, total + block.size
                yield np.ascontiguousarray(block.T)
        except SpressoError as error:
            if not (allow_truncated and error.code == "truncated_file" and total):
                raise
        require_finite(sound.name, bad, total)


def read_audio(path: str | os.PathLike[str], allow_truncated: bool = False) -> Sound:
    """Read a whole sound into memory.

    Args:
        path: the file; only ever opened for reading.
        allow_truncated: give what is there of a file that is cut, instead of raising `truncated_file`.

    Returns:
        Samples float32 [C, N] as stored (values beyond 1.0 are kept), NaN and infinities replaced by zero.

    Raises:
        SpressoError: as `open_sound`, `OpenSound.blocks` and `require_finite` do; `too_long` also when the decoded
            sound would not fit into memory, where `iter_blocks` is the way.
    """
    with open_sound(path, allow_truncated) as sound:
        if (sound.frames or 0) * sound.channels > MAX_SAMPLES_IN_MEMORY:
            raise SpressoError(
                f"{sound.name} decodes to {(sound.frames or 0) * sound.channels * 4 / 1e9:.1f} GB",
                code="too_long",
                hint="Split it into shorter files.",
            )
        rate = sound.sample_rate
    pieces = list(iter_blocks(path, allow_truncated=allow_truncated))
    return Sound(pieces[0] if len(pieces) == 1 else np.concatenate(pieces, axis=1), rate)
