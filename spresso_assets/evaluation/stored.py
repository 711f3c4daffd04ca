"""Results on disk, read again: what another release or another program wrote is one clear error."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from spresso_assets.errors import ExitCode, SpressoError

T = TypeVar("T")


def read_stored(path: Path, schema: int, build: Callable[[dict[str, Any]], T], what: str, hint: str) -> T:
    """What ``build`` makes of a JSON object, its schema checked and taken out.

    Args:
        what: what the file should be, for the error.

    Raises:
        SpressoError: ``bad_summary``.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        if data.pop("schema") != schema:
            raise ValueError("written by another release")
        return build(data)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise SpressoError(
            f"{path} is no {what} that this release reads: {error}",
            code="bad_summary",
            hint=hint,
            exit_code=ExitCode.USAGE,
        ) from error
