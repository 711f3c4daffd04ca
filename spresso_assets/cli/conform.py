"""`spresso conform`: the originals of the decodes that were used."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from spresso_assets.cli import format
from spresso_assets.cli.state import state_of


def conform(
    ctx: typer.Context,
    used: Annotated[
        Path,
        typer.Argument(
            metavar="USED", help="Manifest of an export, folder of decoded files, list of paths (.txt), or one file."
        ),
    ],
    folder: Annotated[Path, typer.Argument(metavar="DEST", help="Folder to write to; made if need be.")],
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace files that are there.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what is there and what is missing.")] = False,
) -> None:
    """Fetch the original of every decoded file that was used, under the decode's name: relink your session to DEST.

    Files are recognised by what they say of themselves, whatever they are called by now. Originals are copied and
    checked. Exit code 3 when some are offline or missing; they are listed.
    """
    state = state_of(ctx)
    from spresso_assets.export.conform import conform as fetch
    from spresso_assets.export.conform import used_files
    from spresso_assets.export.writer import refuse_inside_root

    catalog = state.catalog()
    wanted = used_files(used)
    refuse_inside_root(catalog, folder)
    with state.out.progress("conforming", "files") as progress:
        done = fetch(
            catalog,
            wanted,
            folder,
            on_failure=state.out.failure,
            on_progress=progress.update,
            overwrite=overwrite,
            dry_run=dry_run,
        )

    def text() -> list[str]:
        skipped = sum(item.skipped for item in done)
        verb = "would copy" if dry_run else "copied"
        lines = [f"{verb} {len(done) - skipped} originals to {folder}"]
        if skipped:
            lines.append(f"{skipped} were there already; --overwrite replaces them")
        if missing := len(wanted) - len(done):
            lines.append(f"{missing} cannot be had now, see above")
        if dry_run:
            lines += [f"  {format.printable(item.file)} <- {format.printable(item.original)}" for item in done]
        return lines

    state.out.result([{**asdict(item), "dry_run": dry_run} for item in done], text)
