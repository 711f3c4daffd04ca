"""What broadcast and game-audio people write into chunks: bext, iXML, LIST INFO, cue points and loops.

Sources: EBU Tech 3285 v2 (bext); ixml.info (iXML 3); ASWG-G006 (game-audio fields inside iXML); Microsoft Multimedia
Programming Interface (INFO, cue, smpl).
"""

from __future__ import annotations

import struct
from contextlib import suppress
from dataclasses import dataclass
from xml.etree import ElementTree
from xml.sax.saxutils import escape


def text_of(raw: bytes) -> str:
    """Text from a fixed-width field: up to the first NUL, UTF-8 if it is, else Latin-1; never fails."""
    raw = raw.split(b"\0", 1)[0]
    try:
        return raw.decode("utf-8").strip()
    except UnicodeDecodeError:
        return raw.decode("latin-1").strip()


# --- bext -------------------------------------------------------------------------------------------------------------

_BEXT = struct.Struct("<256s32s32s10s8sQH64s5h180s")


@dataclass(frozen=True)
class Bext:
    """The broadcast extension chunk.

    Attributes:
        description: what is heard, at most 256 bytes.
        originator: who or what made the file, at most 32 bytes.
        originator_reference: its identifier for this recording, at most 32 bytes.
        origination_date: `yyyy-mm-dd`.
        origination_time: `hh:mm:ss`.
        time_reference: samples since midnight at the first sample.
        version: 0, 1 or 2.
        umid: 64 bytes as hexadecimal text, trailing zeros left out; empty when unset.
        coding_history: one line per generation, `A=PCM,F=48000,W=24,M=mono,T=...`.
    """

    description: str = ""
    originator: str = ""
    originator_reference: str = ""
    origination_date: str = ""
    origination_time: str = ""
    time_reference: int = 0
    version: int = 1
    umid: str = ""
    coding_history: str = ""

    @classmethod
    def from_bytes(cls, body: bytes) -> Bext | None:
        """Parse a chunk body; None when it is too short to be one."""
        if len(body) < 348:  # up to and including the version; some early writers stop there
            return None
        fixed = _BEXT.unpack(body[: _BEXT.size].ljust(_BEXT.size, b"\0"))
        description, originator, reference, date, time = (text_of(part) for part in fixed[:5])
        return cls(
            description=description,
            originator=originator,
            originator_reference=reference,
            origination_date=date,
            origination_time=time,
            time_reference=fixed[5],
            version=fixed[6],
            umid=fixed[7].rstrip(b"\0").hex(),
            coding_history=text_of(body[_BEXT.size :]),
        )

    def to_bytes(self) -> bytes:
        """The chunk body; texts longer than their field are cut between characters."""
        umid = bytes.fromhex(self.umid)[:64]
        history = self.coding_history.replace("\r\n", "\n").rstrip("\n").replace("\n", "\r\n")
        fixed = _BEXT.pack(
            _fit(self.description, 256),
            _fit(self.originator, 32),
            _fit(self.originator_reference, 32),
            _fit(self.origination_date, 10),
            _fit(self.origination_time, 8),
            self.time_reference,
            self.version,
            umid,
            *(0x7FFF,) * 5 if self.version >= 2 else (0,) * 5,  # 0x7FFF: loudness not measured
            b"",
        )
        return fixed + (history.encode("utf-8") + b"\r\n\0" if history else b"")


def _fit(text: str, size: int) -> bytes:
    return text.encode("utf-8")[:size].decode("utf-8", "ignore").encode("utf-8")


# --- iXML -------------------------------------------------------------------------------------------------------------


