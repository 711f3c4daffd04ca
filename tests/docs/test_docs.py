"""The documentation against the code: references are up to date, links lead somewhere, commands are understood."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
from typer.main import get_command

from spresso_assets.catalog.fields import FIELDS
from spresso_assets.cli.arguments import arrange
from spresso_assets.cli.main import app
from spresso_assets.cli.output import Mode, Output
from spresso_assets.cli.reference import MEANINGS, reference
from spresso_assets.cli.state import State
from spresso_assets.config import ENV_PREFIX, Settings
from spresso_assets.errors import ExitCode
from tests.docs.codes import REPOSITORY, error_codes, errors_without_code, finding_codes, verify_codes

REFERENCE = REPOSITORY / "docs" / "reference"
PAGES = [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").rglob("*.md"))]
ROW = re.compile(r"^\| `([^`]+)` \| (.*?) \|", re.MULTILINE)
LINK = re.compile(r"\]\(([^)\s]+)\)")
FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
SPAN = re.compile(r"(?<!`)`(spresso [^`\n]+)`(?!`)")
SHELL_WORDS = frozenset({"|", "||", "&&", ";", ">", ">>", "2>", "<", "do", "done"})


def page_id(page: Path) -> str:
    return page.relative_to(REPOSITORY).as_posix()


def rows(page: str, section: str = "") -> dict[str, str]:
    """First column -> second column of the tables of a reference page."""
    text = (REFERENCE / page).read_text(encoding="utf-8")
    if section:
        text = text.split(f"\n## {section}\n", 1)[1].split("\n## ", 1)[0]
    return dict(ROW.findall(text))


def test_the_command_reference_is_up_to_date() -> None:
    """To mend it: python -m spresso_assets.cli.reference > docs/reference/cli.md"""
    assert (REFERENCE / "cli.md").read_text(encoding="utf-8") == reference(app)


def test_every_exit_code_has_a_meaning() -> None:
    assert list(MEANINGS) == [code.name for code in ExitCode]


def test_the_command_reference_names_what_the_parser_knows() -> None:
    """It is made from signatures; this holds it against the parser that Typer builds from them."""
    text = reference(app)
    for name, options in _known_options(get_command(app), "spresso"):
        section = text.split(f"\n## {name}\n", 1)[1].split("\n## ", 1)[0]
        assert set(re.findall(r"`(--?[a-z][a-z-]*)`", section)) == options, name


def _known_options(command: object, name: str) -> Iterator[tuple[str, set[str]]]:
    if commands := getattr(command, "commands", None):
        for key, inner in commands.items():
            yield from _known_options(inner, f"{name} {key}")
    else:
        spelt = [[*p.opts, *p.secondary_opts] for p in command.params]  # type: ignore[attr-defined]
        yield name, {text for names in spelt for text in names if text.startswith("-")} - {"--help", "-h"}


def test_every_error_code_is_documented_and_exists() -> None:
    documented = rows("errors.md")
    found = error_codes()
    assert set(documented) - finding_codes() - verify_codes() == set(found)
    for code, shown in documented.items():
        if code in found and shown != "-":
            assert {int(number) for number in shown.split(",")} == found[code], code
        elif code in found:
            assert found[code] <= {int(ExitCode.FAILED), int(ExitCode.BROKER_UNREACHABLE)}, code


def test_every_error_has_a_code() -> None:
    assert errors_without_code() == []


def test_every_finding_of_the_doctor_is_documented() -> None:
    assert set(rows("errors.md", "What `doctor` finds")) == finding_codes()


def test_every_finding_of_verify_is_documented() -> None:
    assert set(rows("errors.md", "What `verify` finds")) == verify_codes()


def test_every_setting_is_documented_with_its_default() -> None:
    documented = rows("configuration.md", "Settings")
    assert set(documented) == set(Settings.model_fields)
    text = (REFERENCE / "configuration.md").read_text(encoding="utf-8")
    for name, field in Settings.model_fields.items():
        assert f"`{ENV_PREFIX}{name.upper()}`" in text
        if isinstance(field.default, int | float):
            assert documented[name] == f"{field.default:g}", name


def test_every_search_field_is_documented() -> None:
    assert set(rows("search.md", "Fields")) == set(FIELDS)


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_links_lead_somewhere(page: Path) -> None:
    for target in LINK.findall(page.read_text(encoding="utf-8")):
        if "://" in target or target.startswith(("#", "mailto:")):
            continue
        assert (page.parent / target.partition("#")[0]).exists(), target


@pytest.mark.parametrize("page", [page for page in PAGES if page.name != "cli.md"], ids=page_id)
def test_commands_are_understood(page: Path) -> None:
    """Verbs, options and their values; nothing is run."""
    for line, whole in _commands(page.read_text(encoding="utf-8")):
        try:
            _parse(line)
        except Exception as error:
            if not whole and type(error).__name__ in ("MissingParameter", "NoArgsIsHelpError"):
                continue  # prose that only names a command
            told = error.format_message() if hasattr(error, "format_message") else repr(error)
            pytest.fail(f"{line}: {told}")


def _commands(text: str) -> Iterator[tuple[str, bool]]:
    """(command line, whether it stands in a block for a shell)."""
    for language, body in FENCE.findall(text):
        if language in ("sh", "console"):
            for line in body.replace("\\\n", " ").splitlines():
                if language == "sh" or line.startswith("$ "):
                    yield from ((command, True) for command in _spresso_in(line.removeprefix("$ ")))
    for span in SPAN.findall(FENCE.sub("", text)):
        yield from ((command, False) for command in _spresso_in(span))


def _spresso_in(line: str) -> Iterator[str]:
    """The `spresso ...` parts of a shell line, comments and other programs left out."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars="|&;<>")
    lexer.whitespace_split = True
    words = list(lexer)
    while words:
        end = next((n for n, word in enumerate(words) if word in SHELL_WORDS), len(words))
        part, words = words[:end], words[end + 1 :]
        start = next((n for n, word in enumerate(part) if "=" not in word), len(part))  # behind VARIABLE=value
        if part[start:] and part[start].rpartition("/")[2] == "spresso":
            yield shlex.join(part[start:])


def _parse(line: str) -> None:
    """Let the real parser read a command line, without calling the command."""
    words = arrange(shlex.split(line)[1:], app)
    state = State(Output(Mode.TEXT, quiet=True))
    command = get_command(app)
    context = command.make_context("spresso", words, obj=state) if words else None
    while context is not None and (commands := getattr(context.command, "commands", None)):
        # The group leaves its subcommand and that one's words for later.
        rest = [*getattr(context, "_protected_args", []), *context.args]
        if not rest:
            return  # a group alone, as in `spresso jobs`
        if rest[0] not in commands:
            raise ValueError(f"there is no command '{rest[0]}'")
        context = commands[rest[0]].make_context(rest[0], rest[1:], parent=context)


def test_wrong_commands_would_be_noticed() -> None:
    for line in ("spresso serach door", "spresso search --colour", "spresso root ad x", "spresso scan --settle soon"):
        with pytest.raises(Exception):  # noqa: B017 - the parser's error classes live in a private module of Typer
            _parse(line)
    with pytest.raises(typer.Exit):
        _parse("spresso search --help")
