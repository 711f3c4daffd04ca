"""What a person types, brought into the order that the command-line parser wants."""

from __future__ import annotations

import re
from collections.abc import Sequence

import typer
from typer.main import get_command

FLAGS = {"--json", "--jsonl", "--quiet", "-q"}
WITH_VALUE = {"--catalog", "--config", "--bundle"}
# Verbs whose arguments begin with the words of a query.
QUERY_VERBS = frozenset({"search", "stats", "encode", "reencode", "quality", "export", "verify"})
# A single dash before more than one letter: options with one dash have one letter and take no glued value.
NEGATED = re.compile(r"-[^-].+", re.DOTALL)


def arrange(args: Sequence[str], app: typer.Typer) -> list[str]:
    """Global options to the front, negated words of a query out of the reach of the option parser.

    An option that the verb has itself (`train prior --config`) is the verb's.
    """
    ambiguous = WITH_VALUE & {arg.split("=", 1)[0] for arg in args}
    front, rest = _split_globals(args, _own_options(args, app) if ambiguous else set())
    return front + _shield_words(rest, app)


def _split_globals(args: Sequence[str], own: set[str]) -> tuple[list[str], list[str]]:
    """Global options that stand before a `--`, with their values, and everything else.

    After the verb, the options ``own`` are left to it.
    """
    front: list[str] = []
    rest: list[str] = []
    waiting = iter(args)
    for arg in waiting:
        if arg == "--":
            rest += [arg, *waiting]
        elif rest and arg.split("=", 1)[0] in own:
            rest.append(arg)
        elif arg in FLAGS or (arg.split("=", 1)[0] in WITH_VALUE and "=" in arg):
            front.append(arg)
        elif arg in WITH_VALUE:
            front += [arg, *([value] if (value := next(waiting, None)) is not None else [])]
        else:
            rest.append(arg)
    return front, rest


def _shield_words(rest: list[str], app: typer.Typer) -> list[str]:
    """`search door -wood --limit 3` -> `search --limit 3 -- door -wood`; all arguments keep their order."""
    if not rest or rest[0] not in QUERY_VERBS or not any(NEGATED.fullmatch(arg) for arg in rest[1:]):
        return rest
    valued = _options_with_value(rest[0], app)
    options: list[str] = []
    words: list[str] = []
    waiting = iter(rest[1:])
    for arg in waiting:
        if arg == "--":
            words += waiting
        elif arg in valued:
            options += [arg, *([value] if (value := next(waiting, None)) is not None else [])]
        elif arg.startswith("-") and arg != "-" and not NEGATED.fullmatch(arg):
            options.append(arg)
        else:
            words.append(arg)
    return [rest[0], *options, "--", *words]


def _own_options(args: Sequence[str], app: typer.Typer) -> set[str]:
    """Spellings of the options of the verb that ``args`` name, in a group too; none for the program itself."""
    command = get_command(app)
    waiting = iter(args)
    for arg in waiting:
        if arg in WITH_VALUE:
            next(waiting, None)
        elif not arg.startswith("-"):
            commands = getattr(command, "commands", {})
            if arg not in commands:
                break
            command = commands[arg]
    return {name for option in command.params for name in option.opts} if command.name else set()


def _options_with_value(verb: str, app: typer.Typer) -> set[str]:
    """Spellings of a verb's options that take the next argument as their value."""
    command = get_command(app).commands[verb]  # type: ignore[attr-defined]
    options = [option for option in command.params if option.param_type_name == "option" and not option.is_flag]
    return {name for option in options for name in option.opts}
