"""A progress bar on stderr: how far, how fast, how long still. Loaded only when stderr is a terminal."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text


class RateColumn(ProgressColumn):
    """Finished units per second, averaged by rich over the last seconds."""

    def __init__(self, unit: str) -> None:
        super().__init__()
        self.unit = unit

    def render(self, task: Task) -> Text:
        """'12.3 sounds/s', or blank before the first one is done."""
        return Text(f"{task.speed:.1f} {self.unit}/s" if task.speed else "")


class Bars:
    """A line per kind of work; see `spresso_assets.cli.output.Progress`."""

    def __init__(self, progress: Progress, label: str) -> None:
        self._progress = progress
        self._label = label
        self._tasks: dict[str, TaskID] = {}

    def update(self, done: float, total: float | None = None, note: str = "", label: str = "") -> None:
        """Show `done` of `total` units."""
        label = label or self._label
        if label not in self._tasks:
            self._tasks[label] = self._progress.add_task(label, total=total, note="")
        self._progress.update(self._tasks[label], completed=done, total=total, note=note)


@contextmanager
def bars(label: str, unit: str) -> Iterator[Bars]:
    """Show progress for the time of the `with` block."""
    shown = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        RateColumn(unit),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
        console=Console(stderr=True),
        transient=True,
    )
    with shown:
        yield Bars(shown, label)
