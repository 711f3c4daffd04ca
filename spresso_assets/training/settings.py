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
    """A copy of the frozen dataclass ``defaults`` with ``values`` set.

    Nested tables go to nested dataclasses, also to those that a dictionary holds by name; any other dictionary is
    replaced as a whole.

    Raises:
        SpressoError: ``bad_config`` for a field that does not exist, or a value that its dataclass refuses.
    """
    known = {f.name: getattr(defaults, f.name) for f in dataclasses.fields(defaults)}  # type: ignore[arg-type]
    changes = {key: _changed(_known(known, key), value) for key, value in values.items()}
    try:
        return dataclasses.replace(defaults, **changes)  # type: ignore[type-var]
    except (TypeError, ValueError) as e:
        raise SpressoError(str(e), code="bad_config", exit_code=ExitCode.USAGE) from e


def _changed(current: Any, value: Any) -> Any:
    if dataclasses.is_dataclass(current):
        return apply(current, value)
    if isinstance(current, dict) and any(dataclasses.is_dataclass(v) for v in current.values()):
        return {**current, **{key: apply(_known(current, key), inner) for key, inner in value.items()}}
    return tuple(value) if isinstance(value, list) else value


def _known(table: dict[str, Any], key: str) -> Any:
    if key not in table:
        raise SpressoError(
            f"unknown training option '{key}'",
            code="bad_config",
            hint=f"Known: {', '.join(sorted(table))}.",
            exit_code=ExitCode.USAGE,
        )
    return table[key]
