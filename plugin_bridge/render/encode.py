"""Samples to files: WAV made piece by piece from anywhere, FLAC and Ogg Vorbis as a whole.

Integers are rounded with the dither of `audio.write`, which is a function of a sample's place: whatever part of a file
a client asks for, in whatever order, the bytes are those of the whole file, and those that `spresso decode` writes.
"""

from __future__ import annotations

import io

import numpy as np
from numpy.typing import NDArray

from plugin_bridge.render.sounds import Samples
from plugin_bridge.render.takes import HEADER_BYTES, SUBTYPES, WORD_BYTES, Take
from plugin_bridge.render.wave_header import header
from spresso_assets.audio.write import DITHER_FRAMES, dither_of, packed, quantised
from spresso_assets.errors import ExitCode, SpressoError
from spresso_assets.export.decode import chunk_texts

MEDIA_TYPES = {"wav": "audio/wav", "flac": "audio/flac", "ogg": "audio/ogg"}
FLAC_CHANNELS, OGG_CHANNELS = 8, 8
VORBIS_FRAMES = 4096  # more at once has crashed libsndfile's Vorbis encoder


class WavEncoder:
    """Samples of one take as the bytes of a WAV file, in pieces that may come in any order."""

    def __init__(self, take: Take) -> None:
        self._take = take
        self._bits = 8 * WORD_BYTES[take.bits]

    def encode(self, first: int, samples_NC: Samples) -> bytes:
        """Bytes of the frames from ``first`` on."""
        if self._take.bits == "32f":
            return np.ascontiguousarray(samples_NC, "<f4").tobytes()
        return packed(self.words(first, samples_NC), WORD_BYTES[self._take.bits])

    def words(self, first: int, samples_NC: Samples) -> NDArray[np.int32]:
        """The same as integers [n, channels] of the take's word length."""
        take, pieces, at, stop = self._take, [], first, first + len(samples_NC)
        while at < stop:
            number, begin = at // DITHER_FRAMES, at // DITHER_FRAMES * DITHER_FRAMES
            frames = min(DITHER_FRAMES, take.frames - begin)
            until = min(stop, begin + frames)
            dither_NC = dither_of(number, frames, take.channels, at - begin, until - begin)
            pieces.append(quantised(samples_NC[at - first : until - first], self._bits, dither_NC))
            at = until
        return np.concatenate(pieces) if pieces else np.zeros((0, take.channels), np.int32)


def wav_bytes(take: Take, samples_NC: Samples) -> bytes:
    """A whole WAV file: header, samples, and the pad byte where their number is odd."""
    return header(take) + WavEncoder(take).encode(0, samples_NC) + b"\0" * (take.data_bytes % 2)


def check_format(take: Take, format: str) -> None:
    """Refuse what a format cannot hold, before anything is decoded.

    Raises:
        SpressoError: ``bad_format``.
    """
    if format == "wav":
        return
    if format not in MEDIA_TYPES:
        raise _bad_format(f"there is no format '{format}'", f"Use {', '.join(MEDIA_TYPES)}.")
    if format == "flac" and take.bits == "32f":
        raise _bad_format("FLAC holds whole numbers of 16 or 24 bits", "Ask for bits=24, or for WAV.")
    most = FLAC_CHANNELS if format == "flac" else OGG_CHANNELS
    if take.channels > most:
        raise _bad_format(f"{format} holds at most {most} channels, not {take.channels}", "Ask for ch=2, or for WAV.")


def file(take: Take, samples_NC: Samples, format: str) -> bytes:
    """A whole file.

    Args:
        samples_NC: all of the take's samples, float32 [frames, channels].
        format: ``wav``, ``flac`` (16 or 24 bits, dithered like WAV) or ``ogg`` (Vorbis, quality about 160 kbit/s).

    Raises:
        SpressoError: ``bad_format``.
    """
    check_format(take, format)
    if format == "wav":
        return wav_bytes(take, samples_NC)
    import soundfile

    bext, _ = chunk_texts(take.as_decoded())
    made = io.BytesIO()
    subtype = SUBTYPES[take.bits] if format == "flac" else "VORBIS"
    with soundfile.SoundFile(
        made, "w", take.sample_rate, take.channels, subtype, format="FLAC" if format == "flac" else "OGG"
    ) as out:
        # The encoders take comments only before the first sample; the same as `audio.write` gives a FLAC file.
        for key, name in (("description", "title"), ("originator", "software"), ("coding_history", "comment")):
            setattr(out, name, bext[key].replace("\0", " "))
        if format == "flac":
            encoder, shift = WavEncoder(take), 32 - 8 * WORD_BYTES[take.bits]
            for at in range(0, take.frames, DITHER_FRAMES):
                out.write(encoder.words(at, samples_NC[at : at + DITHER_FRAMES]) << shift)
        else:
            for at in range(0, take.frames, VORBIS_FRAMES):
                out.write(samples_NC[at : at + VORBIS_FRAMES])
    return made.getvalue()


def wav_part(take: Take, encoder: WavEncoder, first: int, samples_NC: Samples) -> bytes:
    """Bytes of a WAV file that some frames stand for, the pad byte behind the last one included."""
    raw = encoder.encode(first, samples_NC)
    if first + len(samples_NC) == take.frames:
        raw += b"\0" * (take.data_bytes % 2)
    return raw


def frames_of(take: Take, start: int, stop: int) -> tuple[int, int]:
    """Frames whose bytes lie in bytes ``start`` .. ``stop`` of a WAV file; none where only its header does."""
    first = max(0, start - HEADER_BYTES) // take.frame_bytes if take.frames else 0
    last = -(-max(0, stop - HEADER_BYTES) // take.frame_bytes) if take.frames else 0
    return min(first, take.frames), min(last, take.frames)


def _bad_format(message: str, hint: str) -> SpressoError:
    return SpressoError(message, code="bad_format", hint=hint, exit_code=ExitCode.USAGE)
