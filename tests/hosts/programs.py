"""Tests say which programs they need; without one they are skipped, with a reason that names the package."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

PACKAGES = {
    "audacity": "audacity",
    "ardour": "ardour",
    "ardour7-lua": "ardour",
    "blender": "blender",
    "cadaver": "cadaver",
    "chromium": "chromium",
    "curl": "curl",
    "gcc": "gcc",
    "godot3-server": "godot3-server",
    "jackd": "jackd2",
    "jalv": "jalv",
    "lua5.4": "lua5.4",
    "lv2info": "lilv-utils",
    "make": "make",
    "mount.davfs": "davfs2",
    "pd": "puredata-core",
    "rclone": "rclone",
    "xdotool": "xdotool",
    "Xvfb": "xvfb",
}


def needs(*programs: str) -> None:
    """Skip the test, or the whole file when called at its top, unless all of these programs are installed."""
    for program in programs:
        if shutil.which(program, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin") is None:
            why = f"{program} is not installed (Debian: apt-get install {PACKAGES.get(program, program)})"
            pytest.skip(why, allow_module_level=True)


def needs_file(path: str, package: str) -> None:
    """The same for what is no program: headers, modules."""
    if not Path(path).exists():
        pytest.skip(f"{path} is not there (Debian: apt-get install {package})", allow_module_level=True)
