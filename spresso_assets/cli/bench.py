"""`spresso bench ...`: measure the machinery on this very machine."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from spresso_assets.cli import format
from spresso_assets.cli.state import state_of
from spresso_assets.errors import ExitCode, SpressoError

if TYPE_CHECKING:
    from spresso_assets.bench.figures import Figure

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Measure this machine and this installation.")

PARTS = ("overhead", "scaling", "memory", "cut", "catalog")


@app.command()
def pipeline(
    ctx: typer.Context,
    only: Annotated[str, typer.Option(help=f"Parts to measure, with commas between: {', '.join(PARTS)}.")] = "",
    sounds: Annotated[int, typer.Option(min=20, help="Sounds for overhead and scaling.")] = 1000,
    memory_sounds: Annotated[int, typer.Option(min=100, help="Sounds for memory.")] = 5000,
    renditions: Annotated[int, typer.Option(min=100, help="Renditions to cut.")] = 200_000,
    assets: Annotated[int, typer.Option(min=1000, help="Sounds in the synthetic catalog.")] = 1_000_000,
    postgres: Annotated[
        str, typer.Option(help="URL of an empty Postgres database: the catalog is measured there, too.")
    ] = "",
    folder: Annotated[
        Path | None, typer.Option(help="Folder for what is made on the way; by default a temporary one.")
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", help="JSON file to write the figures to.")] = None,
) -> None:
    """Measure jobs, workers and catalog: overhead, scaling, memory, cutting, a catalog of a million sounds.

    Your own catalog is not touched. Sounds and catalogs are made for the purpose and thrown away. Exit code 5 when a
    figure misses its target, which on a busy machine says more about the machine.
    """
    state = state_of(ctx)
    wanted = [name.strip() for name in only.split(",") if name.strip()] or list(PARTS)
    unknown = [name for name in wanted if name not in PARTS]
    if unknown:
        raise SpressoError(
            f"There is nothing called '{unknown[0]}' to measure",
            code="usage",
            hint=f"Parts: {', '.join(PARTS)}.",
            exit_code=ExitCode.USAGE,
        )
    from spresso_assets.bench.catalog_scale import measure_catalog
    from spresso_assets.bench.cutting import measure_cutting
    from spresso_assets.bench.memory import measure_memory
    from spresso_assets.bench.overhead import measure_overhead
    from spresso_assets.bench.scaling import measure_scaling

    tell, bundle = state.out.note, state.bundle_dir()
    measures: dict[str, Callable[[Path], list[Figure | None]]] = {
        "overhead": lambda place: measure_overhead(place, sounds, tell),
        "scaling": lambda place: [measure_scaling(place, bundle, sounds, tell)],
        "memory": lambda place: [measure_memory(place, bundle, memory_sounds, tell)],
        "cut": lambda place: [measure_cutting(place, bundle, renditions, tell)],
        "catalog": lambda place: [
            figure
            for location in (str(place / "catalog.db"), *([postgres] if postgres else []))
            for figure in measure_catalog(location, assets, tell)
        ],
    }
    figures: list[Figure] = []
    for name in wanted:
        place = Path(tempfile.mkdtemp(prefix=f"bench-{name}-", dir=folder))
        try:
            figures += [figure for figure in measures[name](place) if figure is not None]
        finally:
            shutil.rmtree(place, ignore_errors=True)
    records = [figure.record() for figure in figures]
    if out is not None:
        out.write_text(json.dumps(records, indent=2) + "\n", encoding="utf-8")
    missed = any(figure.met is False for figure in figures)
    state.out.result(records, lambda: _lines(figures), exit_code=ExitCode.FINDINGS if missed else ExitCode.OK)


def _lines(figures: list[Figure]) -> list[str]:
    rows = [
        (
            figure.name,
            f"{figure.value:.4g} {figure.unit}".strip(),
            figure.target,
            "" if figure.met is None else _word(figure),
        )
        for figure in figures
    ]
    lines = format.columns(("WHAT", "MEASURED", "TARGET", ""), rows, right=(1,))
    return lines + [f"{figure.name}: {_facts(figure)}" for figure in figures if figure.facts]


def _word(figure: Figure) -> str:
    return "met" if figure.met else "MISSED"


def _facts(figure: Figure) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in figure.facts.items())
