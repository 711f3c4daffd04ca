"""`spresso jobs watch`: follow work that others do, until it is done."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from spresso_assets.cli import format
from spresso_assets.cli.output import Mode
from spresso_assets.cli.state import state_of
from spresso_assets.errors import ExitCode

if TYPE_CHECKING:
    from spresso_assets.jobs.progress import Pace, Snapshot

LOOK_S = 1.0
SHARE = 10.0  # looking may take a tenth of the time: counting very many jobs takes a while


def watch(
    ctx: typer.Context,
    batch: Annotated[str | None, typer.Argument(help="Id of a batch, or its first digits; everything if none.")] = None,
) -> None:
    """Follow a batch until it is done, or all work until Ctrl-C. With --jsonl one document per change.

    Ends with 3 if jobs of the batch failed. Ending this command stops no work.
    """
    state = state_of(ctx)
    from spresso_assets.jobs.control import find_batch
    from spresso_assets.jobs.progress import Pace, record, snapshot

    catalog = state.catalog()
    pace = Pace()

    def look() -> Snapshot:
        with catalog.read() as session:
            now = snapshot(session, None if batch is None else find_batch(session, batch))
        pace.add(now)
        return now

    now, told = look(), None
    with _display(state.out.mode is Mode.TEXT and not state.out.quiet) as show:
        try:
            while True:
                show(now, pace)
                data = record(now, pace)
                counts = {name: (kind.waiting, kind.running, kind.ended) for name, kind in now.kinds.items()}
                if state.out.mode is Mode.JSONL and counts != told:
                    state.out.document({"event": "progress", **data})
                    sys.stdout.flush()
                told = counts
                if batch is not None and now.done:
                    break
                began = time.monotonic()
                time.sleep(LOOK_S)
                now = look()
                time.sleep(max(0.0, (time.monotonic() - began - LOOK_S) * SHARE))
        except KeyboardInterrupt:
            if batch is not None:
                raise
    partial = batch is not None and now.failed
    state.out.result(
        record(now, pace), lambda: lines(now, pace), exit_code=ExitCode.PARTIAL if partial else ExitCode.OK
    )


def lines(now: Snapshot, pace: Pace) -> list[str]:
    """The state of the work, for people."""
    headers = ("KIND", "DONE", "LEFT", "RUNNING", "FAILED", "PER S", "SOUND", "READY IN")
    rows = []
    for name, kind in sorted(now.kinds.items()):
        speed = pace.of(name)
        rows.append(
            (
                name,
                kind.succeeded,
                kind.left,
                kind.running,
                kind.failed,
                f"{speed.jobs:.1f}" if speed.jobs else "-",
                f"{speed.sound_s:.0f} s/s" if speed.sound_s else "-",
                "-" if speed.eta_s is None or not kind.left else format.length(speed.eta_s),
            )
        )
    told = format.columns(headers, rows, right=(1, 2, 3, 4, 5, 6, 7)) if rows else ["no jobs"]
    told.append("workers: " + ", ".join(f"{number} {queue}" for queue, number in now.workers.items()))
    if now.batch is not None:
        by = f" by {now.batch.paused_by}" if now.batch.state == "paused" and now.batch.paused_by else ""
        told.append(f"batch {now.batch.uid[:8]}: {'done' if now.done else now.batch.state}{by}")
    told += [f"batch {batch.uid[:8]}: {batch.kind}, {batch.state}" for batch in now.batches]
    return told + [f"note: {hindrance}" for hindrance in now.hindrances]


@contextmanager
def _display(wanted: bool) -> Iterator[Callable[[Snapshot, Pace], None]]:
    """One live table on stderr; nothing where stderr is no terminal."""
    if not wanted or not sys.stderr.isatty():
        yield lambda now, pace: None
        return
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    with Live(console=Console(stderr=True), auto_refresh=False, transient=True) as live:
        yield lambda now, pace: live.update(Text("\n".join(lines(now, pace))), refresh=True)
