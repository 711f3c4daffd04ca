"""What changed between the catalog and the disk: a pure function of both, so that every rule can be tested alone.

It compares paths. That a path which vanished and one which appeared are the same file is found later, when all of the
scope has been seen: see `moves`.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from spresso_assets.ingest.settle import Signature

# A handful of vanished files says nothing about a broken share, however small the root is.
CAPS_FROM = 10
# Not counted as there: what vanished, what was found again elsewhere, what the patterns leave out.
ABSENT = frozenset({"missing", "moved", "ignored"})


@dataclass(frozen=True, slots=True)
class Known:
    """What the catalog remembers of one path; the fields are those of `source_file`.

    Attributes:
        probed: its sound is linked, as the file is now.
        refused: it was read, and could not be.
        queued: a job that reads it as it is now is waiting or running.
    """

    id: int
    rel_path: str
    folder_id: int | None
    state: str
    size: int
    mtime_ns: int
    ctime_ns: int | None
    inode: int | None
    probed: bool
    refused: bool = False
    queued: bool = False

    def same_content(self, signature: Signature) -> bool:
        """Whether nobody wrote to the file. Of one that could not be read also: whether nobody mended its permissions,
        which changes neither its size nor its modification time.
        """
        if (self.size, self.mtime_ns) != (signature.size, signature.mtime_ns):
            return False
        return not self.refused or self.ctime_ns is None or self.ctime_ns == signature.ctime_ns


@dataclass
class Difference:
    """Result of `difference`; every known and every seen path is in exactly one of the lists.

    Attributes:
        same: unchanged and read before.
        unreadable: unchanged, and could not be read before.
        queued: unchanged, and about to be read.
        waiting: unchanged, and not read yet: settling, or left for later.
        new: paths that were never seen.
        changed: written to since they were read.
        back: were absent and are here again, unchanged.
        gone: known and not there.
        still_gone: were absent already.
    """

    same: list[Known] = field(default_factory=list)
    unreadable: list[Known] = field(default_factory=list)
    queued: list[Known] = field(default_factory=list)
    waiting: list[Known] = field(default_factory=list)
    new: list[str] = field(default_factory=list)
    changed: list[Known] = field(default_factory=list)
    back: list[Known] = field(default_factory=list)
    gone: list[Known] = field(default_factory=list)
    still_gone: list[Known] = field(default_factory=list)


def exceeds(vanished: int, cap: float, believed: int) -> bool:
    """Whether more vanished than `cap` (a share) of the `believed` files of the whole root allows."""
    return vanished > CAPS_FROM and vanished > cap * believed


def path_key(rel_path: str) -> str:
    """What file systems that fold case and Unicode forms take for the same name."""
    if rel_path.isascii():
        return rel_path.lower()
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", rel_path).casefold())


def difference(known: Iterable[Known], seen: Mapping[str, Signature]) -> Difference:
    """Compare what the catalog knows with what was seen. A file that is `offline` counts as what it was before."""
    result = Difference()
    by_path = {item.rel_path: item for item in known}
    for rel_path, item in by_path.items():
        signature = seen.get(rel_path)
        if signature is None:
            (result.still_gone if item.state in ABSENT else result.gone).append(item)
        elif not item.same_content(signature):
            result.changed.append(item)
        elif item.state in ABSENT:
            result.back.append(item)
        elif item.refused:
            result.unreadable.append(item)
        elif item.probed:
            result.same.append(item)
        elif item.queued:
            result.queued.append(item)
        else:
            result.waiting.append(item)
    result.new = [rel_path for rel_path in seen if rel_path not in by_path]
    return result
