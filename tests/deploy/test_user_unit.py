"""The bridge's unit, which belongs to a person, not to the system."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from spresso_assets.cli.arguments import arrange
from spresso_assets.cli.main import app
from tests.deploy.files import UNITS, program

UNIT = UNITS / "user" / "spresso-bridge.service"


def settings() -> dict[str, str]:
    lines = (line.partition("=") for line in UNIT.read_text().splitlines() if "=" in line and line[0] not in "#;")
    return {name: value for name, _, value in lines}


def test_systemd_has_nothing_to_say(tmp_path: Path) -> None:
    shutil.copy(UNIT, tmp_path)
    environment = {**os.environ, "SYSTEMD_UNIT_PATH": f"{tmp_path}:", "XDG_RUNTIME_DIR": str(tmp_path)}
    done = subprocess.run(
        [program("systemd-analyze"), "--user", "verify", "--man=no", UNIT.name],
        cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert UNIT.name not in done.stdout + done.stderr, done.stderr


def test_it_serves_and_stops_trying_when_that_is_hopeless() -> None:
    told = settings()
    assert told["ExecStart"] == "/usr/bin/env spresso serve --quiet"
    assert arrange(["serve", "--quiet"], app)
    # five failures take 20 seconds, and all lie within the interval
    assert int(told["RestartSec"]) * int(told["StartLimitBurst"]) < int(told["StartLimitIntervalSec"])
    assert told["UMask"] == "0077" and told["NoNewPrivileges"] == "yes"
