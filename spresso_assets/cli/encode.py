"""`spresso encode`: make missing renditions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from spresso_assets.cli import format, pipeline
from spresso_assets.cli.output import confirm
from spresso_assets.cli.state import state_of

if TYPE_CHECKING:
    from spresso_assets.catalog.engine import Catalog
    from spresso_assets.jobs.plan import Plan

CHUNK = 500
ASK_FROM_SECONDS = 3600.0


def encode(
    ctx: typer.Context,
    query: Annotated[
        list[str] | None, typer.Argument(help="Which sounds, as in 'spresso search'; nothing: all of them.")
    ] = None,
    profile: Annotated[str | None, typer.Option(help="Encoding profile; the catalog's default if not given.")] = None,
    limit: Annotated[int, typer.Option(min=0, help="At most this many; 0 for all.")] = 0,
    enqueue: Annotated[bool, typer.Option("--enqueue", help="Queue the work for background workers.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before more than an hour of sound.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Estimate only.")] = False,
) -> None:
    """Encode sounds that a profile still lacks. What is encoded already is not encoded again."""
    state = state_of(ctx)
    catalog = state.catalog()
    if not dry_run:
        state.register_bundle(catalog)
    plan = make_plan(catalog, " ".join(query or []), profile, limit)
    record: dict[str, Any] = {
        "profile": plan.profile,
        "sounds": len(plan.assets),
        "seconds": plan.seconds,
        "estimated_bytes": plan.estimated_bytes,
        "dry_run": dry_run,
    }
    head = (
        f"{len(plan.assets)} sounds lack {plan.profile}: {format.length(plan.seconds)}, "
        f"about {format.size(plan.estimated_bytes)} of latents"
    )
    if dry_run or not plan.assets:
        state.out.result(record, lambda: [head])
        return
    if plan.seconds > ASK_FROM_SECONDS:
        confirm(f"{head}. Encode them?", yes=yes)
    enqueue_plan(catalog, plan)
    if enqueue:
        record["messages"] = pipeline.leave_to_workers(state, catalog)
        state.out.result(record, lambda: [head, f"queued; told the workers about {record['messages']} jobs"])
        return
    with pipeline.make_context(state) as context:
        summary = pipeline.run_jobs(state, catalog, context)
    record["run"] = summary.as_dict()
    state.out.result(record, lambda: [head, *pipeline.lines_of(summary)], exit_code=pipeline.exit_code_of(summary))


def make_plan(catalog: Catalog, query: str, profile: str | None, limit: int) -> Plan:
    """What is to be encoded.

    Raises:
        SpressoError: `unknown_profile`, `no_profiles`, `bad_query`.
    """
    from dataclasses import replace

    from spresso_assets.catalog.profiles import get_profile
    from spresso_assets.catalog.search import search_ids
    from spresso_assets.jobs.plan import plan_missing

    with catalog.read() as session:
        wanted = get_profile(session, profile)
        plan = plan_missing(session, wanted, set(search_ids(session, query)) if query else None)
    if limit and len(plan.assets) > limit:
        assets = plan.assets[:limit]
        seconds = sum(asset.duration for asset in assets)
        share = seconds / plan.seconds if plan.seconds else 0.0
        plan = replace(plan, assets=assets, seconds=seconds, estimated_bytes=round(plan.estimated_bytes * share))
    return plan


def enqueue_plan(catalog: Catalog, plan: Plan) -> None:
    """Queue the plan's work in short transactions."""
    from spresso_assets.catalog.profiles import get_profile
    from spresso_assets.jobs.plan import enqueue_encode

    for at in range(0, len(plan.assets), CHUNK):
        with catalog.session() as session:
            profile = get_profile(session, plan.profile)
            for asset in plan.assets[at : at + CHUNK]:
                enqueue_encode(session, asset, profile)
