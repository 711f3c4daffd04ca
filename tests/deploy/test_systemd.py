"""The systemd units, before systemd itself, without installing them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.deploy.files import UNITS, program, services, unit

# systemd's own measure, from 0 (closed) to 10. Workers must be able to open GPUs, and all of them use the network.
MOST_EXPOSED = 2.0


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """The units in a folder of their own, with a program that exists here."""
    folder = tmp_path / "units"
    shutil.copytree(UNITS, folder)
    for path in folder.glob("*.service"):
        path.write_text(path.read_text().replace("/opt/spresso/bin/spresso", sys.executable))
    return folder


def analyze(folder: Path, *args: str) -> str:
    """Both outputs of `systemd-analyze`; units are looked for in the folder first."""
    environment = {**os.environ, "SYSTEMD_UNIT_PATH": f"{folder}:", "SYSTEMD_COLORS": "0"}
    done = subprocess.run(
        [program("systemd-analyze"), *args], cwd=folder, env=environment, capture_output=True, text=True, timeout=60
    )
    return done.stdout + done.stderr


def test_systemd_has_nothing_to_say(installed: Path) -> None:
    units = sorted(path.name for pattern in ("*.service", "*.target", "*.timer") for path in installed.glob(pattern))
    assert len(units) == 7
    assert analyze(installed, "verify", "--man=no", *units) == ""


def test_a_typing_mistake_would_be_noticed(installed: Path) -> None:
    """In the file that all units share, too: it is read."""
    shared = installed / "spresso-.service.d" / "hardening.conf"
    shared.write_text(shared.read_text().replace("PrivateTmp", "PrivateTnp"))
    assert "PrivateTnp" in analyze(installed, "verify", "--man=no", "spresso-watch.service")


@pytest.mark.parametrize("name", services())
def test_is_closed(installed: Path, name: str) -> None:
    told = analyze(installed, "security", "--offline=yes", f"./{name}")
    score = re.search(r"exposure level for \S+: ([\d.]+)", told)
    assert score and float(score[1]) <= MOST_EXPOSED, told


@pytest.mark.parametrize("name", services())
def test_reads_only_and_runs_as_nobody_special(name: str) -> None:
    settings = unit(name)
    assert settings["Service.User"] == ["spresso"] and settings["Service.NoNewPrivileges"] == ["yes"]
    assert settings["Service.ProtectSystem"] == ["strict"]
    assert settings["Service.ReadOnlyPaths"] == ["-/srv/sounds"]
    assert "Service.ReadWritePaths" not in settings
    assert settings["Service.MemoryMax"]


def test_only_workers_see_devices() -> None:
    """What all units share is read last and would win, so it must not say anything of devices."""
    for name in services():
        settings = unit(name)
        if name == "spresso-worker@.service":
            assert "Service.PrivateDevices" not in settings
            assert settings["Service.DevicePolicy"] == ["closed"]
            assert settings["Service.DeviceAllow"] == ["char-nvidia* rw"]
        else:
            assert settings["Service.PrivateDevices"] == ["yes"], name


def test_a_worker_has_time_to_drain() -> None:
    settings = unit("spresso-worker@.service")
    assert settings["Service.KillMode"] == ["mixed"], "the first process tells the others"
    assert settings["Service.TimeoutStopSec"] == ["5min"]


def test_the_target_starts_everything() -> None:
    wanted = unit("spresso.target")["Unit.Wants"][0].split()
    assert {name.replace("@cpu", "@") for name in wanted} == {
        "spresso-watch.service",
        "spresso-worker@.service",
        "spresso-metrics.service",
        "spresso-backup.timer",
    }
