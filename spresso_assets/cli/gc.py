"""`spresso gc`: let go of what is no longer needed, when a person says so."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from spresso_assets.cli import format
from spresso_assets.cli.state import state_of
from spresso_assets.cli.times import seconds


def gc(
    ctx: typer.Context,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Remove it; without this nothing is changed.")] = False,
    grace: Annotated[str, typer.Option(help="Keep what is younger: 90s, 30m, 12h or 7d.")] = "30d",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="What happens without --yes too.")] = False,
) -> None:
    """Show what the catalog no longer needs, and with --yes remove it. No file of yours is ever touched.

    Sounds that have a file, or a rendition to decode, stay whatever their age. The way back is a backup: 'spresso db
    backup' before. The database uses the room again; its file stays as large as it is.
    """
    state = state_of(ctx)
    from spresso_assets.catalog.gc import collect_garbage, survey

    grace_s = seconds(grace)
    catalog = state.catalog()
    acts = yes and not dry_run
    if acts:
        with state.out.progress("removing", "rows") as progress:
            found = collect_garbage(catalog, grace_s, progress.update)
    else:
        with catalog.read() as session:
            found = survey(session, grace_s)

    def text() -> list[str]:
        rows = [(g.rows, format.size(g.bytes) if g.bytes else "", g.about) for g in found if g.rows]
        total = format.size(sum(g.bytes for g in found))
        if not rows:
            return ["nothing to remove"]
        verb = "removed" if acts else "would remove"
        lines = [*format.columns(("ROWS", "BYTES", "WHAT"), rows, right=(0, 1)), f"{verb} {total} of content"]
        return lines if acts else [*lines, "the way back is a backup: spresso db backup; then: spresso gc --yes"]

    state.out.result([{**asdict(g), "removed": acts} for g in found], text)
