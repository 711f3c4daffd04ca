"""`spresso watch`: keep the catalog in step with its roots."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable, Sequence
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
    from spresso_assets.jobs.outcome import Outcome

PATIENCE_S = 120.0
KEPT_FAILURES = 1000  # of a watch that runs for months; each was printed when it came


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
    desk = _Desk(state, catalog, encode=not no_encode)
    watcher = Watcher(
        catalog,
        desk.ready,
        on_report=desk.report,
        on_problem=desk.problem,
        work=desk.ring if enqueue else lambda: None,
        rescan_s=state.settings.rescan_s,
        names=names,
    )
    if enqueue:
        if once:
            _once(watcher.once)
            desk.finish()
        else:
            _forever(state, watcher.run, [watcher.stop], names)
        return
    with pipeline.make_context(state, encode=not no_encode) as context:
        if once:
            from spresso_assets.jobs.runner import EmbeddedRunner

            runner = EmbeddedRunner(catalog, context)

            def work() -> None:
                runner.run(on_event=lambda event: desk.done(event.outcomes))

            watcher.work = work
            _once(watcher.once)
            desk.finish()
            return
        from spresso_assets.jobs.worker import BackgroundWorker

        # In its own thread: an encoding takes long, and files go on changing meanwhile.
        worker = BackgroundWorker(catalog, context, ("io", "encode"), on_batch=desk.done)
        watcher.work = worker.wake
        thread = worker.start()
        try:
            _forever(state, watcher.run, [watcher.stop, worker.stop], names)
        finally:
            worker.stop()
            thread.join()


def _once(look: Callable[[], float]) -> None:
    """Scan, and again while files are unfinished, for a while."""
    waited = 0.0
    while (wait_s := look()) and waited < PATIENCE_S:
        waited += wait_s
        threading.Event().wait(wait_s)


def _forever(state: State, run: Callable[[], None], stops: list[Callable[[], None]], names: tuple[str, ...]) -> None:
    """Run until Ctrl-C or the stop signal of service managers; the batch in work is finished."""

    def handle(*_: object) -> None:
        for stop in stops:
            stop()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, handle)
    state.out.note(f"watching {', '.join(names)}; Ctrl-C ends")
    run()
    state.out.note("stopped; whatever was in work goes on at the next start")


class _Desk:
    """What the watch loop and the worker hand their findings to: queues work, prints what happened."""

    def __init__(self, state: State, catalog: Catalog, *, encode: bool) -> None:
        self.state = state
        self.catalog = catalog
        self.encode = encode
        self._lock = threading.Lock()  # both threads print whole lines

    def ready(self, session: Session, file: SourceFile) -> None:
        """A file may be read: queue it in the transaction of its row."""
        from spresso_assets.jobs.plan import enqueue_probe

        enqueue_probe(session, file, trigger="watch", encode=self.encode)

    def report(self, report: Report) -> None:
        """A look at a root found something."""
        with self._lock:
            report_problems(self.state, report)
            self._say({"event": "scan", **report.record()}, headline(report))

    def problem(self, root: str, error: SpressoError) -> None:
        """A root cannot be looked at; the loop tries again."""
        with self._lock:
            self._failure(root, error)

    def ring(self) -> None:
        """Hand out what is queued."""
        try:
            pipeline.leave_to_workers(self.state, self.catalog)
        except SpressoError as error:
            with self._lock:
                self.state.out.warn(str(error))
                del self.state.out.warnings[:-KEPT_FAILURES]

    def done(self, outcomes: Sequence[Outcome]) -> None:
        """A batch of work ended."""
        with self._lock:
            for outcome in outcomes:
                self._tell(outcome)

    def finish(self) -> None:
        """End `--once` with the exit code that its failures ask for."""
        if self.state.out.failures:
            raise typer.Exit(int(ExitCode.PARTIAL))

    def _tell(self, outcome: Outcome) -> None:
        if outcome.status == "failed" and outcome.error is not None:
            self._failure(outcome.path, outcome.error)
        elif outcome.status == "succeeded":
            line = f"{outcome.what.ljust(9)} {format.printable(outcome.path)}  {outcome.asset_uid[:8]}"
            if outcome.payload_bytes:
                line += f"  {format.size(outcome.payload_bytes)}"
            self._say({"event": outcome.kind, **outcome.as_dict()}, line)

    def _failure(self, path: str, error: SpressoError) -> None:
        self.state.out.failure(path, error)
        del self.state.out.failures[:-KEPT_FAILURES]

    def _say(self, record: dict[str, Any], line: str) -> None:
        if self.state.out.mode is Mode.TEXT:
            sys.stdout.write(line + "\n")
        else:
            self.state.out.document(record)
        sys.stdout.flush()


def _names(catalog: Catalog, wanted: list[str]) -> tuple[str, ...]:
    """Names of the roots to watch; with none named, whatever is a root at any time."""
    from spresso_assets.ingest.roots import find_root, is_paused, list_roots

    with catalog.read() as session:
        if wanted:
            return tuple(find_root(session, name).name for name in wanted)
        names = tuple(s.root.name for s in list_roots(session) if not is_paused(s.root) and s.root.mode != "scan")
    if not names:
        raise SpressoError(
            "there is no root to watch",
            code="root_unknown",
            hint="Add one: spresso root add FOLDER.",
            exit_code=ExitCode.NOT_FOUND,
        )
    return names
