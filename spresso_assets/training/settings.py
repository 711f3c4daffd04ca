"""Training options from a TOML file: one table per stage, fields named as in the stage's dataclasses."""

from __future__ import annotations

import dataclasses
import tomllib
from pathlib import Path
from typing import Any, TypeVar

from spresso_assets.errors import ExitCode, SpressoError

T = TypeVar("T")


def read_table(path: Path | None, stage: str) -> dict[str, Any]:
    """The table ``stage`` of a TOML file, or {} without a file.

    Raises:
        SpressoError: ``bad_config`` if the file is not TOML.
    """
    if path is None:
        return {}
    try:
        return dict(tomllib.loads(path.read_text(encoding="utf-8")).get(stage, {}))
    except (OSError, tomllib.TOMLDecodeError) as e:
        raise SpressoError(f"{path.name}: {e}", code="bad_config", exit_code=ExitCode.USAGE) from e


def apply(defaults: T, values: dict[str, Any]) -> T:
    """A copy of the frozen dataclass ``defaults`` with ``values`` set; nested tables go to nested dataclasses.

    Raises:
        SpressoError: ``bad_config`` for a field that does not exist.
    """
    fields = {f.name for f in dataclasses.fields(defaults)}  # type: ignore[arg-type]
    changes: dict[str, Any] = {}
    for key, value in values.items():
        if key not in fields:
            raise SpressoError(
                f"unknown training option '{key}'",
                code="bad_config",
                hint=f"Known: {', '.join(sorted(fields))}.",
                exit_code=ExitCode.USAGE,
            )
        current = getattr(defaults, key)
        if dataclasses.is_dataclass(current):
            changes[key] = apply(current, value)
        else:
            changes[key] = tuple(value) if isinstance(value, list) else value
    return dataclasses.replace(defaults, **changes)  # type: ignore[type-var]
