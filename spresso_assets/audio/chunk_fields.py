"""What the chunks of a WAV or AIFF file say about its sound, in the catalog's words; and the chunks themselves."""

from __future__ import annotations

from typing import BinaryIO

from spresso_assets.audio.broadcast import Bext, parse_info, parse_ixml, text_of
from spresso_assets.audio.fields import UCS_KEYS, FieldValue, field_values
from spresso_assets.audio.riff import RiffFile, load_chunk
from spresso_assets.audio.tags import read_id3_chunk

MAX_KEPT = 1 << 20
MAX_KEPT_ALL = 8 << 20
# The sound and its description by the container: written anew with any export. The rest is filler.
_NOT_KEPT = frozenset({"data", "SSND", "fmt ", "COMM", "ds64", "fact", "FVER", "PEAK", "JUNK", "junk", "FLLR", "PAD "})

_INFO = {
    "INAM": "title",
    "ICMT": "description",
    "ISBJ": "description",
    "IKEY": "keywords",
    "IGNR": "category",
    "IART": "designer",
    "IENG": "designer",
    "IPRD": "library",
    "ICRD": "track_year",
    "ISRC": "source_id",
    "IMED": "rec_medium",
    "ILOC": "location",
}
_AIFF_TEXTS = {"NAME": "title", "AUTH": "designer", "ANNO": "description"}
# iXML keys without their group, lower case, punctuation removed. USER is where sound-effect tools write; the plain
# keys are iXML's own.
_IXML = {
    **UCS_KEYS,
    "tracktitle": "title",
    "title": "title",
    "description": "description",
    "keywords": "keywords",
    "source": "source_id",
    "artist": "designer",
    "microphone": "microphone",
    "micperspective": "mic_perspective",
    "recmedium": "rec_medium",
    "rectype": "rec_type",
    "location": "location",
    "notes": "notes",
    "note": "notes",
    "trackyear": "track_year",
    "rating": "rating",
}
_ASWG = {
    **{key: _IXML[key] for key in ("fxname", "catid", "category", "subcategory", "usercategory", "vendorcategory")},
    **{key: _IXML[key] for key in ("creatorid", "sourceid", "userdata", "library", "manufacturer", "notes")},
    "fxusedname": "fx_name",
    "originator": "designer",
    "mictype": "microphone",
    "micdistance": "mic_perspective",
    "recordingloc": "location",
    "contenttype": "rec_type",
    "recyear": "track_year",
    "songtitle": "title",
}


def read_chunk_fields(file: BinaryIO, riff: RiffFile) -> tuple[list[FieldValue], list[tuple[str, bytes]]]:
    """Fields and kept chunks of a walked file.

    Returns:
        values by source ixml, aswg, bext, info, id3; and (chunk id, body) for every chunk that holds neither sound nor
        filler, in file order, up to MAX_KEPT bytes each and MAX_KEPT_ALL together: longer ones are left out whole,
        since half a chunk is worth nothing.
    """
    fields: list[FieldValue] = []
    kept: list[tuple[str, bytes]] = []
    total = 0
    for chunk in riff.chunks:
        if chunk.id in _NOT_KEPT or not chunk.complete or chunk.size > MAX_KEPT or total + chunk.size > MAX_KEPT_ALL:
            continue
        body = load_chunk(file, chunk, MAX_KEPT)
        total += len(body)
        kept.append((chunk.id, body))
        fields += _fields_of(chunk.id, body, riff.form == "FORM")
    return fields, kept


def _fields_of(chunk_id: str, body: bytes, aiff: bool) -> list[FieldValue]:
    if chunk_id == "bext":
        bext = Bext.from_bytes(body)
        return bext_fields(bext) if bext else []
    if chunk_id == "iXML":
        return ixml_fields(parse_ixml(body))
    if chunk_id == "LIST":
        return field_values([(_INFO[key], text) for key, text in parse_info(body).items() if key in _INFO], "info")
    if chunk_id in ("id3 ", "ID3 "):
        return read_id3_chunk(body)
    if aiff and chunk_id in _AIFF_TEXTS:
        return field_values([(_AIFF_TEXTS[chunk_id], text_of(body))], "info")
    return []


def bext_fields(bext: Bext) -> list[FieldValue]:
    """A broadcast extension as catalog fields."""
    pairs = [
        ("description", bext.description),
        ("bext_originator", bext.originator),
        ("bext_originator_ref", bext.originator_reference),
        ("bext_date", f"{bext.origination_date} {bext.origination_time}".strip()),
        ("bext_time_reference", str(bext.time_reference) if bext.time_reference else ""),
        ("umid", bext.umid),
    ]
    return field_values(pairs, "bext")


def ixml_fields(flat: dict[str, str]) -> list[FieldValue]:
    """A flattened iXML document as catalog fields; its ASWG group counts as a source of its own."""
    plain: list[tuple[str, str]] = []
    aswg: list[tuple[str, str]] = []
    # USER first: sound-effect tools write there on purpose, while NOTE and the like come from the recorder.
    for key, value in sorted(flat.items(), key=lambda item: not item[0].startswith("USER/")):
        group, _, name = key.rpartition("/")
        name = "".join(c for c in name.lower() if c.isalnum())
        if group == "ASWG" and name in _ASWG:
            aswg.append((_ASWG[name], value))
        elif group in ("", "USER") and name in _IXML:
            plain.append((_IXML[name], value))
    return field_values(plain, "ixml") + field_values(aswg, "aswg")
