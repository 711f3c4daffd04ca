"""Passwords are made once, at random, into files that the program can read; none stands anywhere else."""

from __future__ import annotations

import os
import re
import stat
import subprocess
from pathlib import Path

import pytest
import yaml

from spresso_assets.catalog.location import locate
from spresso_assets.config import load_settings
from tests.deploy.files import DEPLOY, REPOSITORY, compose, program

SCRIPT = DEPLOY / "make-secrets.sh"


def make(folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["sh", SCRIPT, folder], env={"PATH": os.environ["PATH"], **environment}, capture_output=True, text=True
    )


@pytest.fixture
def secrets(tmp_path: Path) -> Path:
    folder = tmp_path / "secrets"
    done = make(folder)
    assert done.returncode == 0, done.stderr
    return folder


def test_makes_what_the_compose_file_mounts(secrets: Path) -> None:
    mounted = {Path(secret["file"]).name for secret in compose("compose.yaml")["secrets"].values()}
    assert {path.name for path in secrets.iterdir()} == mounted


def test_others_cannot_enter_and_containers_can_read(secrets: Path) -> None:
    assert stat.S_IMODE(secrets.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in secrets.iterdir()} == {0o444}


def test_the_program_reads_them(secrets: Path, tmp_path: Path) -> None:
    environment = {
        "SPRESSO_CATALOG_FILE": str(secrets / "catalog_url"),
        "SPRESSO_BROKER_URL_FILE": str(secrets / "broker_url"),
        "XDG_CONFIG_HOME": str(tmp_path),
    }
    settings = load_settings(env=environment)
    password = (secrets / "catalog_password").read_text()
    assert locate(settings.catalog).url == f"postgresql+psycopg://spresso:{password}@postgres/spresso"
    redis = (secrets / "redis_auth").read_text().split()
    assert settings.broker_url is not None and redis[0] == "requirepass"
    assert settings.broker_url.get_secret_value() == f"redis://:{redis[1]}@redis/0"


def test_each_is_another_and_none_is_shown(secrets: Path, tmp_path: Path) -> None:
    again = make(tmp_path / "again", DB_HOST="db.lan")
    assert "@db.lan/" in (tmp_path / "again" / "catalog_url").read_text()
    passwords = [
        re.findall(r"[0-9a-f]{48}", (folder / name).read_text())[0]
        for folder in (secrets, tmp_path / "again")
        for name in ("catalog_password", "postgres_password", "redis_auth", "dashboard_password")
    ]
    assert len(set(passwords)) == 8
    assert not any(password in again.stdout + again.stderr for password in passwords)


def test_what_is_there_is_never_replaced(secrets: Path) -> None:
    before = {path.name: path.read_text() for path in secrets.iterdir()}
    done = make(secrets)
    assert done.returncode == 1 and "there already" in done.stderr
    assert {path.name: path.read_text() for path in secrets.iterdir()} == before


@pytest.mark.parametrize("script", [SCRIPT, REPOSITORY / "tests/deploy/tools.sh"], ids=lambda path: path.name)
def test_scripts_are_sound(script: Path) -> None:
    done = subprocess.run([program("shellcheck"), script], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_no_file_holds_a_secret() -> None:
    url_with_password = re.compile(r"\w+://[^\s/@\"'`]*:([^\s/@\"'`]+)@")
    for path in [*DEPLOY.rglob("*"), *(REPOSITORY / "docs" / "operations").glob("*.md")]:
        if not path.is_file() or "secrets" in path.relative_to(REPOSITORY).parts:
            continue
        text = path.read_text(encoding="utf-8")
        assert set(url_with_password.findall(text)) <= {"password", "%s"}, path
        assert not re.search(r"\b(?=[A-Za-z]*\d)[0-9A-Za-z+/_-]{24,}\b", text), path


def test_passwords_are_in_no_command_line_and_no_variable() -> None:
    """Command lines can be read by every user of a machine."""
    for name, service in compose("compose.yaml")["services"].items():
        assert "password" not in str(service.get("command", "")).lower(), name
        for variable, value in (service.get("environment") or {}).items():
            if "PASSWORD" in variable:
                assert variable.endswith("_FILE") and value.startswith("/run/secrets/"), name


def test_git_ignores_them() -> None:
    ignored = (DEPLOY / ".gitignore").read_text(encoding="utf-8").split()
    assert {"/secrets/", "/.env"} <= set(ignored)


def test_every_yaml_file_parses() -> None:
    files = [path for path in DEPLOY.rglob("*.y*ml") if "templates" not in path.parts]
    assert len(files) >= 7
    for path in files:
        assert list(yaml.safe_load_all(path.read_text(encoding="utf-8"))), path
