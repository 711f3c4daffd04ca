"""Parts of a body that a client asks for (RFC 9110, section 14), and bodies that it has already (section 13)."""

import re
from dataclasses import dataclass

from spresso_assets.errors import SpressoError

_ONE = re.compile(r"bytes=[ \t]*(\d{1,18})?-(\d{1,18})?[ \t]*", re.IGNORECASE)


@dataclass(frozen=True)
class Span:
    """Bytes from `start` up to, not including, `stop`."""

    start: int
    stop: int

    @property
    def size(self) -> int:
        return self.stop - self.start


def requested(range_header: str | None, size: int, *, etag: str = "", if_range: str | None = None) -> Span | None:
    """The part that a client asks for; None for all of it.

    What is no range, several at once, or the range of another version (`If-Range`) is answered with the whole, as the
    standard has it.

    Args:
        range_header: value of Range.
        size: bytes of the whole.
        etag: of the whole, as it is now.
        if_range: value of If-Range.

    Raises:
        SpressoError: ``range_not_satisfiable`` when no byte of the part exists; the size is in its details.
    """
    found = _ONE.fullmatch(range_header.strip()) if range_header else None
    if found is None or (if_range is not None and (if_range.strip() != etag or etag.startswith("W/"))):
        return None
    first, last = found.groups()
    if first is None and last is None:
        return None
    if first is None:
        start, stop = max(0, size - int(last)), size
    else:
        start, stop = int(first), size if last is None else min(size, int(last) + 1)
        if last is not None and int(last) < start:
            return None
    if start >= stop:
        raise SpressoError(
            f"there are {size} bytes, and none of them was asked for",
            code="range_not_satisfiable",
            hint="Ask for less, or for all of it.",
            details={"size": size},
        )
    return Span(start, stop)


def matches(if_none_match: str | None, etag: str) -> bool:
    """Whether a client has this version already."""
    if if_none_match is None:
        return False
    known = [tag.strip().removeprefix("W/") for tag in if_none_match.split(",")]
    return "*" in known or etag.removeprefix("W/") in known
