"""File names of the Universal Category System: `CatID-UserCategory_VendorCategory-FXName_CreatorID_SourceID_UserData`.

Source: the UCS file-name standard, version 8.2. The list of categories is not part of this package, so a name counts
as UCS by its shape alone.
"""

from __future__ import annotations

import re
from pathlib import PurePath

from spresso_assets.audio.fields import FieldValue, field_values

# Three to eight letters that open with capitals and go on small (DOORWood, AMBForst, MAGEvil), or the few categories
# whose identifier is a bare group (WHSH, SWSH).
_CAT_ID = re.compile(r"[A-Z]{2,7}[a-z]{2,6}|[A-Z]{4}")
_MIN_BLOCKS = 4


def parse_ucs(file_name: str) -> list[FieldValue]:
    """Fields that a file name states, or nothing if it does not follow the standard.

    Four blocks are required, since the standard requires CatID, FXName, CreatorID and SourceID; fewer would take any
    game's `TREE_fall` for a category. The extension is left out; the fifth and later blocks are user data.
    """
    blocks = PurePath(file_name).stem.split("_")
    if len(blocks) < _MIN_BLOCKS or not all(block.strip() for block in blocks[:_MIN_BLOCKS]):
        return []
    cat_id, _, user_category = blocks[0].partition("-")
    if not _CAT_ID.fullmatch(cat_id):
        return []
    vendor_category, dash, fx_name = blocks[1].partition("-")
    if not dash or not fx_name.strip():
        vendor_category, fx_name = "", blocks[1]
    pairs = [
        ("cat_id", cat_id),
        ("user_category", user_category),
        ("vendor_category", vendor_category),
        ("fx_name", fx_name),
        ("creator_id", blocks[2]),
        ("source_id", blocks[3]),
        ("user_data", "_".join(blocks[4:])),
    ]
    return field_values(pairs, "ucs_filename")
