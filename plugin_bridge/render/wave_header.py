"""The first 4096 bytes of every WAV file that the bridge gives out: format and provenance, padded to a constant size.

They are made without decoding, so a client knows length, rate and origin of a sound that does not exist yet.
"""

from __future__ import annotations

import struct

from plugin_bridge.render.takes import HEADER_BYTES, SUBTYPES, Take
from spresso_assets.audio.broadcast import Bext, build_ixml
from spresso_assets.audio.riff import chunk_bytes, wav_head
from spresso_assets.audio.write import format_chunk
from spresso_assets.export.decode import chunk_texts

SHORTEST = 8  # characters to which a text is cut before it is left out


def header(take: Take) -> bytes:
    """Everything in front of the samples: `HEADER_BYTES` bytes.

    Holds a broadcast extension and iXML with the words of a decoded file (`export.decode.chunk_texts`). Where they
    are too long, descriptive texts are cut first and what the sound was made of last.
    """
    bext, ixml = chunk_texts(take.as_decoded())
    bext["coding_history"] = bext["coding_history"][:400]
    front = chunk_bytes("bext", Bext(**{name: _plain(value) for name, value in bext.items()}).to_bytes())  # type: ignore[arg-type]
    behind = format_chunk(take.channels, take.sample_rate, SUBTYPES[take.bits])
    if take.bits == "32f":
        behind += chunk_bytes("fact", struct.pack("<I", min(take.frames, 0xFFFFFFFF)))
    rest = len(wav_head(front + behind, take.data_bytes, take.frames)) + 16  # the heads of iXML and JUNK
    document = _fitted({name: _plain(value) for name, value in ixml.items()}, HEADER_BYTES - rest - 1)
    front += chunk_bytes("iXML", document)
    filler = HEADER_BYTES - len(wav_head(front + behind, take.data_bytes, take.frames)) - 8
    front += chunk_bytes("JUNK", bytes(filler))
    made = wav_head(front + behind, take.data_bytes, take.frames)
    assert len(made) == HEADER_BYTES
    return made


def _fitted(fields: dict[str, str], room: int) -> bytes:
    """An iXML document of at most so many bytes, of even length."""
    fields = dict(fields)
    while len(document := build_ixml(fields).encode("utf-8")) > room:
        described = [name for name in fields if name.startswith("USER/")]
        longest = max(described or fields, key=lambda name: len(fields[name]))
        value = fields[longest]
        if len(value) <= SHORTEST:
            del fields[longest]
        else:
            fields[longest] = value[: len(value) * 3 // 4].rstrip("… ") + "…"
    return document + b"\n" * (len(document) % 2)


def _plain(text: str) -> str:
    """Without what XML cannot hold: control characters and halves of characters."""
    whole = text.encode("utf-8", "replace").decode("utf-8")
    return "".join(c for c in whole if (c >= " " and c not in "\x7f\ufffe\uffff") or c in "\n\t")
