"""`spresso quality`: how close stored renditions come to their sounds, and what fell short."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from spresso_assets.cli import format
from spresso_assets.cli.state import state_of

if TYPE_CHECKING:
    from sqlmodel import Session


def quality(
    ctx: typer.Context,
    query: Annotated[
        list[str] | None, typer.Argument(help="Which sounds, as in 'spresso search'; nothing: all of them.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="List so many of the worst.")] = 10,
) -> None:
    """Show the measured quality of stored renditions, by profile, and what fell short of what was asked for.

    1 is the sound itself; 0.9 means that its bands differ by one decibel on average, 0.8 by two.
    'spresso reencode --target-quality' measures what it makes, 'spresso verify --level quality' what is there, and
    notes which sounds stand out below the others of their profile.
    """
    state = state_of(ctx)
    from spresso_assets.catalog.quality import quality_report

    with state.catalog().read() as session:
        found = quality_report(session, " ".join(query or []), limit)
        moves = moves_up(session, query or [])

    def text() -> list[str]:
        rows = [
            (
                row.profile, format.kbps(row.kbps), row.renditions, len(row.values),
                *(_number(row.share(share)) for share in (0.5, 0.1, 0.0)),
            )
            for row in found.profiles
        ]  # fmt: skip
        headers = ("PROFILE", "TRUE RATE", "SOUNDS", "MEASURED", "MEDIAN", "P10", "WORST")
        lines = format.columns(headers, rows, right=(1, 2, 3, 4, 5, 6)) if rows else ["no renditions"]
        if found.worst:
            lines += ["", "the worst:"]
            lines += [
                f"  {_number(item.value)}  {item.profile}  {item.asset_uid[:8]}  {item.name}" for item in found.worst
            ]
        if found.short_count:
            lines += ["", f"{found.short_count} fell short at the highest rate that was allowed:"]
            lines += [
                f"  {_number(item.value)} of {_number(item.target)}  {item.profile}  {item.asset_uid[:8]}  {item.name}"
                for item in found.short
            ]
        lines += ["", *lines_of(moves)] if moves else []
        return [format.printable(line) for line in lines]

    state.out.result(found.as_dict() | {"low": moves}, text)


def moves_up(session: Session, query: Sequence[str]) -> list[dict[str, Any]]:
    """What stands out by profile, each with the one command that encodes exactly these at a higher rate.

    Args:
        query: words of a query that narrows it down.
    """
    from spresso_assets.catalog.grammar import parse
    from spresso_assets.catalog.quality import low_sounds

    if len(parse(" ".join(query))) > 1:
        query = ()  # one more term would belong to the last of its groups
    found = []
    for one in low_sounds(session, " ".join(query)):
        words = shlex.join([*query, f"quality_low:={one.profile}"])
        command = f"spresso reencode {words} --profile {one.higher}" if one.higher else None
        found.append({**vars(one), "command": command})
    return found


def lines_of(moves: Sequence[dict[str, Any]]) -> list[str]:
    """The same for people."""
    lines = []
    for move in moves:
        told = f"{move['sounds']} stand out below the others of {move['profile']}"
        if move["command"]:
            lines += [f"{told}; to encode exactly these at {move['higher']}:", f"  {move['command']}"]
        else:
            lines.append(f"{told}, and no profile carries more")
    return lines


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
