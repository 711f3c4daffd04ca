"""Lengths of time as people write them: 90s, 30m, 12h, 7d."""

from __future__ import annotations

import re

from spresso_assets.errors import ExitCode, SpressoError

UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


def seconds(text: str) -> float:
    """``12h`` -> 43200.

    Raises:
        SpressoError: `usage`.
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd])", text.strip().lower())
    if match is None:
        raise SpressoError(
            f"'{text}' is no length of time",
            code="usage",
            hint="Write 90s, 30m, 12h or 7d.",
            exit_code=ExitCode.USAGE,
        )
    return float(match[1]) * UNITS[match[2]]


def minutes_or(text: str) -> float:
    """As `seconds`, and a bare number is minutes: ``90`` -> 5400."""
    return seconds(f"{text}m" if text.strip().isdigit() else text)
