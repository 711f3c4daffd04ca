"""Who may import whom. The rooms of the house and the arrows between them, read from the source, not from memory."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[1]

# Arrows point down. Everything may import errors and config; a room may import itself.
ARROWS: dict[str, set[str]] = {
    "errors": set(),
    "config": set(),
    "audio": set(),
    "codec": set(),
    "models": set(),
    "catalog": set(),
    "training": {"rivals", "codec", "audio"},
    "rivals": {"codec", "audio"},
    "evaluation": {"catalog", "audio", "codec"},
    "ingest": {"catalog", "audio", "codec"},
    "export": {"ingest", "catalog", "audio", "codec"},
    "verify": {"ingest", "export", "evaluation", "catalog", "audio", "codec"},
    "jobs": {"verify", "ingest", "export", "evaluation", "catalog", "audio", "codec"},
    "workers": {"jobs", "verify", "ingest", "export", "evaluation", "catalog", "audio", "codec"},
    "plugin_bridge": {"jobs", "verify", "ingest", "export", "evaluation", "catalog", "audio", "codec"},
    "bench": {
        "plugin_bridge",
        "workers",
        "jobs",
        "verify",
        "ingest",
        "export",
        "evaluation",
        "catalog",
        "audio",
        "codec",
    },
    "cli": {
        *(
            "bench",
            "plugin_bridge",
            "workers",
            "jobs",
            "verify",
            "ingest",
            "export",
            "evaluation",
            "catalog",
            "audio",
            "codec",
        ),
        "training",
        "rivals",
    },
}
GROUND = {"errors", "config", "__init__"}
LATER = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
HEAVY = {"torch", "scipy", "mutagen", "celery", "alembic", "transformers", "fastapi", "uvicorn", "PySide6"}


def sources() -> Iterator[tuple[str, str, Path]]:
    """(room, module name, file) of every module in the project."""
    for package in ("spresso_assets", "workers", "plugin_bridge"):
        for file in sorted((REPO / package).rglob("*.py")):
            parts = file.relative_to(REPO).with_suffix("").parts
            room = parts[0] if package != "spresso_assets" else parts[1] if len(parts) > 1 else "__init__"
            module = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
            yield room, module, file


def imports(tree: ast.AST, *, at_start_only: bool = False) -> Iterator[str]:
    """Names of imported modules; `from a import b` yields 'a' and 'a.b'.

    With `at_start_only`, only what really runs when the module is imported: not what stands inside of functions or
    under TYPE_CHECKING.
    """
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative imports hide the arrows"
            assert node.module is not None
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif at_start_only and (isinstance(node, LATER) or _for_types_only(node)):
            continue
        else:
            yield from imports(node, at_start_only=at_start_only)


def _for_types_only(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)


def room_of(module: str) -> str | None:
    """The room of an imported module, None if it is not ours."""
    parts = module.split(".")
    if parts[0] == "spresso_assets":
        return parts[1] if len(parts) > 1 else "__init__"
    return parts[0] if parts[0] in ("workers", "plugin_bridge") else None


def test_arrows_point_down() -> None:
    wrong = []
    for room, module, file in sources():
        if room == "__init__":
            continue
        for name in imports(ast.parse(file.read_text(encoding="utf-8"))):
            target = room_of(name)
            # `from spresso_assets import __version__` names no room.
            if target is None or target == room or target in GROUND or target not in ARROWS:
                continue
            if target not in ARROWS[room]:
                wrong.append(f"{module} imports {name}")
    assert not wrong, "\n".join(sorted(set(wrong)))


def test_every_room_has_its_arrows() -> None:
    rooms = {room for room, _, file in sources() if room != "__init__"}
    assert rooms <= set(ARROWS), rooms - set(ARROWS)


@pytest.mark.parametrize("start", ["cli", "catalog", "ingest", "jobs", "workers"])
def test_no_torch_when_a_room_is_imported(start: str) -> None:
    trees = {module: ast.parse(file.read_text(encoding="utf-8")) for _, module, file in sources()}
    heavy = {"torch", "scipy", "mutagen"}
    for first in [module for room, module, _ in sources() if room == start]:
        if first.startswith(("spresso_assets.catalog.migrations", "spresso_assets.cli.train")):
            continue
        todo, done, found = [first], set(), set()
        while todo:
            module = todo.pop()
            if module in done or module not in trees:
                continue
            done.add(module)
            for name in imports(trees[module], at_start_only=True):
                todo.append(name)
                found |= heavy & {name.split(".")[0]}
        assert not found, f"importing {first} imports {found}"


def test_search_starts_without_heavy_packages() -> None:
    code = (
        "import sys, spresso_assets.cli.main, spresso_assets.catalog.search\n"
        f"print(*sorted({HEAVY!r} & set(sys.modules)))"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=REPO)
    assert answer.stdout.split() == []


@pytest.mark.parametrize("name", ["utils", "util", "helpers", "helper", "common", "misc"])
def test_no_drawer_for_everything(name: str) -> None:
    assert [module for _, module, _ in sources() if module.split(".")[-1] == name] == []
