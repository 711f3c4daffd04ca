"""`spresso db ...`: the catalog as a database: what is in it, upgrade, backup, restore."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from spresso_assets.cli import format
from spresso_assets.cli.output import confirm
from spresso_assets.cli.state import State, state_of
from spresso_assets.errors import SpressoError

if TYPE_CHECKING:
    from spresso_assets.catalog.location import Location

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Upgrade, back up and restore the catalog.")

DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would happen, change nothing.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


@app.command()
def info(
    ctx: typer.Context,
    sizes: Annotated[bool, typer.Option("--sizes", help="Bytes of each table; SQLite reads its whole file.")] = False,
) -> None:
    """Show where the catalog is, its schema, its size, its tables, and the backups beside it."""
    state = state_of(ctx)
    from spresso_assets.catalog.engine import open_catalog
    from spresso_assets.catalog.inventory import take_inventory

    catalog = open_catalog(state.settings.catalog, any_schema=True)
    try:
        found = take_inventory(catalog, sizes)
    finally:
        catalog.close()

    def text() -> list[str]:
        up_to_date = "" if found.revision == found.head else f" (this version works with {found.head})"
        log = f" and {format.size(found.log_bytes)} of log" if found.log_bytes else ""
        lines = [
            f"catalog   {format.printable(found.shown)}",
            f"database  {found.database}, schema {found.revision}{up_to_date}, {format.size(found.bytes)}{log}",
            f"backup    {format.printable(found.backups[0]) if found.backups else 'none beside it: spresso db backup'}",
        ]
        tables = [table for table in found.tables if table.rows or table.bytes]
        rows = [(t.name, t.rows or "", "" if t.bytes is None else format.size(t.bytes)) for t in tables]
        return [*lines, "", *format.columns(("TABLE", "ROWS", "BYTES"), rows, right=(1, 2))]

    state.out.result(found.as_dict(), text)


@app.command()
def upgrade(
    ctx: typer.Context,
    reindex: Annotated[bool, typer.Option("--reindex", help="Also write the search index anew.")] = False,
    backup: Annotated[bool, typer.Option(help="Make a backup first.")] = True,
    dry_run: DryRun = False,
) -> None:
    """Bring the tables up to this version's schema, all of them or none. A backup is made first."""
    state = state_of(ctx)
    from spresso_assets.catalog.engine import open_catalog
    from spresso_assets.catalog.reindex import reindex as write_index
    from spresso_assets.catalog.revision import HEAD
    from spresso_assets.catalog.upgrade import upgrade as migrate

    catalog = open_catalog(state.settings.catalog, any_schema=True)
    record: dict[str, Any] = {"from": catalog.revision(), "to": HEAD, "backup": None, "dry_run": dry_run}
    try:
        if record["from"] != HEAD and not dry_run:
            if backup:
                record["backup"] = str(_back_up(state, catalog.location, None, f"before-{HEAD}").path)
            migrate(catalog, backup=False)
        if reindex and not dry_run:
            with state.out.progress("indexing", "sounds") as progress:
                record["indexed"] = write_index(catalog, progress.update)
    finally:
        catalog.close()

    def text() -> list[str]:
        if record["from"] == HEAD:
            lines = [f"the schema is {HEAD} already"]
        else:
            lines = [f"{'would upgrade' if dry_run else 'upgraded'} from {record['from']} to {HEAD}"]
        if record["backup"]:
            lines.append(f"backup: {record['backup']}")
        if reindex:
            lines.append("would write the index anew" if dry_run else f"wrote the index of {record['indexed']} sounds")
        return lines

    state.out.result(record, text)


@app.command()
def backup(
    ctx: typer.Context,
    dest: Annotated[
        Path | None, typer.Argument(metavar="[DEST]", help="File or folder; else beside the catalog, named by time.")
    ] = None,
    dry_run: DryRun = False,
) -> None:
    """Copy the whole catalog into one file, while others go on using it. The copy is checked before it is named."""
    state = state_of(ctx)
    from spresso_assets.catalog.location import locate

    location = locate(state.settings.catalog)
    _require(location)
    target = _target(location, dest)
    if dry_run:
        state.out.result({"backup": str(target), "dry_run": True}, lambda: [f"would write {target}"])
        return
    made = _back_up(state, location, target)
    record = {"backup": str(made.path), "bytes": made.bytes, "schema": made.revision, "dry_run": False}
    state.out.result(record, lambda: [f"{made.path}: {format.size(made.bytes)}, schema {made.revision}, checked"])


@app.command()
def restore(
    ctx: typer.Context,
    source: Annotated[Path, typer.Argument(metavar="BACKUP", help="File that 'spresso db backup' made.")],
    yes: Yes = False,
    dry_run: DryRun = False,
) -> None:
    """Make the catalog what a backup says. The former one is backed up first; interrupted, it is the old or the new."""
    state = state_of(ctx)
    from spresso_assets.catalog.backup import restore as bring_back
    from spresso_assets.catalog.location import locate

    location = locate(state.settings.catalog)
    former = bring_back(source, location, dry_run=True)  # all checks, before anybody is asked
    record: dict[str, Any] = {
        "catalog": location.shown,
        "restored": str(source),
        "former": None if former is None else str(former),
        "dry_run": dry_run,
    }
    if not dry_run:
        if former is not None:
            confirm(f"Replace the catalog {location.shown} by {source}? It is kept as {former.name}.", yes=yes)
        with state.out.progress("restoring", "pages") as progress:
            former = bring_back(source, location, progress.update)
        record["former"] = None if former is None else str(former)

    def text() -> list[str]:
        lines = [f"{'would restore' if dry_run else 'restored'} {location.shown} from {source}"]
        if record["former"]:
            lines.append(f"the former catalog {'would be' if dry_run else 'is'} {record['former']}")
        return lines

    state.out.result(record, text)


@app.command("import")
def import_(
    ctx: typer.Context,
    folder: Annotated[Path, typer.Argument(metavar="BUNDLE", help="Folder that 'spresso export --as bundle' wrote.")],
    dry_run: DryRun = False,
) -> None:
    """Take the sounds of a bundle into this catalog, every file checked. What is known already is left as it is."""
    state = state_of(ctx)
    from dataclasses import asdict

    from spresso_assets.export.bundle import read_bundle

    with state.out.progress("importing", "sounds") as progress:
        taken = read_bundle(
            state.catalog(), folder, on_failure=state.out.failure, on_progress=progress.update, dry_run=dry_run
        )

    def text() -> list[str]:
        new = sum(item.outcome == "new" for item in taken)
        made = sum(item.renditions for item in taken)
        verb = "would take in" if dry_run else "took in"
        return [f"{verb} {new} new sounds and {made} renditions; {len(taken) - new} sounds were known"]

    state.out.result([{**asdict(item), "dry_run": dry_run} for item in taken], text)


def _back_up(state: State, location: Location, target: Path | None, label: str = "backup") -> Any:
    from spresso_assets.catalog.backup import back_up, backup_name

    with state.out.progress("copying", "pages") as progress:
        return back_up(location, target or backup_name(location, label), progress.update)


def _target(location: Location, dest: Path | None) -> Path:
    from spresso_assets.catalog.backup import backup_name

    name = backup_name(location)
    if dest is None:
        return name
    target = dest / name.name if dest.is_dir() else dest
    if target.exists():
        raise SpressoError(f"{target} exists already", code="target_exists", hint="Choose another name.")
    return target


def _require(location: Location) -> None:
    from spresso_assets.catalog.location import catalog_missing

    if location.path is not None and not location.path.is_file():
        raise catalog_missing(location.shown)
