"""The Dockerfile, and that what it copies is what the build needs."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from fnmatch import fnmatch
from pathlib import Path

import pytest

from tests.deploy.files import DEPLOY, REPOSITORY, program

TEXT = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
FINAL = TEXT.rsplit("\nFROM ", 1)[1]
SOURCES = [word for line in re.findall(r"^COPY (?!--from)(.+) \S+$", TEXT, re.MULTILINE) for word in line.split()]


def test_the_linter_has_nothing_to_say() -> None:
    done = subprocess.run([program("hadolint"), DEPLOY / "Dockerfile"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_runs_as_a_fixed_user_without_a_compiler() -> None:
    assert re.search(r"^USER (\d+):(\d+)$", FINAL, re.MULTILINE), "a number, so that runAsNonRoot can be checked"
    assert "USER 0" not in TEXT and "sudo" not in TEXT
    assert not re.search(r"\b(gcc|g\+\+|build-essential|pip install)\b", FINAL)
    assert "HEALTHCHECK" in FINAL


def test_the_base_is_one_version() -> None:
    assert re.search(r"^ARG PYTHON=3\.11\.\d+-slim-\w+$", TEXT, re.MULTILINE)
    assert len(re.findall(r"^FROM python:\$\{PYTHON\}", TEXT, re.MULTILINE)) == 2
    assert TEXT.count("-c constraints.txt") == TEXT.count("pip install")


def test_labels_name_nobody_and_no_host() -> None:
    label = FINAL.split("LABEL", 1)[1].split("\nRUN", 1)[0]
    assert not re.search(r"@|://|authors|vendor|maintainer", label)


def _sent(path: str) -> bool:
    """Whether .dockerignore lets a path into the build; the last line that matches decides."""
    sent = True
    for line in (REPOSITORY / ".dockerignore").read_text(encoding="utf-8").splitlines():
        if not line or line.startswith("#"):
            continue
        pattern = line.lstrip("!").removeprefix("**/")
        parts = path.split("/")
        if fnmatch(parts[0], pattern) or (line.startswith("**/") and any(fnmatch(part, pattern) for part in parts)):
            sent = line.startswith("!")
    return sent


def test_the_build_sees_what_it_copies_and_nothing_else() -> None:
    assert all(_sent(source) for source in SOURCES)
    assert not any(map(_sent, (".git", ".venv", "deploy", "tests", "docs", "deploy/secrets", "demo", ".env")))
    assert not _sent("workers/__pycache__/app.cpython-311.pyc")
    tops = {path.name for path in REPOSITORY.iterdir() if _sent(path.name)}
    assert tops == {source.split("/")[0] for source in SOURCES}


@pytest.mark.slow
def test_the_package_builds_from_what_is_copied(tmp_path: Path) -> None:
    for source in SOURCES:
        if (REPOSITORY / source).is_dir():
            shutil.copytree(REPOSITORY / source, tmp_path / source, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(REPOSITORY / source, tmp_path)
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--quiet", "--wheel-dir", tmp_path / "out", tmp_path]
    subprocess.run(command, check=True, capture_output=True, timeout=240)
    names = subprocess.run(
        [sys.executable, "-m", "zipfile", "-l", *(tmp_path / "out").glob("*.whl")], capture_output=True, text=True
    ).stdout
    for part in ("workers/app.py", "spresso_assets/models/small/", "migrations/versions/0001_first_tables.py"):
        assert part in names
