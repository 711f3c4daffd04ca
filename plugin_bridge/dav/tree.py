"""Which folders there are, and which sounds lie in which: never more than 500 names in one, in an archive of any size.

    DOORS/H/Heavy oak door slam__3f2a91c0.wav        category, first letter, name and id
    DOORS/H/002/Heavy oak door slam__3f2a91c0.wav    a letter with more than 500 sounds is cut into numbered folders

Categories come from the sounds' CatIDs, which the catalog has an index of. Of a category that is looked into, the row
ids of each letter are kept in memory (8 bytes a sound) until the catalog changes; of a folder that is listed, at most
500 rows are read by their keys. Numbered folders go by the order of arrival, so a new sound moves no other one, and a
sound is found under any number: a project that knows a path keeps finding it when its letter is cut.
"""

import re
import threading
import time
import unicodedata
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from plugin_bridge.dav.entries import FileEntry, entries_of, file_name
from plugin_bridge.events import CatalogWatch
from spresso_assets.catalog.engine import Catalog
from spresso_assets.catalog.rows import Rows, as_rows
from spresso_assets.export.naming import safe

MAX_ENTRIES = 500
KEPT_IDS = 4_000_000  # 32 MB
KEPT_FOLDERS = 16  # of 500 files: some 20 MB
LOOK_EVERY_S = 2.0  # at whether the catalog has changed
REREAD = 20.0  # times as long as it took to read, a category is kept whatever changes
OTHER = "Other"  # category of sounds without a CatID
DIGITS, REST = "0-9", "_"
_FILE = re.compile(r".*__(?P<digits>[0-9a-f]{8,32})\.wav\Z", re.IGNORECASE)
_GROUP = re.compile(r"([A-Z]+)[A-Z][a-z]")  # of a CatID: its capitals, but for the one that begins the second word
_NUMBER = re.compile(r"\d{3}\Z")
# What file managers and music programs ask for in every folder they see.
_NEVER_THERE = {"desktop.ini", "thumbs.db", "autorun.inf", "folder.jpg", "folder.gif", "albumart.jpg", "ehthumbs.db"}
# Each value costs one step down the index, however many sounds have it.
_CAT_IDS = """
WITH RECURSIVE step(cat_id) AS (
  SELECT min(cat_id) FROM asset
  UNION ALL
  SELECT (SELECT min(asset.cat_id) FROM asset WHERE asset.cat_id > step.cat_id) FROM step WHERE step.cat_id IS NOT NULL
)
SELECT step.cat_id, (SELECT asset.category FROM asset WHERE asset.cat_id = step.cat_id LIMIT 1)
FROM step WHERE step.cat_id IS NOT NULL
"""
# Only live sounds have a row of text, so the rows of `asset` itself, with their outlines, are not touched.
_LETTERS = """
SELECT asset.id, substr(asset_text.names, 1, 8) FROM asset JOIN asset_text ON asset_text.asset_id = asset.id
WHERE {} AND EXISTS (SELECT 1 FROM rendition r WHERE r.asset_id = asset.id AND r.status = 'ready')
"""


@dataclass(frozen=True)
class Folder:
    """A folder: its own names, or the files in it."""

    folders: Sequence[str] = ()
    files: Sequence[FileEntry] = ()


@dataclass
class _Category:
    """Row ids of one category by letter, in order of arrival."""

    letters: dict[str, NDArray[np.int64]]
    generation: int
    loaded_at: float
    cost_s: float
    size: int = field(init=False)

    def __post_init__(self) -> None:
        self.size = sum(map(len, self.letters.values()))


