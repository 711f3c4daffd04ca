"""`spresso jobs ...`: what waits, what runs, what failed and why."""

from __future__ import annotations

import getpass
import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from spresso_assets.cli import format, jobs_watch
from spresso_assets.cli.output import confirm
from spresso_assets.cli.state import state_of
from spresso_assets.cli.times import minutes_or, seconds
from spresso_assets.errors import ExitCode, SpressoError

if TYPE_CHECKING:
    from sqlmodel import Session

    from spresso_assets.catalog.models import Job, QueuePause
    from spresso_assets.jobs.control import JobFilter

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Work that waits, runs, is done or has failed.")
app.command("watch")(jobs_watch.watch)

Status = Annotated[str | None, typer.Option(help="queued, running, succeeded, failed or cancelled.")]
Error = Annotated[str | None, typer.Option(help="Only jobs that failed with this code, for example truncated_file.")]
Kind = Annotated[str | None, typer.Option(help="probe, encode, decode, cut, quantise or transcode.")]
Batch = Annotated[str | None, typer.Option(help="Id of a batch, or its first digits.")]
Since = Annotated[str | None, typer.Option(help="Only jobs made in the last 90s, 30m, 12h or 7d.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would happen, change nothing.")]


@app.command("list")
def list_(
    ctx: typer.Context,
    status: Status = None,
    error: Error = None,
    kind: Kind = None,
    batch: Batch = None,
    since: Since = None,
    limit: Annotated[int, typer.Option(min=1, help="So many on a page.")] = 50,
    page: Annotated[int, typer.Option(min=1, help="Which page.")] = 1,
) -> None:
    """List jobs, newest first, and count failures by reason."""
    state = state_of(ctx)
    from spresso_assets.jobs.control import counts, errors, list_jobs, paused_queues
    from spresso_assets.jobs.progress import lonely_queues

    with state.catalog().read() as session:
        which = _filter(session, status=status, error=error, kind=kind, batch=batch, since=since)
        jobs = [record(job) for job in list_jobs(session, which, limit, (page - 1) * limit)]
        numbers = counts(session, which)
        failed = errors(session, which)
        paused = paused_queues(session)
        lonely = lonely_queues(session)
    for queue in lonely:
        state.out.warn(str(queue))

    def text() -> list[str]:
        rows = [
            (
                j["uid"][-12:],
                j["kind"],
                j["status"],
                j["attempt"],
                j["created"],
                j["error_code"] or "",
                j["message"] or "",
            )
            for j in jobs
        ]
        headers = ("JOB", "KIND", "STATUS", "TRY", "MADE", "ERROR", "MESSAGE")
        lines = format.columns(headers, rows, right=(3,)) if rows else ["no jobs"]
        total = sum(number for by_status in numbers.values() for number in by_status.values())
        if total > len(rows):
            lines.append(f"page {page} of {-(-total // limit)}, {total} jobs")
        lines += [
            f"{name}: " + ", ".join(f"{number} {status}" for status, number in sorted(by_status.items()))
            for name, by_status in numbers.items()
        ]
        if failed:
            lines += ["", *format.columns(("FAILED", "ERROR", "FOR EXAMPLE"), [(n, c, e) for c, n, e in failed], (0,))]
        return lines + [f"queue {pause.queue} is paused by {_pause_told(pause)}" for pause in paused]

    state.out.result(jobs, text)


@app.command()
def show(ctx: typer.Context, uid: Annotated[str, typer.Argument(metavar="JOB", help="Id of a job.")]) -> None:
    """Show one job with its error, its hint, and the traceback if the program itself went wrong."""
    state = state_of(ctx)
    from spresso_assets.catalog.models import SourceFile

    with state.catalog().read() as session:
        job = _find(session, uid)
        found = {**record(job), "traceback": job.traceback, "result": job.result, "params": job.params}
        file = session.get(SourceFile, job.source_file_id) if job.source_file_id else None
        found["path"] = file.rel_path if file else None

    def text() -> list[str]:
        width = max(map(len, found))
        known = {key: value for key, value in found.items() if value not in (None, "", {}) and key != "traceback"}
        lines = [f"{key.ljust(width)}  {format.printable(str(value))}" for key, value in known.items()]
        return lines + (found["traceback"] or "").splitlines()

    state.out.result(found, text)


