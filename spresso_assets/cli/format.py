"""Numbers and names as a person reads them: sizes, lengths, bit rates, paths that may hold any byte."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

# Unicode categories that move the cursor, change direction or have no shape of their own.
UNPRINTABLE = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})


def size(n_bytes: float) -> str:
    """Bytes with a decimal prefix, as disk makers and file managers count: 1234567 -> '1.2 MB'."""
    value = float(n_bytes)
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if abs(value) < 999.5 or unit == "TB":
            return f"{value:.0f} B" if unit == "B" else f"{value:.3g} {unit}"
        value /= 1000
    raise AssertionError("unreachable")


def length(seconds: float | None) -> str:
    """A sound's length: '0.35 s', '12.4 s', '3:05', '2:00:00'; '-' when it is not known."""
    if seconds is None:
        return "-"
    if seconds < 10:
        return f"{seconds:.2f} s"
    if seconds < 60:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    hours, minutes, rest = whole // 3600, whole // 60 % 60, whole % 60
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def kbps(value: float | None) -> str:
    """A bit rate in kbit/s with three figures: 0.0961 -> '0.0961 kbps'; '-' when it is not known."""
    return "-" if value is None else f"{value:.3g} kbps"


def printable(text: str) -> str:
    """Make any file name safe to print on one line: control, direction and undecodable characters are escaped.

    A file name may hold a newline, a terminal escape or a right-to-left override; none of them may reach a terminal.
    """
    return "".join(f"\\u{ord(char):04x}" if unicodedata.category(char) in UNPRINTABLE else char for char in text)


def shorten(text: str, width: int) -> str:
    """Cut a text to `width` characters, with an ellipsis where something is missing."""
    return text if len(text) <= width else text[: width - 1] + "…"


def columns(headers: Sequence[str], rows: Sequence[Sequence[object]], right: Sequence[int] = ()) -> list[str]:
    """Align a table in plain text.

    Args:
        headers: one title per column.
        rows: cells, printed with `str` and `printable`.
        right: indices of the columns that hold numbers and are aligned to the right.
    """
    cells = [[printable(str(cell)) for cell in row] for row in rows]
    widths = [max(len(row[i]) for row in [list(headers), *cells]) for i in range(len(headers))]

    def line(row: Sequence[str]) -> str:
        parts = [cell.rjust(widths[i]) if i in right else cell.ljust(widths[i]) for i, cell in enumerate(row)]
        return "  ".join(parts).rstrip()

    return [line(list(headers)), *(line(row) for row in cells)]
