"""`spresso search`: find sounds by words and fields."""

from __future__ import annotations

from typing import Annotated

import typer

from spresso_assets.cli import format
from spresso_assets.cli.state import state_of
from spresso_assets.errors import ExitCode, SpressoError

COUNTED = 1000  # beyond so many nobody wants to know the number


def search(
    ctx: typer.Context,
    query: Annotated[
        list[str] | None,
        typer.Argument(help="Words and fields: door slam -wood duration:0.5..2 cat_id:DOORWood. Nothing: all sounds."),
    ] = None,
    limit: Annotated[int, typer.Option(min=0, help="At most this many; 0 for all.")] = 50,
    offset: Annotated[int, typer.Option(min=0, help="Leave out the first ones.")] = 0,
    sort: Annotated[str | None, typer.Option(help="Field to sort by, '-' in front turns it round: -duration.")] = None,
    paths: Annotated[bool, typer.Option("--paths", "-p", help="Print full paths only, for other programs.")] = False,
) -> None:
    """Find sounds. All words must match; 'a,b' is either, '-a' is not, "a b" is a phrase, field:1..2 is a range.

    Words are matched by their stem and, inside of longer words, by their letters. Exit code 4 when nothing matches.
    """
    state = state_of(ctx)
    from spresso_assets.catalog.rows import read_rows
    from spresso_assets.catalog.search import find

    words = " ".join(query or [])
    with read_rows(state.settings.catalog) as rows:
        found = find(rows, words, limit or None, offset, sort, offset + COUNTED)
    hits = found.hits
    if not hits:
        raise SpressoError(
            f"no sound matches '{words}'" if words else "the catalog is empty",
            code="no_match",
            hint="Use fewer words." if words else "Fill it: spresso ingest FOLDER.",
            exit_code=ExitCode.NOT_FOUND,
        )

    def text() -> list[str]:
        if paths:
            return [format.printable(hit.full_path) for hit in hits]
        rows = [
            (
                hit.uid[:8],
                format.shorten(hit.name, 40),
                format.length(hit.duration_s),
                hit.channels,
                " ".join(hit.profiles) or "-",
                f"{hit.root}/{hit.path}" + ("" if hit.file_state == "present" else f" ({hit.file_state or 'no file'})"),
            )
            for hit in hits
        ]
        lines = format.columns(("ID", "NAME", "LENGTH", "CH", "ENCODED", "FILE"), rows, right=(2, 3))
        if not found.exact or found.total > offset + len(hits):
            of = found.total if found.exact else f"at least {found.total}"
            state.out.note(f"{len(hits)} of {of} sounds; --limit 0 shows all")
        return lines

    state.out.result([hit.as_dict() for hit in hits], text)
