"""`spresso stats`: how much there is, how small it became, and what is still to do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from spresso_assets.cli import format
from spresso_assets.cli.state import state_of

if TYPE_CHECKING:
    from spresso_assets.catalog.stats import Stats


def stats(
    ctx: typer.Context,
    query: Annotated[list[str] | None, typer.Argument(help="Only sounds that match, as in 'spresso search'.")] = None,
) -> None:
    """Show sounds, hours, bytes before and after, true bit rates (container included), coverage and failures."""
    state = state_of(ctx)
    from spresso_assets.catalog.rows import read_rows
    from spresso_assets.catalog.stats import collect

    with read_rows(state.settings.catalog) as rows:
        collected = collect(rows, " ".join(query or []))
    state.out.result(collected.as_dict(), lambda: lines_of(collected))


def lines_of(stats: Stats) -> list[str]:
    """The report as a person reads it."""
    share = f" ({100 * stats.encoded / stats.assets:.0f} %)" if stats.assets else ""
    absent = f"{stats.missing_files} missing, {stats.unreadable_files} unreadable"
    lines = [
        f"sounds    {stats.assets} in {stats.files} files, {format.length(stats.hours * 3600)}",
        f"files     {format.size(stats.source_bytes)}, {absent}",
        f"encoded   {stats.encoded}{share}, {format.size(stats.payload_bytes)} of latents",
    ]
    if stats.flags:
        lines.append("flags     " + ", ".join(f"{number} {flag}" for flag, number in sorted(stats.flags.items())))
    if stats.waiting_jobs:
        lines.append("to do     " + ", ".join(f"{number} {kind}" for kind, number in stats.waiting_jobs.items()))
    if stats.failed_jobs:
        lines.append("failed    " + ", ".join(f"{number} {code}" for code, number in stats.failed_jobs.items()))
    if stats.profiles:
        rows = [
            (
                profile.name,
                profile.renditions,
                f"{100 * profile.coverage:.0f} %",
                format.size(profile.source_bytes),
                format.size(profile.payload_bytes),
                f"1:{profile.ratio:.0f}",
                format.kbps(profile.kbps),
            )
            for profile in stats.profiles
        ]
        headers = ("PROFILE", "SOUNDS", "COVERED", "FILES", "LATENTS", "RATIO", "TRUE RATE")
        lines += ["", *format.columns(headers, rows, right=(1, 2, 3, 4, 5, 6))]
    return lines
