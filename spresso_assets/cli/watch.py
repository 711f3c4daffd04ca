"""`spresso watch`: keep the catalog in step with its roots."""

from __future__ import annotations

import signal
import sys
import threading
from typing import TYPE_CHECKING, Annotated, Any

import typer

from spresso_assets.cli import format, pipeline
from spresso_assets.cli.output import Mode
from spresso_assets.cli.scan import headline, report_problems
from spresso_assets.cli.state import State, state_of
from spresso_assets.errors import ExitCode, SpressoError

if TYPE_CHECKING:
    from sqlmodel import Session

    from spresso_assets.catalog.engine import Catalog
    from spresso_assets.catalog.models import SourceFile
    from spresso_assets.ingest.reconcile import Report
    from spresso_assets.jobs.runner import EmbeddedRunner, Event

PATIENCE_S = 120.0


def watch(
    ctx: typer.Context,
    roots: Annotated[list[str] | None, typer.Argument(metavar="[ROOT]...", help="Only these roots.")] = None,
    once: Annotated[bool, typer.Option("--once", help="Scan, do what there is to do, and end; for timers.")] = False,
    no_encode: Annotated[bool, typer.Option("--no-encode", help="Make sounds searchable, do not encode them.")] = False,
    enqueue: Annotated[bool, typer.Option("--enqueue", help="Queue the work for background workers.")] = False,
) -> None:
    """Watch the roots and take in what appears, changes or moves, until interrupted.

    File events make it quick, regular scans make sure. Files that are still being written wait until they are done.
    With --json or --jsonl every event is one JSON document and line.
    """
    state = state_of(ctx)
    from spresso_assets.ingest.watcher import Watcher

    catalog = state.catalog()
    names = _names(catalog, roots or [])
    if not no_encode:
        state.register_bundle(catalog)
    if state.out.mode is Mode.JSON:
        state.out.mode = Mode.JSONL  # an endless list never becomes one document
    with pipeline.make_context(state, encode=not no_encode and not enqueue) as context:
        desk = _Desk(state, catalog, encode=not no_encode, enqueue=enqueue)
        if not enqueue:
            from spresso_assets.jobs.runner import EmbeddedRunner

            desk.runner = EmbeddedRunner(catalog, context)
        watcher = Watcher(
            catalog,
            desk.ready,
            on_report=desk.report,
            on_problem=desk.problem,
            work=desk.work,
            rescan_s=state.settings.rescan_s,
            names=names,
        )
        if once:
            waited = 0.0
            while (wait_s := watcher.once()) and waited < PATIENCE_S:
                waited += wait_s
                threading.Event().wait(wait_s)
            desk.finish()
            return
        _stop_on_signals(watcher.stop, desk)
        state.out.note(f"watching {', '.join(names)}; Ctrl-C ends")
        watcher.run()
        state.out.note("stopped; whatever was in work goes on at the next start")


class _Desk:
    """What the watch loop hands its findings to: queues work, runs it, prints what happened."""

    def __init__(self, state: State, catalog: Catalog, *, encode: bool, enqueue: bool) -> None:
        self.state = state
        self.catalog = catalog
        self.encode = encode
        self.enqueue = enqueue
        self.runner: EmbeddedRunner | None = None

    def ready(self, session: Session, file: SourceFile) -> None:
        """A file may be read: queue it in the transaction of its row."""
        from spresso_assets.jobs.plan import enqueue_probe

        enqueue_probe(session, file, trigger="watch", encode=self.encode)

    def report(self, report: Report) -> None:
        """A look at a root found something."""
        report_problems(self.state, report)
        self._say({"event": "scan", **report.record()}, headline(report))

    def problem(self, root: str, error: SpressoError) -> None:
        """A root cannot be looked at; the loop tries again."""
        self.state.out.failure(root, error)

    def work(self) -> None:
        """Do or hand out what is queued."""
        if self.runner is not None:
            self.runner.run(on_event=self._done)
        elif self.enqueue:
            try:
                pipeline.leave_to_workers(self.state, self.catalog)
            except SpressoError as error:
                self.state.out.warn(str(error))

    def finish(self) -> None:
        """End `--once` with the exit code that its failures ask for."""
        if self.state.out.failures:
            raise typer.Exit(int(ExitCode.PARTIAL))

    def _done(self, event: Event) -> None:
        for outcome in event.outcomes:
            if outcome.status == "failed" and outcome.error is not None:
                self.state.out.failure(outcome.path, outcome.error)
            elif outcome.status == "succeeded":
                line = f"{outcome.what.ljust(9)} {format.printable(outcome.path)}  {outcome.asset_uid[:8]}"
                if outcome.payload_bytes:
                    line += f"  {format.size(outcome.payload_bytes)}"
                self._say({"event": outcome.kind, **outcome.as_dict()}, line)

    def _say(self, record: dict[str, Any], line: str) -> None:
        if self.state.out.mode is Mode.TEXT:
            sys.stdout.write(line + "\n")
        else:
            self.state.out.document(record)
        sys.stdout.flush()


def _names(catalog: Catalog, wanted: list[str]) -> tuple[str, ...]:
    from spresso_assets.ingest.roots import find_root, list_roots

    with catalog.read() as session:
        if wanted:
            return tuple(find_root(session, name).name for name in wanted)
        names = tuple(s.root.name for s in list_roots(session) if s.root.state != "paused" and s.root.mode != "scan")
    if not names:
        raise SpressoError(
            "there is no root to watch",
            code="root_unknown",
            hint="Add one: spresso root add FOLDER.",
            exit_code=ExitCode.NOT_FOUND,
        )
    return names


def _stop_on_signals(stop: Any, desk: _Desk) -> None:
    """End after the batch in work on Ctrl-C and on the stop signal of service managers."""

    def handle(*_: object) -> None:
        stop()
        if desk.runner is not None:
            desk.runner.stop()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, handle)
