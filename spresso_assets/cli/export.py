"""`spresso export`: many sounds into a folder, with a manifest."""

from __future__ import annotations

from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Annotated

import typer

from spresso_assets.cli import format
from spresso_assets.cli.state import State, state_of
from spresso_assets.errors import ExitCode, SpressoError


def export(
    ctx: typer.Context,
    query: Annotated[list[str], typer.Argument(help="Which sounds, as in 'spresso search'; '' for all.")],
    folder: Annotated[Path, typer.Argument(metavar="DEST", help="Folder to write to; made if need be.")],
    kind: Annotated[
        str,
        typer.Option(
            "--as",
            help="decoded: re-synthesised sounds; original: copies of the files; latent: .spr files; "
            "bundle: latents with everything known of them, for another catalog.",
        ),
    ] = "decoded",
    name: Annotated[
        str, typer.Option(help="Template for names, for example '{CatID}_{FXName}_{CreatorID}_{SourceID}'.")
    ] = "{Name}",
    profile: Annotated[str | None, typer.Option(help="Which encoding to use; the best one by default.")] = None,
    quality: Annotated[str, typer.Option(help="preview, default or paper.")] = "default",
    form: Annotated[str, typer.Option("--format", help="wav or flac for decoded sounds.")] = "wav",
    bit_depth: Annotated[int, typer.Option(help="16, 24, or 32 (float, wav only) for decoded sounds.")] = 24,
    rate: Annotated[int | None, typer.Option(help="Sample rate of decoded sounds in Hz; the original's.")] = None,
    metadata: Annotated[str, typer.Option(help="all or none of the descriptive fields in decoded files.")] = "all",
    manifest: Annotated[str, typer.Option(help="csv or json: the list that maps files back to originals.")] = "csv",
    overwrite: Annotated[
        str, typer.Option(help="Files that are there: never, changed (another take or original), or always.")
    ] = "never",
    limit: Annotated[int, typer.Option(min=0, help="At most this many; 0 for all.")] = 0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be written, write nothing.")] = False,
) -> None:
    """Write all sounds that match into a folder, with a manifest that maps each file back to its original.

    Originals are copied with every byte and checked, never moved. An interrupted export can be run again.
    """
    state = state_of(ctx)
    from spresso_assets.export.manifest import check_form, write_manifest
    from spresso_assets.export.writer import ExportPlan
    from spresso_assets.export.writer import export as write

    check_form(manifest)
    if metadata not in ("all", "none"):
        raise SpressoError(
            f"cannot carry '{metadata}' metadata", code="bad_format", hint="Say all or none.", exit_code=ExitCode.USAGE
        )
    plan = ExportPlan(
        kind=kind,
        template=name,
        suffix=f".{form.lower()}",
        bit_depth=bit_depth,
        rate=rate,
        profile=profile,
        quality=quality,
        metadata=metadata == "all",
        overwrite=overwrite,
    )
    plan.check()
    if kind == "bundle":
        _bundle(state, " ".join(query), folder, limit, dry_run)
        return
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
            lines.append(f"{skipped} were there already; --overwrite changed or always replaces them")
        if dry_run:
            lines += [f"  {format.printable(item.file)}" for item in exported if not item.skipped]
        return [*lines, f"manifest: {listed}"] if listed else lines

    state.out.result([{**asdict(item), "dry_run": dry_run} for item in exported], text)


def _bundle(state: State, query: str, folder: Path, limit: int, dry_run: bool) -> None:
    from spresso_assets.catalog.search import search_ids
    from spresso_assets.export.bundle import write_bundle
    from spresso_assets.export.writer import refuse_inside_root

    catalog = state.catalog()
    refuse_inside_root(catalog, folder)
    with catalog.read() as session:
        ids = search_ids(session, query, limit or None)
    if not ids:
        raise SpressoError(
            f"no sound matches '{query}'", code="no_match", hint="Use fewer words.", exit_code=ExitCode.NOT_FOUND
        )
    written = []
    if not dry_run:
        with state.out.progress("exporting", "sounds") as progress:
            written = write_bundle(catalog, ids, folder, on_progress=progress.update)
    total = sum(item["bytes"] for item in written)
    record = {"folder": str(folder), "sounds": len(ids), "files": len(written), "bytes": total, "dry_run": dry_run}

    def text() -> list[str]:
        if dry_run:
            return [f"would write a bundle of {len(ids)} sounds to {folder}"]
        done = f"wrote a bundle of {len(ids)} sounds to {folder}, {format.size(total)} in {len(written)} files"
        return [done, f"another catalog takes it in with: spresso db import {folder}"]

    state.out.result(record, text)
