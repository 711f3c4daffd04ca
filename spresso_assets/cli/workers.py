"""`spresso workers ...`: who works, and how to send them home."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from spresso_assets.cli import format
from spresso_assets.cli.state import state_of
from spresso_assets.errors import ExitCode, SpressoError

if TYPE_CHECKING:
    from spresso_assets.jobs.roster import Seen

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Who takes jobs in the background.")
LOOK_S = 0.5


@app.command("list")
def list_(
    ctx: typer.Context,
    every: Annotated[bool, typer.Option("--all", help="Also those that ended in order within a day.")] = False,
) -> None:
    """List workers with their last sign of life, what they serve, and what they did. Dead ones are marked."""
    state = state_of(ctx)
    from spresso_assets.jobs.roster import seen_workers

    with state.catalog().read() as session:
        records = [record(seen) for seen in seen_workers(session, stopped=every)]

    def text() -> list[str]:
        if not records:
            return ["no workers; 'spresso worker' starts one"]
        headers = ("NAME", "STATE", "BEAT", "QUEUES", "DEVICE", "DONE", "FAILED", "MEMORY", "GPU", "MODEL")
        rows = [
            (
                r["name"],
                r["state"],
                f"{r['beat_age_s']:.0f} s",
                ",".join(r["queues"]),
                r["device"],
                r["jobs_done"],
                r["jobs_failed"],
                "-" if r["memory_bytes"] is None else format.size(r["memory_bytes"]),
                "-" if r["device_memory_bytes"] is None else format.size(r["device_memory_bytes"]),
                (r["weights_sha256"] or "-")[:12],
            )
            for r in records
        ]
        return format.columns(headers, rows, right=(2, 5, 6, 7, 8))

    state.out.result(records, text)


@app.command()
def drain(
    ctx: typer.Context,
    name: Annotated[str | None, typer.Argument(help="Name of a worker, or of all processes of one.")] = None,
    every: Annotated[bool, typer.Option("--all", help="All workers.")] = False,
    wait: Annotated[bool, typer.Option("--wait", help="Return when they have ended.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say who would end, tell nobody.")] = False,
) -> None:
    """Let workers finish the batch in work, take nothing new and end. They notice within ten seconds."""
    state = state_of(ctx)
    from spresso_assets.jobs.roster import request_drain, still_there

    if (name is None) == (not every):
        raise SpressoError(
            "Say which worker shall end", code="usage", hint="Name one, or say --all.", exit_code=ExitCode.USAGE
        )
    with state.change(dry_run) as session:
        owners = request_drain(session, name)
    left = owners
    if wait and not dry_run:
        with state.out.progress("draining", "workers") as progress:
            while left:
                progress.update(len(owners) - len(left), len(owners))
                time.sleep(LOOK_S)
                with state.catalog().read() as session:
                    left = still_there(session, owners)
    ended = "would end" if dry_run else "ended" if wait else "will end after the batch in work"
    data: dict[str, Any] = {"workers": len(owners), "waited": wait and not dry_run, "dry_run": dry_run}
    state.out.result(data, lambda: [f"{len(owners)} workers {ended}"])


def record(seen: Seen) -> dict[str, Any]:
    """JSON form of a worker."""
    from spresso_assets.catalog.columns import iso_utc

    worker = seen.worker
    return {
        "name": worker.name,
        "state": seen.state,
        "alive": seen.alive,
        "beat_age_s": round(seen.beat_age_s, 1),
        "queues": worker.queues,
        "device": worker.device,
        "jobs_done": worker.jobs_done,
        "jobs_failed": worker.jobs_failed,
        "memory_bytes": worker.memory_bytes,
        "device_memory_bytes": worker.device_memory_bytes,
        "weights_sha256": worker.weights_sha256,
        "version": worker.version,
        "started": iso_utc(worker.started_at),
        "last_progress": iso_utc(worker.progress_at),
        "drain_requested": worker.drain_requested,
    }
