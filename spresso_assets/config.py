"""Settings of an installation: where the catalog is, which model bundle to use, how patient the watcher is.

A setting comes from, first found wins: a command-line option, the environment (`SPRESSO_CATALOG`, ...), the TOML
file, the default. The TOML file is `$SPRESSO_CONFIG`, or `spresso/config.toml` in the XDG configuration folder.
URLs that hold a password may lie in files of their own, as service managers and container engines hand out secrets:
`SPRESSO_CATALOG_FILE` and `SPRESSO_BROKER_URL_FILE` name them.

This reads TOML and the environment itself instead of through pydantic-settings, because that package imports
asyncio and ssl and would take a third of the half second in which `spresso search` has to answer.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError

from spresso_assets.errors import ExitCode, SpressoError

ENV_PREFIX = "SPRESSO_"
FILE_SUFFIX = "_FILE"
SECRETS = ("catalog", "broker_url")


class Settings(BaseModel):
    """Validated settings. Unknown names are an error, so that a typing mistake does not pass silently."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    catalog: str = Field(description="Catalog database: a file path, or a SQLAlchemy URL for Postgres.")
    bundle: Path | None = Field(None, description="Model bundle folder; the shipped bundle when unset.")
    broker_url: SecretStr | None = Field(None, description="Redis URL for background workers; unset: work in-process.")
    workers: int = Field(1, ge=1, le=64, description="Sounds that are read at the same time.")
    settle_s: float = Field(2.0, ge=0, le=3600, description="Seconds a file must stay unchanged before it is read.")
    rescan_s: float = Field(600.0, ge=1, description="Seconds between two scans of a watched root.")


def data_dir(env: Mapping[str, str] | None = None) -> Path:
    """Folder of the default catalog, after the XDG base directory rules."""
    env = os.environ if env is None else env
    return Path(env.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "spresso"


def config_file(env: Mapping[str, str] | None = None) -> Path:
    """The TOML file that is read when it exists."""
    env = os.environ if env is None else env
    if env.get(ENV_PREFIX + "CONFIG"):
        return Path(env[ENV_PREFIX + "CONFIG"])
    return Path(env.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "spresso" / "config.toml"


def load_settings(
    *,
    env: Mapping[str, str] | None = None,
    file: Path | None = None,
    overrides: Mapping[str, Any] | None = None,
) -> Settings:
    """Merge defaults, TOML file, environment and command-line overrides (None means: not given).

    Raises:
        SpressoError: `config_missing` when a file was named but is not there, `config_invalid` when a value or a
            name in it is wrong; the message says which one and where it came from, never a secret's content.
    """
    env = os.environ if env is None else env
    values: dict[str, Any] = {"catalog": str(data_dir(env) / "catalog.db")}
    named = file is not None or bool(env.get(ENV_PREFIX + "CONFIG"))
    path = file or config_file(env)
    if path.is_file():
        values.update(_read_toml(path))
    elif named:
        raise SpressoError(
            f"there is no settings file at {path}",
            code="config_missing",
            hint="Check --config and SPRESSO_CONFIG.",
            exit_code=ExitCode.USAGE,
        )
    for name in Settings.model_fields:
        if value := _from_environment(env, name):
            values[name] = value
    values.update({name: value for name, value in (overrides or {}).items() if value is not None})
    try:
        return Settings(**values)
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"])
        raise SpressoError(
            f"setting '{name}': {first['msg']}",
            code="config_invalid",
            hint=f"It may stand in {path} or in {ENV_PREFIX}{name.upper()}.",
            exit_code=ExitCode.USAGE,
        ) from None


def _from_environment(env: Mapping[str, str], name: str) -> str | None:
    variable = ENV_PREFIX + name.upper()
    value, path = env.get(variable), env.get(variable + FILE_SUFFIX)
    if value or not path or name not in SECRETS:
        return value
    try:
        content = Path(path).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text"
        raise SpressoError(
            f"cannot read {path}, which {variable}{FILE_SUFFIX} names: {reason}",
            code="config_missing",
            hint="It must hold one URL and be readable for the user that runs spresso.",
            exit_code=ExitCode.USAGE,
        ) from None
    if not content or "\n" in content:
        raise SpressoError(
            f"{path}, which {variable}{FILE_SUFFIX} names, does not hold exactly one line",
            code="config_invalid",
            hint="It must hold one URL and nothing else.",
            exit_code=ExitCode.USAGE,
        )
    return content


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SpressoError(
            f"cannot read settings from {path}: {error}",
            code="config_invalid",
            hint="Mend or move the file.",
            exit_code=ExitCode.USAGE,
        ) from error
