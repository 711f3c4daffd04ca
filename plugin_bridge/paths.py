"""Where the bridge keeps what outlives a request: its state, and its cache."""

import os
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from spresso_assets.errors import ExitCode, FaultKind, SpressoError


def state_dir(env: Mapping[str, str] | None = None) -> Path:
    """Folder of the discovery file, of allowed folders and of the slot table; it need not exist yet."""
    env = os.environ if env is None else env
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support" / "spresso"
    if sys.platform == "win32":
        return Path(env.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local") / "spresso"
    return Path(env.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "spresso"


def cache_dir(env: Mapping[str, str] | None = None) -> Path:
    """Folder of decoded sounds; it may be deleted at any time, and need not exist yet."""
    env = os.environ if env is None else env
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "spresso" / "bridge"
    if sys.platform == "win32":
        return state_dir(env) / "cache"
    return Path(env.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "spresso" / "bridge"


def write_private(file: Path, text: str) -> None:
    """Replace a file in one step by one that only its owner may read; its folder is made if need be.

    Raises:
        SpressoError: ``state_not_writable``.
    """
    temporary = file.with_name(f".{file.name}.{os.getpid()}.part")
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        temporary.unlink(missing_ok=True)
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8", newline="\n") as writing:
            writing.write(text)
            writing.flush()
            os.fsync(writing.fileno())
        temporary.replace(file)
    except OSError as error:
        raise SpressoError(
            f"cannot write {file}: {error.strerror}",
            code="state_not_writable",
            hint="The bridge keeps its state there; XDG_STATE_HOME names another place.",
            exit_code=ExitCode.FAILED,
            kind=FaultKind.ENVIRONMENT,
        ) from error
    finally:
        with suppress(OSError):
            temporary.unlink()
