"""`spresso export`: many sounds into a folder, with a manifest."""

from __future__ import annotations

from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Annotated

import typer

from spresso_assets.cli import format
from spresso_assets.cli.state import state_of


def export(
    ctx: typer.Context,
    query: Annotated[list[str], typer.Argument(help="Which sounds, as in 'spresso search'; '' for all.")],
    folder: Annotated[Path, typer.Argument(metavar="DEST", help="Folder to write to; made if need be.")],
    kind: Annotated[
        str, typer.Option("--as", help="decoded: re-synthesised sounds; original: the files; latent: .spr files.")
    ] = "decoded",
    name: Annotated[
        str, typer.Option(help="Template for names, for example '{CatID}_{FXName}_{CreatorID}_{SourceID}'.")
    ] = "{Name}",
    profile: Annotated[str | None, typer.Option(help="Which encoding to use; the best one by default.")] = None,
    quality: Annotated[str, typer.Option(help="preview, default or paper.")] = "default",
    form: Annotated[str, typer.Option("--format", help="wav or flac for decoded sounds.")] = "wav",
    bit_depth: Annotated[int, typer.Option(help="16, 24, or 32 (float).")] = 24,
    metadata: Annotated[str, typer.Option(help="all or none of the descriptive fields in decoded files.")] = "all",
    manifest: Annotated[str, typer.Option(help="csv or json: the list that maps files back to originals.")] = "csv",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace files that are there.")] = False,
    limit: Annotated[int, typer.Option(min=0, help="At most this many; 0 for all.")] = 0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be written, write nothing.")] = False,
) -> None:
    """Write all sounds that match into a folder, with a manifest that maps each file back to its original."""
    state = state_of(ctx)
    from spresso_assets.export.writer import ExportPlan, write_manifest
    from spresso_assets.export.writer import export as write

    plan = ExportPlan(
        kind=kind,
        template=name,
        suffix=f".{form.lower()}",
        bit_depth=bit_depth,
        profile=profile,
        quality=quality,
        metadata=metadata != "none",
        overwrite=overwrite,
    )
    with state.out.progress("exporting", "sounds") as progress:
        exported = write(
            state.catalog(),
            cache(state.codec),
            " ".join(query),
            folder,
            plan,
            on_failure=state.out.failure,
            on_progress=progress.update,
            dry_run=dry_run,
            limit=limit or None,
        )
    listed = None if dry_run or not exported else write_manifest(folder, exported, manifest)

    def text() -> list[str]:
        skipped = sum(item.skipped for item in exported)
        total = format.size(sum(item.bytes for item in exported if not item.skipped))
        verb = "would write" if dry_run else "wrote"
        lines = [f"{verb} {len(exported) - skipped} {kind} sounds to {folder}" + ("" if dry_run else f", {total}")]
        if skipped:
            lines.append(f"{skipped} were there already; --overwrite replaces them")
        if dry_run:
            lines += [f"  {format.printable(item.file)}" for item in exported]
        return [*lines, f"manifest: {listed}"] if listed else lines

    state.out.result([{**asdict(item), "dry_run": dry_run} for item in exported], text)
