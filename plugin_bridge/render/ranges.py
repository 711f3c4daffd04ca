"""Which bytes of a file a client asks for (RFC 9110, section 14)."""

from __future__ import annotations

import re

_ONE = re.compile(r"\s*bytes\s*=\s*(\d{0,19})\s*-\s*(\d{0,19})\s*\Z", re.IGNORECASE)


def byte_range(header: str | None, size: int) -> tuple[int, int] | None:
    """First byte and the one behind the last of a Range header, or None for the whole file.

    Several ranges and what cannot be understood give the whole file, which is always a right answer.

    Raises:
        ValueError: no byte of the file is asked for: 416.
    """
    if header is None or (found := _ONE.match(header)) is None or found[1] == found[2] == "":
        return None
    if not found[1]:
        if (last := int(found[2])) == 0 or not size:
            raise ValueError
        return max(0, size - last), size
    first, last = int(found[1]), int(found[2]) if found[2] else size - 1
    if found[2] and last < first:
        return None
    if first >= size:
        raise ValueError
    return first, min(last + 1, size)


def names_tag(header: str | None, etag: str) -> bool:
    """Whether an If-None-Match header names this entity tag; weakly compared, as it is meant for caches."""
    if header is None:
        return False
    bare = etag.removeprefix("W/")
    return any(one.strip() in ("*", bare, f"W/{bare}") for one in header.split(","))


def still_same(header: str | None, etag: str) -> bool:
    """Whether an If-Range header allows a part: absent, or this very entity tag."""
    return header is None or (header.strip() == etag and not etag.startswith("W/"))