def parse_ixml(body: bytes) -> dict[str, str]:
    """Flatten an iXML document to `{"SCENE": "12", "ASWG/catId": "DOORWood", "USER/FXName": ...}`.

    Leaf elements only, keys without the root, first value wins. Damaged XML gives what came before the damage; a
    document type is refused, since entities are the one way in which such a chunk could blow up.
    """
    text = body.split(b"\0", 1)[0] if not body.startswith((b"\xff\xfe", b"\xfe\xff")) else body
    if b"<!DOCTYPE" in text or b"<!ENTITY" in text or "<!DOCTYPE".encode("utf-16-le") in text:
        return {}
    found: dict[str, str] = {}
    parser = ElementTree.XMLParser(target=_Leaves(found))
    # What was read before any damage still counts.
    with suppress(ElementTree.ParseError, LookupError, ValueError):
        parser.feed(text.lstrip())
        parser.close()
    return found


class _Leaves:
    """A parser target that keeps the text of elements without children, by their path below the root."""

    def __init__(self, found: dict[str, str]) -> None:
        self.found = found
        self.path: list[str] = []
        self.text: list[str] = []
        self.leaf = False

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        self.path.append(tag)
        self.text, self.leaf = [], True

    def data(self, data: str) -> None:
        self.text.append(data)

    def end(self, tag: str) -> None:
        value = "".join(self.text).strip()
        if self.leaf and value and len(self.path) > 1:
            self.found.setdefault("/".join(self.path[1:]), value)
        self.path.pop()
        self.leaf = False

    def close(self) -> None:
        self.path.clear()


def build_ixml(fields: dict[str, str]) -> str:
    """The inverse of `parse_ixml` for keys of one or two levels, as a document ready for `write_wav`."""
    groups: dict[str, list[tuple[str, str]]] = {}
    for key, value in fields.items():
        group, _, name = key.rpartition("/")
        groups.setdefault(group, []).append((name, value))
    lines = ['<?xml version="1.0" encoding="UTF-8"?>', "<BWFXML>", "<IXML_VERSION>1.61</IXML_VERSION>"]
    for group, entries in groups.items():
        rows = [f"<{name}>{escape(value)}</{name}>" for name, value in entries]
        lines += [f"<{group}>", *rows, f"</{group}>"] if group else rows
    return "\n".join([*lines, "</BWFXML>", ""])


# --- LIST INFO, cue, smpl ---------------------------------------------------------------------------------------------


def parse_info(body: bytes) -> dict[str, str]:
    """The texts of a LIST chunk of type INFO: `{"INAM": title, "ICMT": comment, ...}`; empty for other lists."""
    if body[:4] != b"INFO":
        return {}
    found: dict[str, str] = {}
    position = 4
    while position + 8 <= len(body):
        raw_id, size = struct.unpack("<4sI", body[position : position + 8])
        value = text_of(body[position + 8 : position + 8 + size])
        if value and all(0x20 <= byte < 0x7F for byte in raw_id):
            found.setdefault(raw_id.decode("ascii"), value)
        position += 8 + size + size % 2
    return found


def parse_labels(body: bytes) -> dict[int, str]:
    """Names of cue points from a LIST chunk of type adtl: `{cue id: label}`."""
    if body[:4] != b"adtl":
        return {}
    found: dict[int, str] = {}
    position = 4
    while position + 12 <= len(body):
        raw_id, size, cue = struct.unpack("<4sII", body[position : position + 12])
        if raw_id == b"labl":
            found[cue] = text_of(body[position + 12 : position + 8 + size])
        position += 8 + size + size % 2
    return found


def parse_cues(body: bytes) -> list[tuple[int, int]]:
    """Cue points as (id, frame), in the order of the chunk."""
    if len(body) < 4:
        return []
    count = min(struct.unpack("<I", body[:4])[0], (len(body) - 4) // 24)
    rows = (struct.unpack("<II4sIII", body[4 + 24 * k : 28 + 24 * k]) for k in range(count))
    return [(row[0], row[5]) for row in rows]


def parse_loops(body: bytes) -> list[tuple[int, int]]:
    """Loops of a smpl chunk as (first frame, last frame), both included in the loop."""
    if len(body) < 36:
        return []
    count = min(struct.unpack("<I", body[28:32])[0], (len(body) - 36) // 24)
    rows = (struct.unpack("<6I", body[36 + 24 * k : 60 + 24 * k]) for k in range(count))
    return [(row[2], row[3]) for row in rows]
