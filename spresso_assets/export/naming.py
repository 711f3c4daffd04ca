"""What exported files are called: a template in the trade's field names, made safe for every file system."""

from __future__ import annotations

import re
from collections.abc import Mapping

from spresso_assets.errors import ExitCode, SpressoError

DEFAULT_TEMPLATE = "{Name}"
# Names as sound people write them -> columns of `asset` (see `catalog.tables_assets`).
PLACES = {
    "Name": "name",
    "FXName": "fx_name",
    "CatID": "cat_id",
    "Category": "category",
    "SubCategory": "subcategory",
    "CreatorID": "creator_id",
    "SourceID": "source_id",
    "UserData": "user_data",
    "Library": "library",
    "ID": "id",
    "Profile": "profile",
    "Seed": "seed",
    "Folder": "folder",
}
MAX_BYTES = 180  # of a name without its suffix: 255 is the limit nearly everywhere, suffixes and numbers come on top
_PLACE = re.compile(r"\{([^{}]*)\}")
_FORBIDDEN = re.compile(r'[\x00-\x1f\x7f<>:"|?*\\/]')
_RESERVED = re.compile(r"(?i)(con|prn|aux|nul|com\d|lpt\d)(\..*)?\Z")


def check_template(template: str) -> None:
    """Raise `bad_template` if it names a field that does not exist."""
    for name in _PLACE.findall(template):
        if name not in PLACES:
            raise SpressoError(
                f"the name template has no field '{name}'",
                code="bad_template",
                hint=f"Fields: {', '.join('{' + place + '}' for place in PLACES)}.",
                exit_code=ExitCode.USAGE,
            )


def fill(template: str, values: Mapping[str, object]) -> str:
    """A relative path without suffix. Slashes of the template make folders, slashes of values do not.

    Args:
        template: for example ``{CatID}_{FXName}``; empty fields and the separators left around them vanish.
        values: by column name.
    """
    parts = []
    for part in template.split("/"):
        filled = _PLACE.sub(lambda match: _plain(values.get(PLACES[match[1]])), part)
        filled = re.sub(r"([_\- ])\1+", r"\1", filled)
        if cleaned := safe(filled):
            parts.append(cleaned)
    return "/".join(parts) or safe(str(values.get("id") or "sound"))


def safe(name: str) -> str:
    """One path component that every file system takes."""
    name = _FORBIDDEN.sub("_", name.encode("utf-8", "replace").decode("utf-8")).strip(" ._-")
    if _RESERVED.match(name):
        name = "_" + name
    return name.encode("utf-8")[:MAX_BYTES].decode("utf-8", "ignore").rstrip(" .")


class Names:
    """Hands out every name once: a second sound of the same name becomes 'name-2'. Case is ignored."""

    def __init__(self) -> None:
        self._taken: set[str] = set()

    def free(self, wanted: str) -> str:
        """`wanted`, or the first numbered variant of it that is not taken."""
        number, name = 1, wanted
        while name.casefold() in self._taken:
            number += 1
            name = f"{wanted}-{number}"
        self._taken.add(name.casefold())
        return name


def _plain(value: object) -> str:
    return "" if value is None else str(value).replace("/", "_")
