"""`spresso verify`: is the archive what the catalog believes it to be?"""

from __future__ import annotations

from functools import cache
from typing import Annotated

import typer

from spresso_assets.cli import format
from spresso_assets.cli.quality import lines_of, moves_up
from spresso_assets.cli.state import state_of
from spresso_assets.errors import ExitCode, SpressoError


def verify(
    ctx: typer.Context,
    query: Annotated[
        list[str] | None, typer.Argument(help="Which sounds, as in 'spresso search'; nothing: all, and the catalog.")
    ] = None,
    level: Annotated[str, typer.Option(help="stat, hash, decode or quality; each contains those before it.")] = "stat",
    sample: Annotated[str, typer.Option(help="Share of renditions that are decoded: 5% or 0.05.")] = "5%",
    seed: Annotated[int, typer.Option(help="Chooses the sample; the same number chooses the same ones.")] = 0,
    orphans: Annotated[bool, typer.Option("--orphans", help="Also look for rows that belong to nothing.")] = False,
    mend: Annotated[
        bool, typer.Option("--repair", help="Mark damaged renditions and queue them again; tell everything done.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Keep no measurement, and repair nothing.")] = False,
) -> None:
    """Check files, renditions and jobs against each other. Exit code 5 when something is wrong; files are only read.

    stat compares sizes and times, hash reads every payload and original, decode listens to a sample for silence and
    length, quality compares that sample with its sources, keeps the figures, lists the sounds that stand out, and ends
    with the command that encodes exactly these at a higher rate.
    """
    state = state_of(ctx)
    from spresso_assets.verify.finding import Finding
    from spresso_assets.verify.repair import repair
    from spresso_assets.verify.run import Looked, Order, depth_named
    from spresso_assets.verify.run import verify as look

    order = Order(" ".join(query or []), depth_named(level), share(sample), seed, orphans, keep=not dry_run)
    looked = Looked()
    findings: list[Finding] = []
    with state.out.progress("verifying", "sounds") as progress:
        for finding in look(state.catalog(), order, cache(state.codec), looked, progress.update):
            findings.append(finding)
            state.out.live(_line(finding))
    done: list[str] = []
    if mend:
        from spresso_assets.jobs.plan import enqueue_encode

        with state.change(dry_run) as session:
            done = repair(session, findings, enqueue_encode)
    moves = []
    if looked.measured and not dry_run:
        with state.catalog().read() as session:
            moves = moves_up(session, query or [])
    wrong = [finding for finding in findings if finding.counts]
    record = {
        "findings": [finding.record() for finding in findings],
        "repaired": [] if dry_run else done,
        "would_repair": done if dry_run else [],
        "sounds": looked.sounds,
        "payloads": looked.payloads,
        "decoded": looked.decoded,
        "measured": len(looked.measured),
        "low": moves,
    }

    def text() -> list[str]:
        parts = [f"{looked.sounds} sounds looked at"]
        parts += [f"{looked.payloads} payloads read"] if looked.payloads else []
        parts += [f"{looked.decoded} decoded"] if looked.decoded else []
        parts += [f"{len(looked.measured)} measured"] if looked.measured else []
        lines = [f"{'would be: ' if dry_run else ''}{line}" for line in done]
        lines.append(f"{', '.join(parts)}: {len(wrong)} wrong, {len(findings) - len(wrong)} to know")
        return [*lines, *lines_of(moves)]

    state.out.result(record, text, exit_code=ExitCode.FINDINGS if wrong else ExitCode.OK)


def share(text: str) -> float:
    """``5%`` or ``0.05`` -> 0.05.

    Raises:
        SpressoError: `usage`.
    """
    try:
        number = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        number = -1.0
    if not 0 <= number <= 1:
        raise SpressoError(f"'{text}' is no share", code="usage", hint="Write 5% or 0.05.", exit_code=ExitCode.USAGE)
    return number


def _line(finding: object) -> str:
    from spresso_assets.verify.finding import Finding

    assert isinstance(finding, Finding)
    hint = f" {finding.hint}." if finding.hint else ""
    return (
        f"{finding.severity.value.ljust(7)} {format.printable(finding.about)}: {finding.code}: {finding.message}.{hint}"
    )
