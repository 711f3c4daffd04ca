"""`spresso show`: everything that the catalog knows about a sound."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from spresso_assets.cli import format
from spresso_assets.cli.state import state_of
from spresso_assets.errors import SpressoError


def show(
    ctx: typer.Context,
    ids: Annotated[list[str], typer.Argument(metavar="ID...", help="Id of a sound, or its first digits.")],
    peaks: Annotated[
        bool, typer.Option("--peaks", help="Add the outline to --json: int8 pairs (lowest, highest), oldest first.")
    ] = False,
) -> None:
    """Show sounds: their files, what is known about them and from where, and what they became."""
    state = state_of(ctx)
    from spresso_assets.catalog.assets import find_asset
    from spresso_assets.catalog.details import describe

    records = []
    with state.catalog().read() as session:
        for id_ in ids:
            try:
                records.append(describe(session, find_asset(session, id_)))
            except SpressoError as error:
                if len(ids) == 1:
                    raise
                state.out.failure(id_, error)

    def text() -> list[str]:
        return [line for n, record in enumerate(records) for line in ([""] if n else []) + lines_of(record)]

    data = records if peaks else [{key: value for key, value in r.items() if key != "peaks"} for r in records]
    state.out.result(data, text)


def lines_of(record: dict[str, Any]) -> list[str]:
    """The record as a person reads it."""
    from spresso_assets.cli.waveform import outline

    size = sum(file["bytes"] for file in record["files"][:1])
    facts = [
        format.length(record["duration_s"]),
        f"{record['sample_rate']} Hz",
        f"{record['channels']} ch",
        f"{record['bit_depth']} bit" if record["bit_depth"] else "",
        str(record["container"] or ""),
        f"{record['loudness_db']:.1f} dB" if record["loudness_db"] is not None else "",
        ", ".join(record["flags"]),
    ]
    lines = [f"{record['uid'][:8]}  " + "  ".join(filter(None, facts))]
    if record["peaks"]:
        lines.append("  " + outline(bytes(value & 0xFF for value in record["peaks"])))
    for name, field in record["fields"].items():
        lines.append(f"  {name.ljust(16)} {format.printable(str(field['value']))}  [{field['source']}]")
    if record["tags"]:
        lines.append(f"  {'tags'.ljust(16)} {', '.join(map(format.printable, record['tags']))}")
    for file in record["files"]:
        where = format.printable(f"{file['root']}/{file['path']}")
        lines.append(f"  {'file'.ljust(16)} {where}  {format.size(file['bytes'])}  {file['state']}")
    for made in record["renditions"]:
        ratio = f"  1:{size / made['bytes']:.0f}" if size and made["bytes"] else ""
        became = f"{made['profile']}  {format.size(made['bytes'])}  {format.kbps(made['kbps'])}{ratio}"
        again = f"  {made['origin']}, generation {made['generation']}" if made["generation"] > 1 else ""
        lines.append(f"  {'encoded'.ljust(16)} {became}{again}")
    if not record["renditions"]:
        lines.append(f"  {'encoded'.ljust(16)} not yet: spresso encode id:{record['uid'][:8]}")
    return lines
