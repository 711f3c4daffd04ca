"""`spresso ingest`: folders and files in, searchable and encoded sounds out."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from spresso_assets.cli import format, pipeline
from spresso_assets.cli.scan import headline, report_problems
from spresso_assets.cli.state import State, state_of
from spresso_assets.errors import SpressoError

if TYPE_CHECKING:
    from sqlmodel import Session

    from spresso_assets.catalog.engine import Catalog
    from spresso_assets.catalog.models import SourceFile
    from spresso_assets.ingest.reconcile import ReadyHook, Report

# How much longer than its settle time a file is waited for before it is left for the next time.
PATIENCE_S = 15.0


def ingest(
    ctx: typer.Context,
    paths: Annotated[list[Path], typer.Argument(metavar="PATH...", help="Folders or files. They are only read.")],
    profile: Annotated[str | None, typer.Option(help="Encoding profile; see 'spresso profile list'.")] = None,
    no_encode: Annotated[bool, typer.Option("--no-encode", help="Make sounds searchable, do not encode them.")] = False,
    enqueue: Annotated[bool, typer.Option("--enqueue", help="Queue the work for background workers.")] = False,
    limit: Annotated[int, typer.Option(min=0, help="Take at most so many new files now; 0 for all.")] = 0,
    settle: Annotated[float | None, typer.Option(min=0, help="Seconds that files must have been quiet.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be taken, change nothing.")] = False,
) -> None:
    """Read folders of sounds into the catalog and encode them. Safe to interrupt and to run again.

    Sounds are searchable as soon as they are read, before they are encoded. Files that cannot be read cost one line
    each and exit code 3; the rest goes on. Unchanged files are not read again.
    """
    state = state_of(ctx)
    catalog = state.catalog()
    if not no_encode and not dry_run:
        state.register_bundle(catalog)
    if profile is not None and not dry_run:
        _check_profile(catalog, profile)
    quiet_s = state.settings.settle_s if settle is None else settle
    reports = take(state, catalog, paths, _Hook(profile, not no_encode, limit), quiet_s, dry_run)
    record: dict[str, Any] = {"dry_run": dry_run, "roots": [report.record() for report in reports]}
    lines = [headline(report) for report in reports]
    if dry_run:
        state.out.result(record, lambda: lines)
        return
    if enqueue:
        record["messages"] = pipeline.leave_to_workers(state, catalog)
        state.out.result(record, lambda: [*lines, f"queued; told the workers about {record['messages']} jobs"])
        return
    with pipeline.make_context(state, encode=not no_encode) as context:
        summary = pipeline.run_jobs(state, catalog, context)
    record["run"] = summary.as_dict()
    record["catalog"] = _totals(catalog)
    state.out.result(
        record,
        lambda: [*lines, *pipeline.lines_of(summary), *_total_lines(record["catalog"])],
        exit_code=pipeline.exit_code_of(summary),
    )


def take(
    state: State, catalog: Catalog, paths: list[Path], on_ready: ReadyHook, settle_s: float, dry_run: bool
) -> list[Report]:
    """Reconcile what the person named; wait a little for files that are still being written."""
    from spresso_assets.ingest.reconcile import preview, reconcile

    reports: list[tuple[int, str, Report]] = []
    seen: set[tuple[int | None, str]] = set()
    for path in paths:
        try:
            root_id, under = _known_root(catalog, path) if dry_run else _root_for(state, catalog, path)
            if (root_id, under) in seen:
                continue
            if root_id is None:
                reports.append((0, "", preview(path)))
                continue
            seen.add((root_id, under))
            options: dict[str, Any] = {"under": under, "settle_s": settle_s, "dry_run": dry_run}
            reports.append((root_id, under, reconcile(catalog, root_id, on_ready, **options)))
        except SpressoError as error:
            if len(paths) == 1:
                raise
            state.out.failure(str(path), error)
    deadline = time.monotonic() + settle_s + PATIENCE_S
    while not dry_run and any(report.settling for _, _, report in reports) and time.monotonic() < deadline:
        waits = [report.wait_s for _, _, report in reports if report.settling]
        number = sum(report.counts["settling"] for _, _, report in reports)
        state.out.note(f"waiting for {number} files that changed just now")
        time.sleep(min(max(min(waits), 0.05), max(deadline - time.monotonic(), 0.05)))
        for root_id, under, report in reports:
            if report.settling:
                report.follow(reconcile(catalog, root_id, on_ready, under=under, settle_s=settle_s))
    for _, _, report in reports:
        report_problems(state, report)
        for rel_path, reason in report.settling:
            unfinished = SpressoError(reason, code="still_changing", hint="The next ingest or watch takes it.")
            state.out.failure(f"{report.root}/{rel_path}", unfinished)
    return [report for _, _, report in reports]


class _Hook:
    """Queues the reading of each file that is ready, up to a limit; later runs take the rest."""

    def __init__(self, profile: str | None, encode: bool, limit: int) -> None:
        self.profile = profile
        self.encode = encode
        self.left = limit or None

    def __call__(self, session: Session, file: SourceFile) -> None:
        from spresso_assets.jobs.plan import enqueue_probe

        if self.left == 0:
            return
        if self.left is not None:
            self.left -= 1
        enqueue_probe(session, file, encode=self.encode, profile=self.profile)


def _root_for(state: State, catalog: Catalog, path: Path) -> tuple[int, str]:
    from spresso_assets.ingest.roots import root_for

    with catalog.session() as session:
        root, under = root_for(session, path, settle_s=state.settings.settle_s)
        return root.id or 0, under


def _known_root(catalog: Catalog, path: Path) -> tuple[int | None, str]:
    """What a dry run can look at: a root that exists already, or none."""
    from spresso_assets.ingest.roots import root_of_path

    with catalog.read() as session:
        found = root_of_path(session, path.resolve())
    return (None, "") if found is None else (found[0].id, found[1])


def _check_profile(catalog: Catalog, profile: str) -> None:
    from spresso_assets.catalog.profiles import get_profile

    with catalog.read() as session:
        get_profile(session, profile)


def _totals(catalog: Catalog) -> dict[str, Any]:
    from spresso_assets.catalog.stats import collect

    with catalog.read() as session:
        stats = collect(session)
    path = catalog.location.path
    return {
        "sounds": stats.assets,
        "files": stats.files,
        "unreadable": stats.unreadable_files,
        "encoded": stats.encoded,
        "seconds": stats.hours * 3600,
        "source_bytes": stats.source_bytes,
        "payload_bytes": stats.payload_bytes,
        "catalog_bytes": path.stat().st_size if path is not None else None,
    }


def _total_lines(totals: dict[str, Any]) -> list[str]:
    size = f", {format.size(totals['catalog_bytes'])} with everything" if totals["catalog_bytes"] else ""
    lines = [
        f"catalog   {totals['sounds']} sounds in {totals['files']} files, {format.length(totals['seconds'])}; "
        f"{format.size(totals['source_bytes'])} of files -> {format.size(totals['payload_bytes'])} of latents{size}",
    ]
    if missing := totals["sounds"] - totals["encoded"]:
        lines.append(f"to do     {missing} sounds are not encoded: spresso encode")
    return lines
