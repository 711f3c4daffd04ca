"""`spresso train captions`: what the catalog knows of each sound, as a sentence for a text-conditioned model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from spresso_assets.cli import format
from spresso_assets.cli.state import state_of
from spresso_assets.errors import SpressoError


def captions(
    ctx: typer.Context,
    target: Annotated[Path, typer.Argument(metavar="OUT.jsonl", help="File to write, one line per sound file.")],
    root: Annotated[str | None, typer.Option("--root", help="Only the files of this root.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the file if it exists.")] = False,
) -> None:
    """Write a caption for every sound in the catalog, from its title, description, category and keywords.

    Each line holds the path below its root and the caption, for 'spresso train prepare --captions'.
    """
    from spresso_assets.catalog.captions import captions as of_catalog
    from spresso_assets.ingest.roots import find_root

    state = state_of(ctx)
    if target.exists() and not force:
        raise SpressoError(f"{format.printable(str(target))} exists", code="target_exists", hint="--force replaces it.")
    with state.catalog().read() as session:
        if root is not None:
            root = find_root(session, root).name
        records = [{"root": r, "path": p, "caption": c} for r, p, c in of_catalog(session, root) if c]
    temporary = target.with_name(target.name + ".tmp")
    try:
        temporary.write_text("".join(json.dumps(r) + "\n" for r in records), encoding="utf-8")
        temporary.replace(target)
    except OSError as e:
        raise SpressoError(
            f"{format.printable(str(target))} cannot be written: {e.strerror}",
            code="cannot_write",
            hint="Does its folder exist, and may it be written to?",
        ) from e
    state.out.result(
        {"target": str(target), "captions": len(records)},
        lambda: [f"{format.printable(str(target))}: {len(records)} captions"],
    )
