"""Commands in README and docs exist: every `spresso ...` line names a verb and options that the program has."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from spresso_assets.cli.main import FLAGS, WITH_VALUE, hoist_globals, main

REPO = Path(__file__).resolve().parents[2]
GROUPS = {"root", "profile", "models", "jobs", "codec", "train"}
COMMAND = re.compile(r"^(?:\$ )?(?:\.venv/bin/)?spresso (.+)$|`spresso ([^`]+)`", re.MULTILINE)


def commands() -> list[tuple[str, str]]:
    """(document, arguments) of every command shown."""
    found = []
    for document in (REPO / "README.md", *sorted((REPO / "docs").rglob("*.md"))):
        for match in COMMAND.finditer(document.read_text(encoding="utf-8")):
            shown = (match[1] or match[2]).split(" #")[0].strip()
            found.append((document.name, shown))
    return found


@pytest.mark.parametrize(("document", "shown"), sorted(set(commands())))
def test_command_exists(document: str, shown: str, capsys: pytest.CaptureFixture[str]) -> None:
    try:
        words = hoist_globals(shlex.split(shown.replace("...", "X")))
    except ValueError:
        pytest.fail(f"{document}: cannot be typed into a shell: spresso {shown}")
    while words and words[0] in FLAGS | WITH_VALUE:
        words = words[2 if words[0] in WITH_VALUE else 1 :]
    plain = [word for word in words if not word.startswith("-")]
    verb = plain[:2] if plain and plain[0] in GROUPS and len(plain) > 1 else plain[:1]
    assert main([*verb, "--help"]) == 0, f"{document}: no such verb: spresso {shown}"
    known = capsys.readouterr().out
    for word in words:
        option = word.split("=", 1)[0]
        # A single dash may also begin a negated search word.
        if option.startswith("--") and option not in ("--help", "--version", "--"):
            assert option in known, f"{document}: no such option: spresso {shown}"
