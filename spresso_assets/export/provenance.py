"""What a decoded file says about where it came from: asked of the file itself, whatever it is called by now."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, BinaryIO

from spresso_assets.errors import SpressoError

NOTE = "SPRESSO/"  # of the iXML fields that a decode carries
_HISTORY = re.compile(r"A=S-PRESSO,[^\r\n]*?T=([^\r\n\0]*)")


def provenance_of(path: Path) -> dict[str, str]:
    """Names and values such as ``ASSET``, ``PROFILE``, ``SEED``; {} for a file that is no decode of ours.

    Reads iXML, and where an editor dropped that, the coding history of the broadcast extension or of a FLAC comment.

    Raises:
        SpressoError: as `audio.opening.open_regular`.
    """
    from spresso_assets.audio.broadcast import parse_ixml
    from spresso_assets.audio.opening import open_regular
    from spresso_assets.audio.riff import load_chunk, walk_chunks

    with open_regular(path) as file:
        riff = walk_chunks(file)
        if not riff.form:
            return _from_history(_flac_comment(file)) if path.suffix.lower() == ".flac" else {}
        bodies = {chunk.id: load_chunk(file, chunk) for chunk in riff.chunks if chunk.id in ("iXML", "bext")}
    told = parse_ixml(bodies.get("iXML", b""))
    found = {key.removeprefix(NOTE): value for key, value in told.items() if key.startswith(NOTE)}
    return found or _from_history(bodies.get("bext", b"").decode("utf-8", "replace"))


def is_same_take(path: Path, wanted: dict[str, str]) -> bool:
    """Whether a file says that it is what would be written now; False for anything that cannot be read."""
    try:
        found = provenance_of(path)
    except SpressoError:
        return False
    return bool(found) and all(found.get(key) == value for key, value in wanted.items())


def _from_history(text: str) -> dict[str, str]:
    match = _HISTORY.search(text)
    if match is None:
        return {}
    pairs = (part.partition("=") for part in match[1].split(";"))
    return {key.strip(): value.strip() for key, _, value in pairs if value}


def _flac_comment(file: BinaryIO) -> str:
    from mutagen import MutagenError
    from mutagen.flac import FLAC

    try:
        file.seek(0)
        tags: Any = FLAC(file).tags
        return "\n".join(str(value) for _, value in tags or ())
    except (MutagenError, ValueError, OSError):
        return ""
