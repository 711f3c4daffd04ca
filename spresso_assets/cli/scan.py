"""`spresso scan`: bring the catalog's picture of the roots up to date with the disk."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from spresso_assets.cli import format
from spresso_assets.cli.state import State, state_of
from spresso_assets.errors import ExitCode, SpressoError

if TYPE_CHECKING:
    from spresso_assets.catalog.engine import Catalog
    from spresso_assets.ingest.reconcile import Report

MOST_SHOWN = 10


def scan(
    ctx: typer.Context,
    where: Annotated[
        list[str] | None, typer.Argument(metavar="[ROOT|PATH]...", help="Roots, or parts of them.")
    ] = None,
    accept_removals: Annotated[
        bool, typer.Option("--accept-removals", help="Mark vanished files as missing, however many they are.")
    ] = False,
    quick: Annotated[
        bool, typer.Option("--quick", help="Skip folders whose time has not changed; misses files rewritten in place.")
    ] = False,
    settle: Annotated[float | None, typer.Option(min=0, help="Seconds that files must have been quiet.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would change, change nothing.")] = False,
) -> None:
    """Look for new, changed, moved and vanished files. New sounds are queued; 'spresso ingest' reads them at once.

    Nothing is ever removed because it is absent: vanished files are marked, and when many vanish at once, not even
    that, unless you say --accept-removals. A scan that was interrupted goes on where it stopped.
    """
    state = state_of(ctx)
    from spresso_assets.ingest.reconcile import reconcile
    from spresso_assets.jobs.plan import enqueue_probe

    catalog = state.catalog()
    reports = []
    for root_id, name, under in targets(state, catalog, where or []):
        try:
            report = reconcile(
                catalog,
                root_id,
                enqueue_probe,
                under=under,
                quick=quick,
                settle_s=settle,
                accept_removals=accept_removals,
                dry_run=dry_run,
            )
        except SpressoError as error:
            if len(where or []) == 1:
                raise
            state.out.failure(name, error)
            continue
        report_problems(state, report)
        reports.append(report)
    state.out.result([report.record() for report in reports], lambda: [line for r in reports for line in lines_of(r)])


def targets(state: State, catalog: Catalog, where: list[str]) -> list[tuple[int, str, str]]:
    """(root id, root name, part) of what the person named; all roots that are not paused when nothing is named."""
    from spresso_assets.ingest.roots import find_root, is_paused, list_roots, root_of_path

    found = []
    with catalog.read() as session:
        if not where:
            found = [(s.root.id or 0, s.root.name, "") for s in list_roots(session) if not is_paused(s.root)]
        for name in where:
            inside = root_of_path(session, Path(name)) if "/" in name or Path(name).exists() else None
            root, under = inside or (find_root(session, name), "")
            found.append((root.id or 0, root.name, under))
    if not found:
        raise SpressoError(
            "there is no root to scan",
            code="root_unknown",
            hint="Add one: spresso ingest FOLDER.",
            exit_code=ExitCode.NOT_FOUND,
        )
    return found


def report_problems(state: State, report: Report) -> None:
    """One line per path that looks like a sound and could not be taken; a note about what has no decoder."""
    for problem in report.problems:
        state.out.failure(f"{report.root}/{problem.rel_path}".rstrip("/"), problem.error)
    for reason, number in sorted(report.left_out.items()):
        if reason.startswith("no decoder"):
            state.out.warn(f"{report.root}: {number} files left out, {reason}")


def headline(report: Report) -> str:
    """One line: what differs, and how much does not."""
    kinds = ("new", "waiting", "changed", "moved", "back", "missing", "ignored", "unreadable", "settling")
    shown = ", ".join(f"{report.counts[kind]} {kind}" for kind in kinds if report.counts[kind])
    head = f"{report.root}: {shown + ', ' if shown else ''}{report.unchanged} unchanged"
    if report.resumed:
        head += " (went on where an interrupted scan had stopped)"
    return head + (" (dry run)" if report.dry_run else "")


def lines_of(report: Report) -> list[str]:
    """The headline, then the first few paths of each kind."""
    lines = [headline(report)]
    for old, new in report.moved[:MOST_SHOWN]:
        lines.append(f"  moved    {format.printable(old)} -> {format.printable(new)}")
    for kind, paths in (("missing", report.missing), ("changed", report.changed), ("new", report.new)):
        lines += [f"  {kind.ljust(8)} {format.printable(path)}" for path in paths[:MOST_SHOWN]]
        if (more := report.counts[kind] - MOST_SHOWN) > 0:
            lines.append(f"  {kind.ljust(8)} ... and {more} more")
    lines += [f"  settling {format.printable(path)}: {reason}" for path, reason in report.settling[:MOST_SHOWN]]
    return lines
