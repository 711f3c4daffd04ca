"""Every command that deploy/ and the operations pages start is one that the program has; so is every setting."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from string import Template

import pytest

from spresso_assets.config import ENV_PREFIX, FILE_SUFFIX, SECRETS, Settings
from tests.deploy.files import DEPLOY, FULL, REPOSITORY, compose, is_ours, pods, services, shell_words, unit
from tests.docs.test_docs import FENCE, _parse

PAGES = sorted((REPOSITORY / "docs" / "operations").glob("*.md"))
SETTINGS = {ENV_PREFIX + name.upper() for name in Settings.model_fields} | {
    ENV_PREFIX + name.upper() + FILE_SUFFIX for name in SECRETS
}


def _compose_commands() -> Iterator[tuple[str, list[str]]]:
    for files in (("compose.yaml",), ("compose.yaml", "compose.gpu.yaml")):
        for name, service in compose(*files)["services"].items():
            if is_ours(service) and "entrypoint" not in service:
                yield f"{files[-1]}: {name}", service["command"]


def _unit_commands() -> Iterator[tuple[str, list[str]]]:
    for name in services():
        settings = unit(name)
        variables = dict(pair.split("=", 1) for line in settings["Service.Environment"] for pair in line.split())
        for line in settings["Service.ExecStart"]:
            words = shell_words(Template(line).substitute(variables).replace("%i", "cuda:0"))
            assert words[0] == "/opt/spresso/bin/spresso", name
            yield name, words[1:]


def _page_commands() -> Iterator[tuple[str, list[str]]]:
    """Arguments of our program in `docker compose run SERVICE ...` and `... exec SERVICE spresso ...`."""
    known = compose("compose.yaml")["services"]
    for page in PAGES:
        for language, body in FENCE.findall(page.read_text(encoding="utf-8")):
            if language != "sh":
                continue
            for line in body.replace("\\\n", " ").splitlines():
                words = shlex.split(line, comments=True)
                if "run" in words and "compose" in words:
                    rest = [word for word in words[words.index("run") + 1 :] if word != "--rm"]
                    assert rest[0] in known, line
                    yield f"{page.name}: {line}", rest[1:] or known[rest[0]]["command"]
                elif "exec" in words:
                    assert "worker-cpu" in words or "deploy/spresso-worker-cpu" in words, line
                    yield f"{page.name}: {line}", words[words.index("spresso", words.index("exec")) + 1 :]


def _all() -> list[tuple[str, list[str]]]:
    return [*_compose_commands(), *_unit_commands(), *_page_commands()]


@pytest.mark.parametrize(("where", "words"), _all(), ids=[where for where, _ in _all()])
def test_the_program_understands(where: str, words: list[str]) -> None:
    _parse(shlex.join(["spresso", *words]))


def test_the_program_understands_the_chart() -> None:
    commands = {component: spec["containers"][0]["args"] for component, spec in pods(FULL)}
    assert set(commands) == {"migrate", "watcher", "worker-cpu", "worker-gpu", "metrics", "backup"}
    for words in commands.values():
        _parse(shlex.join(["spresso", *words]))


def test_every_variable_is_a_setting() -> None:
    """A misspelt variable would be ignored in silence."""
    for file in [path for path in DEPLOY.rglob("*") if path.is_file()] + PAGES:
        named = set(re.findall(r"\bSPRESSO_[A-Z_]+\b", file.read_text(encoding="utf-8")))
        assert named <= SETTINGS | {"SPRESSO_CONFIG"}, file.name


def test_every_process_gets_both_secrets() -> None:
    both = {"SPRESSO_CATALOG_FILE", "SPRESSO_BROKER_URL_FILE"}
    for name, service in compose("compose.yaml", "compose.gpu.yaml")["services"].items():
        if is_ours(service):
            assert set(service["environment"]) == both, name
            assert {f"/run/secrets/{secret}" for secret in service["secrets"]} >= set(service["environment"].values())
    for name in services():
        text = " ".join(unit(name)["Service.Environment"])
        assert all(f"{variable}=%d/" in text for variable in both), name