@app.command()
def retry(
    ctx: typer.Context,
    uid: Annotated[str | None, typer.Argument(metavar="[JOB]", help="One job; else all that match.")] = None,
    error: Error = None,
    kind: Kind = None,
    batch: Batch = None,
    since: Since = None,
    dry_run: DryRun = False,
) -> None:
    """Queue failed and cancelled jobs again. Workers, 'spresso ingest' or 'spresso watch' then do them."""
    state = state_of(ctx)
    from spresso_assets.jobs.control import retry as queue_again

    with state.change(dry_run) as session:
        if uid is not None:
            uid = _find(session, uid).uid
        number = queue_again(session, _filter(session, uid=uid, error=error, kind=kind, batch=batch, since=since))
    verb = "would queue" if dry_run else "queued"
    state.out.result({"queued": number, "dry_run": dry_run}, lambda: [f"{verb} {number} jobs again"])


@app.command()
def cancel(
    ctx: typer.Context,
    uid: Annotated[str | None, typer.Argument(metavar="[JOB]", help="One job; else all that match.")] = None,
    kind: Kind = None,
    batch: Batch = None,
    since: Since = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    dry_run: DryRun = False,
) -> None:
    """Cancel waiting jobs and stop running ones. Nothing that is in the catalog already is lost.

    A batch that is cancelled as a whole stays so: nothing is added to it any more.
    """
    state = state_of(ctx)
    from spresso_assets.jobs.control import cancel as stop
    from spresso_assets.jobs.control import cancel_batch, find_batch

    if uid is None and not dry_run:
        confirm("Cancel all jobs that match?", yes=yes)
    with state.change(dry_run) as session:
        if uid is not None:
            uid = _find(session, uid).uid
        if batch is not None and uid is None and kind is None and since is None:
            waiting, running = cancel_batch(session, find_batch(session, batch))
        else:
            waiting, running = stop(session, _filter(session, uid=uid, kind=kind, batch=batch, since=since))
    verb = "would cancel" if dry_run else "cancelled"
    state.out.result(
        {"cancelled": waiting, "stopping": running, "dry_run": dry_run},
        lambda: [f"{verb} {waiting} waiting jobs, {running} running ones stop after their current step"],
    )


Queue = Annotated[str | None, typer.Argument(help="decode, encode or io.")]


@app.command()
def pause(
    ctx: typer.Context,
    queue: Queue = None,
    batch: Batch = None,
    reason: Annotated[str, typer.Option(help="Why, for the others.")] = "",
    for_: Annotated[
        str | None, typer.Option("--for", metavar="TIME", help="Resume after 90s, 30m, 12h or 7d; a number is minutes.")
    ] = None,
    dry_run: DryRun = False,
) -> None:
    """Let no more jobs of a queue or of a batch begin. Running ones end normally."""
    state = state_of(ctx)
    from spresso_assets.jobs.control import find_batch, pause_batch, pause_queue

    _one_of(queue, batch)
    for_s = None if for_ is None else minutes_or(for_)
    by = getpass.getuser()
    with state.change(dry_run) as session:
        if batch is not None:
            found = find_batch(session, batch)
            pause_batch(session, found, by, for_s)
            what: dict[str, Any] = {"batch": found.uid}
        else:
            pause_queue(session, queue or "", by, reason, for_s)
            what = {"queue": queue}
    told = f"{_named(what)} paused" + ("" if for_s is None else f" for {format.length(for_s)}")
    _told(ctx, {**what, "paused": True, "by": by, "for_s": for_s, "dry_run": dry_run}, told, dry_run)


