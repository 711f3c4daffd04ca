"""Which error codes the source can raise, and the exit codes they end a command with: read from the syntax, not run."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from spresso_assets.errors import ExitCode

REPOSITORY = Path(__file__).resolve().parents[2]
FINDING_CODE = 4  # position of `code` in `cli.checks.Finding`


def sources() -> list[Path]:
    """All Python files that can raise errors at a user."""
    rooms = ("spresso_assets", "workers", "plugin_bridge")
    return sorted(path for room in rooms for path in (REPOSITORY / room).rglob("*.py"))


def error_codes() -> dict[str, set[int]]:
    """Code -> exit codes, over all rooms."""
    found: dict[str, set[int]] = defaultdict(set)
    for path in sources():
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for code, exits in _codes_in(tree):
            found[code] |= exits
    return dict(found)


def errors_without_code() -> list[str]:
    """Places that raise a `SpressoError` that scripts could not tell from another."""
    places = []
    for path in sources():
        for call in _calls(ast.parse(path.read_text(encoding="utf-8")), "SpressoError"):
            if all(keyword.arg != "code" for keyword in call.keywords):
                places.append(f"{path.relative_to(REPOSITORY)}:{call.lineno}")
    return places


def finding_codes() -> set[str]:
    """Codes that only `spresso doctor` uses."""
    codes = set()
    for file in (REPOSITORY / "spresso_assets/cli/checks").glob("*.py"):
        tree = ast.parse(file.read_text(encoding="utf-8"))
        codes |= {
            text for call in _calls(tree, "Finding") for node in call.args[FINDING_CODE:] for text in _texts(node)
        }
    return codes - {""} - set(error_codes())


def verify_codes() -> set[str]:
    """Codes that only `spresso verify` uses: the first argument of what makes a finding, and the rows' invariants."""
    codes = set()
    for file in (REPOSITORY / "spresso_assets/verify").glob("*.py"):
        tree = ast.parse(file.read_text(encoding="utf-8"))
        for severity in ("error", "warning", "info"):
            codes |= {text for call in _calls(tree, severity) for text in _texts(call.args[0])}
        for node in ast.walk(tree):
            if isinstance(node, ast.Tuple) and len(node.elts) in (3, 4) and "SELECT" in ast.dump(node):
                codes |= {text for text in _texts(node.elts[0]) if text.isidentifier()}
    return codes - set(error_codes()) - finding_codes()


def _codes_in(tree: ast.Module) -> Iterator[tuple[str, set[int]]]:
    for call in _calls(tree, "SpressoError"):
        given = {keyword.arg: keyword.value for keyword in call.keywords}
        if "code" in given:
            yield from _pairs(given["code"], given.get("exit_code"))
    # Functions that make errors of one kind: `def _bad(message, hint, code="bad_setting")`.
    for maker in (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)):
        names = [argument.arg for argument in maker.args.args]
        if "code" not in names:
            continue
        exits = {number for code in _calls(maker, "SpressoError") for number in _exits_of_call(code)}
        values = list(maker.args.defaults)
        for call in _calls(tree, maker.name):
            values += call.args[names.index("code") : names.index("code") + 1]
            values += [keyword.value for keyword in call.keywords if keyword.arg == "code"]
        for value in values:
            for code in _texts(value):
                if code.isidentifier():
                    yield code, exits
    # What is written into a job's row without ever having been raised.
    for table in (node for node in ast.walk(tree) if isinstance(node, ast.Dict)):
        for key, value in zip(table.keys, table.values, strict=True):
            if isinstance(key, ast.Constant) and key.value == "error_code":
                for code in _texts(value):
                    yield code, {int(ExitCode.FAILED)}


def _calls(tree: ast.AST, name: str) -> Iterator[ast.Call]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == name:
            yield node


def _pairs(code: ast.expr, exit_code: ast.expr | None) -> Iterator[tuple[str, set[int]]]:
    """Codes with their exit codes; where both are chosen by the same condition, each belongs to its own."""
    if (
        isinstance(code, ast.IfExp)
        and isinstance(exit_code, ast.IfExp)
        and ast.dump(code.test) == ast.dump(exit_code.test)
    ):
        yield from _pairs(code.body, exit_code.body)
        yield from _pairs(code.orelse, exit_code.orelse)
    else:
        yield from ((text, _exits(exit_code)) for text in _texts(code))


def _texts(node: ast.expr) -> Iterator[str]:
    """String constants that an expression may be: of a choice, both branches."""
    if isinstance(node, ast.IfExp):
        yield from _texts(node.body)
        yield from _texts(node.orelse)
    elif isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value


def _exits_of_call(call: ast.Call) -> set[int]:
    return _exits(next((keyword.value for keyword in call.keywords if keyword.arg == "exit_code"), None))


def _exits(node: ast.expr | None) -> set[int]:
    if node is None:
        return {int(ExitCode.FAILED)}
    names = [
        part.attr for part in ast.walk(node) if isinstance(part, ast.Attribute) and part.attr in ExitCode.__members__
    ]
    return {int(ExitCode[name]) for name in names}
