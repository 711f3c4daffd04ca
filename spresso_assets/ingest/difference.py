"""What changed between the catalog and the disk: a pure function of both, so that every rule can be tested alone.

A path that vanished and one that appeared are the same file when inode, size and modification time agree (a rename or
a move: nothing needs to be read again), or when their names differ only in case or Unicode form and size and time
agree (a share or a Mac that renumbers inodes). Anything else is decided by the sound itself, when it is read.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from spresso_assets.ingest.settle import Signature

# A handful of vanished files says nothing about a broken share, however small the root is.
CAPS_FROM = 10


@dataclass(frozen=True, slots=True)
class Known:
    """What the catalog remembers of one path; the fields are those of `source_file`."""

    id: int
    rel_path: str
    state: str
    size: int
    mtime_ns: int
    inode: int | None
    probed: bool

    def same_content(self, signature: Signature) -> bool:
        """Whether size and time still agree: nobody wrote to the file."""
        return self.size == signature.size and self.mtime_ns == signature.mtime_ns


@dataclass
class Difference:
    """Result of `difference`; every known and every seen path is in exactly one of the lists.

    Attributes:
        same: unchanged and read before.
        unreadable: unchanged, and could not be read before.
        waiting: unchanged, and not read yet: settling, or its job is queued.
        new: paths that were never seen.
        changed: written to since they were read.
        back: were missing and are here again, unchanged.
        moved: the same file under another path, with its new path.
        gone: known and not there.
        still_gone: were already missing.
    """

    same: list[Known] = field(default_factory=list)
    unreadable: list[Known] = field(default_factory=list)
    waiting: list[Known] = field(default_factory=list)
    new: list[str] = field(default_factory=list)
    changed: list[Known] = field(default_factory=list)
    back: list[Known] = field(default_factory=list)
    moved: list[tuple[Known, str]] = field(default_factory=list)
    gone: list[Known] = field(default_factory=list)
    still_gone: list[Known] = field(default_factory=list)

    def exceeds(self, cap: float, believed: int) -> bool:
        """Whether more vanished than `cap` (a share) of the `believed` files of the whole root allows."""
        return len(self.gone) > CAPS_FROM and len(self.gone) > cap * believed


ABSENT = frozenset({"missing", "moved"})


def path_key(rel_path: str) -> str:
    """What file systems that fold case and Unicode forms take for the same name."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", rel_path).casefold())


def difference(known: Iterable[Known], seen: Mapping[str, Signature]) -> Difference:
    """Compare what the catalog knows with what a walk saw."""
    result = Difference()
    by_path = {item.rel_path: item for item in known}
    vanished: list[Known] = []
    for rel_path, item in by_path.items():
        signature = seen.get(rel_path)
        if signature is None:
            vanished.append(item)
        elif not item.same_content(signature):
            result.changed.append(item)
        elif item.state in ABSENT or item.state == "offline":
            result.back.append(item)
        elif item.state == "unreadable":
            result.unreadable.append(item)
        elif item.probed:
            result.same.append(item)
        else:
            result.waiting.append(item)
    new = [rel_path for rel_path in seen if rel_path not in by_path]
    matched = _match_moves(vanished, {rel_path: seen[rel_path] for rel_path in new})
    for item in vanished:
        if item.id in matched:
            result.moved.append((item, matched[item.id]))
        elif item.state in ABSENT:
            result.still_gone.append(item)
        else:
            result.gone.append(item)
    taken = set(matched.values())
    result.new = [rel_path for rel_path in new if rel_path not in taken]
    return result


def _match_moves(vanished: list[Known], new: Mapping[str, Signature]) -> dict[int, str]:
    """Known id -> new path, for pairs that are unambiguous on both sides."""
    matched: dict[int, str] = {}
    # A file that vanished just now is a better candidate than one that has been missing for a month.
    for candidates in ([k for k in vanished if k.state not in ABSENT], [k for k in vanished if k.state in ABSENT]):
        rest = {rel_path: signature for rel_path, signature in new.items() if rel_path not in matched.values()}
        matched |= _pairs(
            {k.id: (k.inode, k.size, k.mtime_ns) for k in candidates if k.inode},
            {rel_path: (s.ino, s.size, s.mtime_ns) for rel_path, s in rest.items()},
        )
        rest = {rel_path: signature for rel_path, signature in rest.items() if rel_path not in matched.values()}
        matched |= _pairs(
            {k.id: (path_key(k.rel_path), k.size, k.mtime_ns) for k in candidates if k.id not in matched},
            {rel_path: (path_key(rel_path), s.size, s.mtime_ns) for rel_path, s in rest.items()},
        )
    return matched


def _pairs(old: Mapping[int, object], new: Mapping[str, object]) -> dict[int, str]:
    often_old, often_new = Counter(old.values()), Counter(new.values())
    where = {key: rel_path for rel_path, key in new.items() if often_new[key] == 1}
    return {id_: where[key] for id_, key in old.items() if often_old[key] == 1 and key in where}