@app.command()
def resume(ctx: typer.Context, queue: Queue = None, batch: Batch = None, dry_run: DryRun = False) -> None:
    """Let the jobs of a paused queue or batch begin again; make the plan of an interrupted re-encoding whole."""
    state = state_of(ctx)
    from spresso_assets.jobs.control import find_batch, resume_batch, resume_queue

    _one_of(queue, batch)
    unfinished = False
    with state.change(dry_run) as session:
        if batch is not None:
            found = find_batch(session, batch)
            what: dict[str, Any] = {"batch": found.uid}
            unfinished = found.state == "planning"
            was_paused = unfinished or resume_batch(session, found)
        else:
            was_paused = resume_queue(session, queue or "")
            what = {"queue": queue}
    if unfinished and not dry_run:
        from spresso_assets.jobs.reencode_plan import write_jobs

        with state.out.progress("planning", "sounds") as progress:
            write_jobs(state.catalog(), what["batch"], lambda sounds: progress.update(sounds, None, "", "planning"))
    told = f"{_named(what)} {'resumed' if was_paused else 'was not paused'}"
    _told(ctx, {**what, "was_paused": was_paused, "dry_run": dry_run}, told, dry_run)


@app.command()
def prune(
    ctx: typer.Context,
    days: Annotated[float, typer.Option(min=0, help="Keep those of the last so many days.")] = 30,
    dry_run: DryRun = False,
) -> None:
    """Forget jobs that succeeded or were cancelled long ago. Failures stay until they are retried."""
    state = state_of(ctx)
    from spresso_assets.jobs.control import prune as forget

    with state.change(dry_run) as session:
        number = forget(session, time.time_ns() // 1000 - int(days * 86_400e6))
    verb = "would forget" if dry_run else "forgot"
    state.out.result({"forgotten": number, "dry_run": dry_run}, lambda: [f"{verb} {number} jobs"])


def record(job: Job) -> dict[str, Any]:
    """JSON form of a job."""
    from spresso_assets.catalog.columns import iso_utc

    def at(value: int | None) -> str | None:
        return None if value is None else iso_utc(value)

    return {
        "uid": job.uid,
        "kind": job.kind,
        "status": job.status,
        "queue": job.queue,
        "attempt": job.attempt,
        "max_attempts": job.max_attempts,
        "trigger": job.trigger,
        "error_code": job.error_code,
        "error_kind": job.error_kind,
        "message": job.message,
        "hint": job.hint,
        "created": at(job.created_at),
        "started": at(job.started_at),
        "finished": at(job.finished_at),
    }


def _find(session: Any, uid: str) -> Job:
    """A job by its first digits or, because ids made in one hour begin alike, by its last ones."""
    from sqlmodel import col, select

    from spresso_assets.catalog.models import Job
    from spresso_assets.jobs.control import find_job

    ends = session.exec(select(Job).where(col(Job.uid).endswith(uid.lower(), autoescape=True)).limit(2)).all()
    return ends[0] if len(ends) == 1 else find_job(session, uid)


def _filter(
    session: Session,
    *,
    uid: str | None = None,
    status: str | None = None,
    error: str | None = None,
    kind: str | None = None,
    batch: str | None = None,
    since: str | None = None,
) -> JobFilter:
    from spresso_assets.jobs.control import JobFilter, find_batch

    if batch is not None:
        batch = find_batch(session, batch).uid
    since_us = None if since is None else time.time_ns() // 1000 - int(seconds(since) * 1e6)
    return JobFilter(status, error, kind, batch, uid, since_us)


def _one_of(queue: str | None, batch: str | None) -> None:
    if (queue is None) == (batch is None):
        raise SpressoError(
            "Say what is meant", code="usage", hint="Name a queue, or a batch with --batch.", exit_code=ExitCode.USAGE
        )


def _named(what: dict[str, Any]) -> str:
    ((kind, name),) = what.items()
    return f"{kind} {name[:8] if kind == 'batch' else name}"


def _pause_told(pause: QueuePause) -> str:
    from spresso_assets.catalog.columns import iso_utc

    until = "" if pause.expires_at is None else f" until {iso_utc(pause.expires_at)}"
    return f"{pause.paused_by}{until}: {pause.reason}" if pause.reason else f"{pause.paused_by}{until}"


def _told(ctx: typer.Context, data: dict[str, Any], line: str, dry_run: bool) -> None:
    state_of(ctx).out.result(data, lambda: [line + (" (not done: dry run)" if dry_run else "")])
