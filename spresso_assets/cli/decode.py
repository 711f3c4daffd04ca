"""`spresso decode`: get sounds back out of the catalog, as many variations as wanted."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from spresso_assets.cli import format
from spresso_assets.cli.state import state_of
from spresso_assets.errors import ExitCode, SpressoError


def decode(
    ctx: typer.Context,
    ids: Annotated[list[str], typer.Argument(metavar="ID...", help="Ids of sounds, or their first digits.")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="File to write, or a folder; here by default.")
    ] = None,
    profile: Annotated[str | None, typer.Option(help="Which encoding to use; the best one by default.")] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Variation; the same number gives the same sound.")] = None,
    variations: Annotated[int, typer.Option(min=1, max=1000, help="Make so many variations of each sound.")] = 1,
    quality: Annotated[str, typer.Option(help="preview (fastest), default or paper (slowest).")] = "default",
    steps: Annotated[int | None, typer.Option(min=1, help="Solver steps instead of the quality's own.")] = None,
    form: Annotated[str, typer.Option("--format", help="wav or flac, when no file name says it.")] = "wav",
    bit_depth: Annotated[int, typer.Option(help="16, 24, or 32 (float).")] = 24,
    force: Annotated[bool, typer.Option("--force", help="Replace files that exist.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be written, write nothing.")] = False,
) -> None:
    """Decode sounds to files of the original's length and rate.

    Without --seed everybody gets the same first variation of a sound; --variations 3 gives that one and two more.
    The files say in their metadata that they are re-synthesised, from what, and how.
    """
    state = state_of(ctx)
    from spresso_assets.export.decode import decode_asset, write_decoded
    from spresso_assets.export.files import make_folder

    catalog = state.catalog()
    one_file = output is not None and output.suffix.lower() in (".wav", ".flac")
    if one_file and (len(ids) > 1 or variations > 1):
        raise SpressoError(
            f"{output} is one file, but several sounds are asked for",
            code="usage",
            hint="Name a folder instead.",
            exit_code=ExitCode.USAGE,
        )
    plan = []
    for id_ in ids:
        try:
            plan += _plan(catalog, id_, profile, seed, variations, output, one_file, form)
        except SpressoError as error:
            if len(ids) == 1:
                raise
            state.out.failure(id_, error)
    codec = None if dry_run else state.codec()
    records: list[dict[str, Any]] = []
    with state.out.progress("decoding", "sounds") as progress:
        for number, (uid, variation, target) in enumerate(plan):
            progress.update(number, len(plan), target.name)
            try:
                if target.exists() and not force:
                    raise SpressoError(
                        f"{target} exists already", code="target_exists", hint="Say --force to replace it."
                    )
                if codec is None:
                    records.append({"asset": uid, "path": str(target), "dry_run": True})
                    continue
                decoded = decode_asset(
                    catalog,
                    codec,
                    uid,
                    profile=profile,
                    seed=seed,
                    variation=variation,
                    quality=quality,
                    steps=steps,
                )
                make_folder(target.parent)
                write_decoded(decoded, target, bit_depth=bit_depth)
                summary = decoded.summary()
                records.append({**decoded.record(), "path": str(target), "dry_run": False, "summary": summary})
            except SpressoError as error:
                if len(plan) == 1 or error.exit_code is ExitCode.MODEL_MISSING:
                    raise
                state.out.failure(str(target), error)

    def text() -> list[str]:
        return [f"{format.printable(r['path'])}: {r.get('summary', 'would be written')}" for r in records]

    state.out.result(records, text)


def _plan(
    catalog: Any,
    id_: str,
    profile: str | None,
    seed: int | None,
    variations: int,
    output: Path | None,
    one_file: bool,
    form: str,
) -> list[tuple[str, int, Path]]:
    """(uid, variation, target) of one id; raises before anything is decoded."""
    from spresso_assets.catalog.assets import find_asset
    from spresso_assets.catalog.renditions import get_payload
    from spresso_assets.catalog.search import search
    from spresso_assets.export.naming import safe

    with catalog.read() as session:
        asset = find_asset(session, id_)
        stored = get_payload(session, asset, profile)
        name = search(session, f"id:{asset.uid}", 1)[0].name
    if one_file and output is not None:
        return [(asset.uid, 0, output)]
    folder = output or Path()
    first = stored.decode_seed if seed is None else seed
    stem = f"{safe(name) or asset.uid[:8]}_spr"
    return [
        (asset.uid, n, folder / f"{stem}{f'_{first + n}' if variations > 1 or seed is not None else ''}.{form.lower()}")
        for n in range(variations)
    ]
