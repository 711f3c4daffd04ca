"""What all commands of `spresso train` share: options, their TOML file, and the figures at the end."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

if TYPE_CHECKING:
    from spresso_assets.training.loop import LoopConfig

T = TypeVar("T")

Data = Annotated[Path, typer.Argument(help="Folder of sounds; a manifest.csv (path, split) in it is honoured.")]
Minutes = Annotated[float, typer.Option("--max-minutes", help="Time budget, summed over resumed runs.")]
Resume = Annotated[bool, typer.Option("--resume", help="Continue from the last checkpoint.")]
Threads = Annotated[int, typer.Option("--threads", help="CPU threads; 0 lets torch decide.")]


def set_threads(threads: int) -> None:
    """Torch's threads; 0 leaves them."""
    import torch

    if threads:
        torch.set_num_threads(threads)


def preset_of(presets: dict[str, T], preset: str) -> T:
    """Raises typer.BadParameter for a name that is not there."""
    if preset not in presets:
        raise typer.BadParameter(f"unknown preset '{preset}'; known: {', '.join(presets)}")
    return presets[preset]


def loop_of(config: Path | None, stage: str, **given: Any) -> LoopConfig:
    """The options of a stage's loop: what is given, with the file's table [stage.loop] applied."""
    from spresso_assets.training.loop import LoopConfig
    from spresso_assets.training.settings import apply, read_table

    return apply(apply(LoopConfig(), given), read_table(config, stage).get("loop", {}))


def options_of(config: Path | None, stage: str, defaults: T) -> T:
    """The stage's own options: ``defaults`` with its table applied, less the loop's part."""
    from spresso_assets.training.settings import apply, read_table

    return apply(defaults, {k: v for k, v in read_table(config, stage).items() if k != "loop"})


def print_figures(values: dict[str, float]) -> None:
    """Figures, one a line."""
    for name, value in values.items():
        typer.echo(f"{name}\t{value:.4f}")
