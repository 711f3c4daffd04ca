"""`spresso init`: make the catalog."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from spresso_assets.cli.state import state_of


def init(
    ctx: typer.Context,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be made, make nothing.")] = False,
) -> None:
    """Make the catalog (a single SQLite file, or the tables in a Postgres database). Safe to run again.

    An older catalog is brought up to date; a backup is put beside it first.
    """
    state = state_of(ctx)
    from spresso_assets.catalog.location import locate

    location = locate(state.settings.catalog)
    there = location.path is not None and location.path.exists()
    record: dict[str, Any] = {"catalog": location.shown, "existed": there, "dry_run": dry_run}
    if not dry_run:
        catalog = state.catalog(create=True)
        record["revision"] = catalog.revision()
        record["profiles"] = state.register_bundle(catalog)

    def text() -> list[str]:
        if dry_run:
            return [f"would {'check' if there else 'make'} the catalog {location.shown}"]
        lines = [f"catalog {location.shown} is {'up to date' if there else 'ready'}"]
        if record["profiles"]:
            lines.append(f"profiles: {', '.join(record['profiles'])}")
        return [*lines, "next: spresso ingest FOLDER   (your files are only read, never changed)"]

    state.out.result(record, text)
