"""`spresso reencode`: bring sounds to another bit rate by the cheapest exact way."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from spresso_assets.cli import format, pipeline
from spresso_assets.cli.output import confirm
from spresso_assets.cli.state import State, state_of
from spresso_assets.errors import ExitCode, SpressoError

if TYPE_CHECKING:
    from spresso_assets.catalog.engine import Catalog
    from spresso_assets.catalog.models import Batch
    from spresso_assets.jobs.reencode_plan import ReencodePlan
    from spresso_assets.jobs.reencode_ways import Request

PRIORITY = -10  # before other bulk work
WAYS = {
    "retire": "is there already: verify it, retire the old one",
    "cut": "drop codes of a stored rendition",
    "quantise": "quantise stored continuous latents",
    "encode": "encode from the file",
    "transcode": "decode and encode again: second generation",
    "source_offline": "not reached: the folder is offline",
    "source_missing": "not reached: no file to encode from",
}


def reencode(
    ctx: typer.Context,
    query: Annotated[
        list[str] | None, typer.Argument(help="Which sounds, as in 'spresso search'; nothing: all of them.")
    ] = None,
    profile: Annotated[
        str | None, typer.Option(help="Profile to encode under. With --target-quality the highest that may be picked.")
    ] = None,
    source: Annotated[
        str | None, typer.Option("--from", help="Only sounds that have a rendition under this profile.")
    ] = None,
    missing: Annotated[bool, typer.Option("--missing", help="Sounds that lack the profile. The default.")] = False,
    stale: Annotated[
        bool, typer.Option("--stale", help="Sounds that were encoded under this profile's name with other weights.")
    ] = False,
    every: Annotated[bool, typer.Option("--all", help="Also sounds that have the profile: make it anew.")] = False,
    retire_old: Annotated[
        bool,
        typer.Option(
            "--retire-old/--keep-old",
            help="Retire what --from names (with --stale: what other weights made) once the new one is verified.",
        ),
    ] = False,
    allow_transcode: Annotated[
        bool, typer.Option("--allow-transcode", help="Decode and encode again where there is no better way.")
    ] = False,
    target_quality: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="Pick per sound the lowest rate whose measured quality is at least this."),
    ] = None,
    limit: Annotated[int, typer.Option(min=0, help="At most this many sounds; 0 for all.")] = 0,
    priority: Annotated[bool, typer.Option("--priority", help="Before other work of the same queues.")] = False,
    enqueue: Annotated[bool, typer.Option("--enqueue", help="Leave the work to background workers.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the plan only.")] = False,
) -> None:
    """Make renditions at another bit rate: out of stored ones where that is exact, else from the files.

    Prints the plan, asks, and then works, or leaves the work to workers with --enqueue. Interrupted at any moment,
    the same command goes on. quality_low:=PROFILE are the sounds that 'spresso verify --level quality' flagged.
    """
    state = state_of(ctx)
    if sum((missing, stale, every)) > 1:
        raise SpressoError(
            "--missing, --stale and --all exclude each other",
            code="usage",
            hint="Choose one.",
            exit_code=ExitCode.USAGE,
        )
    if target_quality is not None and (stale or (retire_old and source is None)):
        raise SpressoError(
            "--target-quality picks profiles: there are no stale ones, and --retire-old needs --from",
            code="usage",
            hint="Name the profile to retire with --from.",
            exit_code=ExitCode.USAGE,
        )
    catalog = state.catalog()
    if not dry_run:
        state.register_bundle(catalog)
    from spresso_assets.jobs.reencode_plan import plan as make_plan
    from spresso_assets.jobs.reencode_plan import start, write_jobs
    from spresso_assets.jobs.reencode_ways import ALL, MISSING, STALE, Request

    with catalog.read() as session:
        request = Request(
            " ".join(query or []),
            profile or _default_profile(session, target_quality),
            STALE if stale else ALL if every else MISSING,
            source,
            retire_old,
            allow_transcode,
            target_quality,
            limit,
            PRIORITY if priority else 0,
        )
        resumed = _interrupted(session, request)
        plan = make_plan(session, request)
    record = {**plan.as_dict(), "dry_run": dry_run, "batch": None}
    lines = lines_of(plan)
    if dry_run or not (plan.sounds or resumed):
        state.out.result(record, lambda: lines)
        return
    for line in lines:
        state.out.note(line)
    if resumed:
        state.out.note(f"batch {resumed} was interrupted while it was planned; going on with it")
    else:
        confirm(f"Re-encode {plan.sounds} sounds?", yes=yes)
    uid = start(catalog, request)
    with state.out.progress("planning", "sounds") as progress:
        batch = write_jobs(catalog, uid, lambda sounds: progress.update(sounds, None, "", "planning"))
    record["batch"] = uid
    state.out.note(f"batch {uid}: {batch.total} jobs; 'spresso jobs watch {uid[:8]}' follows it")
    if enqueue:
        record["messages"] = pipeline.leave_to_workers(state, catalog)
        state.out.result(record, lambda: [uid])
        return
    _work_off(state, catalog, batch, record)


def _work_off(state: State, catalog: Catalog, batch: Batch, record: dict[str, Any]) -> None:
    from spresso_assets.jobs.reencode_report import report

    with pipeline.make_context(state) as context:
        summary = pipeline.run_jobs(state, catalog, context)
    with catalog.read() as session:
        done = report(session, batch)
    record |= {"run": summary.as_dict(), "done": done.as_dict()}
    for item in done.failures:
        hint = "'spresso jobs list --batch' shows its job"
        state.out.failure(item["asset"][:8], SpressoError(item["message"], code=item["code"], hint=hint))
    state.out.result(record, lambda: [*done.lines(), batch.uid], exit_code=pipeline.exit_code_of(summary))


def _default_profile(session: Any, target_quality: float | None) -> str:
    """With a target quality the highest discrete rate; else a profile must be named."""
    from spresso_assets.catalog.profiles import list_profiles

    if target_quality is not None:
        profiles = [row for row in list_profiles(session) if row.params["codebooks"] and row.channel_mode == "mono"]
        if profiles:
            return profiles[0].name
    raise SpressoError(
        "Re-encode to which profile?",
        code="usage",
        hint="Name one with --profile; 'spresso profile list' shows them.",
        exit_code=ExitCode.USAGE,
    )


def _interrupted(session: Any, request: Request) -> str | None:
    """The batch that an earlier such command had no time to plan to its end."""
    from spresso_assets.jobs.reencode_plan import unfinished

    alike = [batch.uid for batch in unfinished(session) if batch.params.get("request") == request.as_dict()]
    return alike[0] if alike else None


def _hours(seconds: float) -> str:
    """Hours where there are some: 166.7 h; else as `format.length`."""
    return f"{seconds / 3600:.1f} h" if seconds >= 3600 else format.length(seconds)


def lines_of(plan: ReencodePlan) -> list[str]:
    """A plan, for people."""
    name = plan.route.profile.name
    if plan.route.ladder:
        names = ", ".join(profile.name for profile in plan.route.ladder)
        head = f"{plan.sounds} sounds, each at the lowest of {names} that passes {plan.route.request.target_quality:g}"
    else:
        head = f"{plan.sounds} sounds to {name}, {_hours(plan.seconds)}"
    rows = [(way, found.sounds, _hours(found.seconds), WAYS[way]) for way, found in plan.ways.items()]
    lines = [head, *(format.columns(("WAY", "SOUNDS", "LENGTH", ""), rows, right=(1, 2)) if rows else [])]
    if plan.sounds:
        basis = "from this catalog's history" if plan.estimate.known else "a guess: this catalog has no history of it"
        lines.append(f"machine time  about {format.length(plan.estimate.seconds)} of one worker ({basis})")
        after = plan.bytes_now + plan.bytes_new - plan.bytes_retired
        rate = "by what such renditions take here" if plan.measured else "by the nominal rate"
        lines.append(f"latents       {format.size(plan.bytes_now)} now, {format.size(after)} after ({rate})")
    retired = ", ".join(f"{number} of {old}" for old, number in plan.retires.items())
    lines.append(f"old ones      {f'{retired} retire, each after its new one is verified' if retired else 'are kept'}")
    lines += [f"not reached   {item.uid[:8]}  {item.reason}" for item in plan.unreached]
    more = sum(way.sounds for name, way in plan.ways.items() if name.startswith("source_")) - len(plan.unreached)
    if more > 0:
        lines.append(f"              and {more} more")
    if plan.transcodable:
        lines.append(f"              {plan.transcodable} of them could be transcoded: --allow-transcode")
    return lines
