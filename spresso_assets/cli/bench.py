"""`spresso bench ...`: measure the machinery on this very machine."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from spresso_assets.cli import format
from spresso_assets.cli.state import State, state_of
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
        with _place(name, folder) as place:
            figures += [figure for figure in measures[name](place) if figure is not None]
    _report(state, figures, out)


@app.command()
def bridge(
    ctx: typer.Context,
    assets: Annotated[int, typer.Option(min=100, help="Sounds in the synthetic catalog.")] = 10_000,
    sounds: Annotated[int, typer.Option(min=6, help="Sounds that are decoded.")] = 24,
    tries: Annotated[int, typer.Option(min=10, help="Requests of each kind.")] = 200,
    clients: Annotated[int, typer.Option(min=1, max=256, help="Clients that audition at once.")] = 32,
    seconds: Annotated[float, typer.Option(min=1, help="For how long they do, in seconds.")] = 60.0,
    folder: Annotated[
        Path | None, typer.Option(help="Folder for what is made on the way; by default a temporary one.")
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", help="JSON file to write the figures to.")] = None,
) -> None:
    """Measure the bridge: how long audio tools wait for 'spresso serve', and what many of them at once do to it.

    A server with a catalog of its own is started and stopped again; your own catalog and bridge are not touched. Exit
    code 5 when a figure misses its target, which on a busy machine says more about the machine.
    """
    state = state_of(ctx)
    from spresso_assets.bench.bridge import Extent, measure_bridge

    extent = Extent(assets, sounds, tries, clients, seconds)
    with _place("bridge", folder) as place:
        figures = measure_bridge(place, state.bundle_dir(), extent, state.out.note)
    _report(state, figures, out)


@contextmanager
def _place(name: str, folder: Path | None) -> Iterator[Path]:
    """A folder for one measurement, gone afterwards."""
    place = Path(tempfile.mkdtemp(prefix=f"bench-{name}-", dir=folder))
    try:
        yield place
    finally:
        shutil.rmtree(place, ignore_errors=True)


def _report(state: State, figures: list[Figure], out: Path | None) -> None:
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