class Tree:
    """The folders of a catalog. Threads may share it."""

    def __init__(self, catalog: Catalog, watch: CatalogWatch, max_seconds: float = float("inf")) -> None:
        """Sounds longer than ``max_seconds`` are left out: nobody could read them."""
        self._catalog, self._watch, self._max_seconds = catalog, watch, max_seconds
        self._lock = threading.Lock()
        self._names: tuple[int, dict[str, tuple[str, list[str]]]] | None = None
        self._loaded: OrderedDict[str, _Category] = OrderedDict()
        self._listed: OrderedDict[tuple[int, ...], tuple[int, Folder]] = OrderedDict()

    def find(self, path: str) -> Folder | FileEntry | None:
        """What lies at a path such as ``DOORS/H``; None if nothing does.

        Raises:
            SpressoError: what reading the catalog raises.
        """
        parts = [part for part in unicodedata.normalize("NFC", path).split("/") if part]
        if any(is_never_there(part) for part in parts) or len(parts) > 8:
            return None
        if parts and _FILE.match(parts[-1]):
            return self._file(parts)
        with self._catalog.read() as session:
            rows = as_rows(session)
            generation = self._watch.generation(LOOK_EVERY_S)
            categories = self._categories(rows, generation)
            if not parts:
                return Folder(sorted(name for name, _ in categories.values()))
            if (known := categories.get(parts[0].casefold())) is None:
                return None
            letters = self._category(rows, *known, generation).letters
            if len(parts) == 1:
                return Folder(sorted(letters))
            ids = letters.get(parts[1].upper())
            for number in parts[2:]:
                ids = None if ids is None else _part(ids, number)
            if ids is None:
                return None
            if len(ids) > MAX_ENTRIES:
                return Folder([f"{number + 1:03d}" for number in range(-(-len(ids) // _span(len(ids))))])
            return self._files(rows, tuple(ids.tolist()), generation)

    def _files(self, rows: Rows, ids: tuple[int, ...], generation: int) -> Folder:
        """What is in a folder; clients list the same one again and again."""
        with self._lock:
            if (known := self._listed.get(ids)) is not None and known[0] == generation:
                self._listed.move_to_end(ids)
                return known[1]
        folder = Folder(files=entries_of(rows, ids, self._max_seconds))
        with self._lock:
            self._listed[ids] = (generation, folder)
            while len(self._listed) > KEPT_FOLDERS:
                self._listed.popitem(last=False)
        return folder

    def _file(self, parts: list[str]) -> FileEntry | None:
        """A file by its id; its folders and its name must be those that it is listed under."""
        match = _FILE.match(parts[-1])
        if match is None or len(parts) < 3 or not all(_NUMBER.match(part) for part in parts[2:-1]):
            return None
        digits = match["digits"].lower()
        with self._catalog.read() as session:
            rows = as_rows(session)
            found = rows.rows(
                "SELECT asset.id, asset.cat_id, asset_text.names FROM asset "
                "JOIN asset_text ON asset_text.asset_id = asset.id WHERE asset.uid >= :first AND asset.uid < :end",
                {"first": digits, "end": digits + "g"},
            )
            categories = self._categories(rows, self._watch.generation(LOOK_EVERY_S))
            known = categories.get(parts[0].casefold())
            here = [
                asset_id
                for asset_id, cat_id, names in found
                if known and (cat_id or "") in known[1] and letter_of(names[:8]) == parts[1].upper()
            ]
            wanted = parts[-1].casefold()
            for entry in entries_of(rows, here, self._max_seconds):
                if file_name(entry.take, len(digits)).casefold() == wanted:
                    return entry
        return None

    def _categories(self, rows: Rows, generation: int) -> dict[str, tuple[str, list[str]]]:
        """Folders of the first level by casefolded name: the name, and the CatIDs that it stands for ('' for none)."""
        if self._names is not None and self._names[0] == generation:
            return self._names[1]
        pairs = _category_names([(cat_id, category) for cat_id, category in rows.rows(_CAT_IDS, {}) if cat_id])
        if len({name.casefold() for name, _ in pairs}) >= MAX_ENTRIES:
            pairs = [(letter_of(name), cat_id) for name, cat_id in pairs]
        if rows.rows("SELECT 1 FROM asset WHERE asset.cat_id IS NULL LIMIT 1", {}):
            pairs.append((OTHER, ""))
        found: dict[str, tuple[str, list[str]]] = {}
        for name, cat_id in pairs:
            found.setdefault(name.casefold(), (name, []))[1].append(cat_id)
        self._names = (generation, found)
        return found

    def _category(self, rows: Rows, name: str, cat_ids: list[str], generation: int) -> _Category:
        with self._lock:
            known = self._loaded.get(name)
            if known is not None:
                # while an archive is being filled every look finds a change: what took long to read is kept longer
                age = time.monotonic() - known.loaded_at
                if known.generation == generation or age < REREAD * known.cost_s:
                    self._loaded.move_to_end(name)
                    return known
        started = time.monotonic()
        letters = {letter: np.array(sorted(ids), np.int64) for letter, ids in _letters(rows, cat_ids).items()}
        loaded = _Category(letters, generation, started, time.monotonic() - started)
        with self._lock:
            self._loaded[name] = loaded
            self._loaded.move_to_end(name)
            while len(self._loaded) > 1 and sum(other.size for other in self._loaded.values()) > KEPT_IDS:
                self._loaded.popitem(last=False)
        return loaded


def _category_names(stated: list[tuple[str, str | None]]) -> list[tuple[str, str]]:
    """(name of the folder, CatID). CatIDs of one group, such as DOORWood and DOORMetl, share what any of them states.

    Where none states a category the folder is called as the group, DOOR.
    """
    groups = {cat_id: match[1] if (match := _GROUP.match(cat_id)) else cat_id for cat_id, _ in stated}
    known = {groups[cat_id]: category for cat_id, category in reversed(stated) if category}
    return [
        (safe(category or known.get(groups[cat_id]) or groups[cat_id]) or OTHER, cat_id) for cat_id, category in stated
    ]


def is_never_there(name: str) -> bool:
    """Whether a name is one of those that file managers look for everywhere; nothing of ours is called so."""
    return name.startswith(".") or name.casefold() in _NEVER_THERE


def letter_of(name: str) -> str:
    """The folder for a name by its first letter or digit: A to Z without accents, '0-9', or '_'."""
    first = next(filter(str.isalnum, name), "")
    plain = unicodedata.normalize("NFKD", first)[:1].upper()
    if plain.isascii() and plain.isalpha():
        return plain
    return DIGITS if plain.isdecimal() else REST


def _letters(rows: Rows, cat_ids: list[str]) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for where, params in _conditions(cat_ids):
        for asset_id, first in rows.rows(_LETTERS.format(where), params):
            found.setdefault(letter_of(first), []).append(asset_id)
    return found


def _conditions(cat_ids: list[str]) -> Iterator[tuple[str, dict[str, str]]]:
    """One by one: a list of values would let SQLite take another index than that of CatIDs."""
    for cat_id in cat_ids:
        yield ("asset.cat_id = :cat_id", {"cat_id": cat_id}) if cat_id else ("asset.cat_id IS NULL", {})


def _span(number: int) -> int:
    """Sounds in each numbered folder of a folder with so many sounds."""
    span = MAX_ENTRIES
    while number > span * MAX_ENTRIES:
        span *= MAX_ENTRIES
    return span


def _part(ids: NDArray[np.int64], number: str) -> NDArray[np.int64] | None:
    """The sounds of a numbered folder; None if there is no such folder."""
    if not _NUMBER.match(number) or len(ids) <= MAX_ENTRIES:
        return None
    span, at = _span(len(ids)), int(number) - 1
    part = ids[at * span : (at + 1) * span] if at >= 0 else ids[:0]
    return part if len(part) else None
