"""One statement about a sound: which field, which value, who says so."""

from __future__ import annotations

from dataclasses import dataclass

MAX_VALUE = 10_000


@dataclass(frozen=True)
class FieldValue:
    """A metadata value with its source.

    Attributes:
        field: a name of the catalog's vocabulary: fx_name, title, description, keywords, cat_id, category...
        value: text, one value, control characters removed.
        source: `ixml`, `aswg`, `bext`, `info`, `id3` (all tag systems that mutagen reads) or `ucs_filename`.
    """

    field: str
    value: str
    source: str


def field_values(pairs: list[tuple[str, str]], source: str) -> list[FieldValue]:
    """Clean pairs of field and text: empty texts are dropped, the first text for a field wins."""
    found: dict[str, str] = {}
    for field, text in pairs:
        value = "".join(c if c.isprintable() or c in "\n\t" else " " for c in text).strip()[:MAX_VALUE]
        if value:
            found.setdefault(field, value)
    return [FieldValue(field, value, source) for field, value in found.items()]


# What sound-effect tools write into iXML and into comments alike, by the names of the Universal Category System.
UCS_KEYS = {
    "fxname": "fx_name",
    "catid": "cat_id",
    "category": "category",
    "subcategory": "subcategory",
    "usercategory": "user_category",
    "vendorcategory": "vendor_category",
    "creatorid": "creator_id",
    "sourceid": "source_id",
    "userdata": "user_data",
    "library": "library",
    "manufacturer": "manufacturer",
    "designer": "designer",
}
