"""Runs the installed program as its own process, as a person or a service manager would."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest


@dataclass(frozen=True)
class Program:
    """`program.run("search", "door")` starts a process and waits for it."""

    environment: dict[str, str]
    folder: Path

    def command(self, *args: str | Path) -> list[str]:
        return [sys.executable, "-m", "spresso_assets.cli.main", *map(str, args)]

    def start(self, *args: str | Path) -> subprocess.Popen[bytes]:
        """Start without waiting, in a process group of its own."""
        return subprocess.Popen(
            self.command(*args),
            env=self.environment,
            cwd=self.folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def run(self, *args: str | Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(*args), env=self.environment, cwd=self.folder, capture_output=True, text=True, timeout=240
        )

    def data(self, *args: str | Path, codes: Sequence[int] = (0,)) -> Any:
        """The data of a `--json` run that ends with one of these codes."""
        done = self.run(*args, "--json")
        assert done.returncode in codes, done.stderr
        return json.loads(done.stdout)["data"]


@pytest.fixture
def program(tmp_path: Path, tiny_bundle: Path) -> Program:
    environment = {key: value for key, value in os.environ.items() if not key.startswith("SPRESSO_")}
    environment |= {
        "SPRESSO_CATALOG": str(tmp_path / "catalog.db"),
        "SPRESSO_BUNDLE": str(tiny_bundle),
        "SPRESSO_SETTLE_S": "0",
        "XDG_CONFIG_HOME": str(tmp_path),
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": str(Path(__file__).resolve().parents[2]),
        "NO_COLOR": "1",
    }
    return Program(environment, tmp_path)
