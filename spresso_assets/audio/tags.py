"""Tags of FLAC, Ogg, MP3 and of ID3 chunks, through mutagen: the one module that imports it, and only when needed.

mutagen is GPL-2.0-or-later; keeping it behind these two functions keeps it replaceable. It trusts declared sizes
(a crafted file makes it ask for gigabytes), so it only ever sees a file through a
`SoundSpan`, its lengths are never
used, and no exception of its parsers gets out: a broken tag must not cost the sound.
"""

from __future__ import annotations

import io
import os
from typing import Any, BinaryIO

from spresso_assets.audio.fields import UCS_KEYS, FieldValue, field_values
from spresso_assets.audio.span import SoundSpan

_COMMENTS = {
    **UCS_KEYS,
    "title": "title",
    "description": "description",
    "comment": "description",
    "album": "library",
    "artist": "designer",
    "performer": "designer",
    "organization": "manufacturer",
    "label": "manufacturer",
    "publisher": "manufacturer",
    "genre": "category",
    "date": "track_year",
    "year": "track_year",
    "location": "location",
    "keywords": "keywords",
    "rating": "rating",
    "notes": "notes",
    "microphone": "microphone",
}
_FRAMES = {
    "TIT2": "title",
    "COMM": "description",
    "TALB": "library",
    "TPE1": "designer",
    "TPUB": "manufacturer",
    "TCON": "category",
    "TDRC": "track_year",
    "TYER": "track_year",
    "POPM": "rating",
}


def read_tags(file: BinaryIO, container: str, subtype: str) -> list[FieldValue]:
    """Fields from the tags of a FLAC, Ogg or MP3 file; nothing for other containers or broken tags.

    Args:
        file: open for reading, any position.
        container: libsndfile's name of the format.
        subtype: libsndfile's name of the coding.
    """
    whole = SoundSpan(file, 0, file.seek(0, os.SEEK_END))
    try:
        if container in ("MP3", "MPEG"):
            return _from_id3(whole)
        if container == "FLAC":
            from mutagen.flac import FLAC

            return _from_comments(FLAC(whole).tags)
        if container == "OGG" and subtype == "VORBIS":
            from mutagen.oggvorbis import OggVorbis

            return _from_comments(OggVorbis(whole).tags)
        if container == "OGG" and subtype == "OPUS":
            from mutagen.oggopus import OggOpus

            return _from_comments(OggOpus(whole).tags)
    except Exception:  # mutagen's parsers raise what they like: struct.error, RuntimeError, MemoryError...
        return []
    return []


def read_id3_chunk(body: bytes) -> list[FieldValue]:
    """Fields from the `id3 ` chunk of a WAV or the `ID3 ` chunk of an AIFF file."""
    try:
        return _from_id3(io.BytesIO(body))
    except Exception:  # as above
        return []


def _from_comments(tags: Any) -> list[FieldValue]:
    pairs: list[tuple[str, str]] = []
    for key, value in tags or ():
        field = _COMMENTS.get(key.lower().replace(" ", "").replace("_", ""))
        if field is not None:
            pairs.append((field, str(value)))
    return field_values(pairs, "id3")


def _from_id3(file: Any) -> list[FieldValue]:
    from mutagen.id3 import ID3, ID3NoHeaderError

    try:
        tags = ID3(file)
    except ID3NoHeaderError:
        return []
    pairs: list[tuple[str, str]] = []
    for frame in tags.values():
        name = frame.FrameID
        if name == "TXXX":
            field = _COMMENTS.get(frame.desc.lower().replace(" ", "").replace("_", ""))
            text = "; ".join(str(part) for part in frame.text)
        elif name == "POPM":
            field, text = "rating", str(frame.rating)
        elif name in _FRAMES:
            field, text = _FRAMES[name], "; ".join(str(part) for part in frame.text)
            if name == "COMM" and frame.desc.startswith("iTun"):  # machine data of a music shop
                continue
        else:
            continue
        if field is not None:
            pairs.append((field, text))
    return field_values(pairs, "id3")
