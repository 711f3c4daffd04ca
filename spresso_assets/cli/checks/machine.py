"""Versions, and whether there is a GPU that torch can use. torch itself is imported only when asked for."""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from spresso_assets.cli.checks.finding import Finding, Level

# SQLite before this release can damage a WAL database when two processes write and checkpoint at the same moment.
SQLITE_WAL_FIX = (3, 51, 3)


def versions(catalog: str) -> Iterator[Finding]:
    from spresso_assets import __version__

    python = sys.version.split()[0]
    message = f"spresso {__version__}, Python {python}, SQLite {sqlite3.sqlite_version}, torch {_torch_version()}"
    is_server = "://" in catalog and not catalog.startswith("sqlite")
    if is_server or sqlite3.sqlite_version_info >= SQLITE_WAL_FIX:
        yield Finding(Level.OK, "versions", message)
    else:
        hint = "This SQLite is safe with one writing program at a time; for several, use Postgres or SQLite 3.51.3."
        yield Finding(Level.NOTE, "versions", message, hint, "sqlite_wal_reset")


def gpu(ask_torch: bool = False, devices: Path = Path("/dev")) -> Iterator[Finding]:
    """By the device files and the build of torch; both can be seen without the seconds that importing it takes."""
    nodes = sorted(node.name for node in devices.glob("nvidia[0-9]*"))
    if ask_torch:
        import torch

        names = [torch.cuda.get_device_name(n) for n in range(torch.cuda.device_count())]
        if names:
            yield Finding(Level.OK, "GPU", ", ".join(f"cuda:{n} {name}" for n, name in enumerate(names)))
            return
    build = _torch_version()
    if not nodes:
        yield Finding(Level.OK, "GPU", "none here: encoding runs on the CPU")
    elif "+cpu" in build or ask_torch:
        hint = "Install the torch build for your CUDA driver; workers then take 'spresso worker --device cuda:0'."
        yield Finding(Level.NOTE, "GPU", f"{', '.join(nodes)}, but torch {build} cannot use it", hint, "gpu_unused")
    else:
        yield Finding(Level.OK, "GPU", f"{', '.join(nodes)}; 'spresso doctor --gpu' asks torch")


def _torch_version() -> str:
    try:
        return metadata.version("torch")
    except metadata.PackageNotFoundError:
        return "not installed"
