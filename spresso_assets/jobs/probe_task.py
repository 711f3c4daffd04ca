"""Probe: look at files in the sandbox, then link them to sounds and ask for encoding, in one transaction per batch."""

from collections.abc import Sequence

from sqlalchemy import select
from sqlmodel import Session, col

from spresso_assets.catalog.assets import link_source
from spresso_assets.catalog.engine import Catalog
from spresso_assets.catalog.models import SourceFile, WatchRoot
from spresso_assets.errors import FaultKind, SpressoError
from spresso_assets.ingest.place import tag_by_folders
from spresso_assets.jobs import queue
from spresso_assets.jobs.closing import close_each
from spresso_assets.jobs.context import TaskContext
from spresso_assets.jobs.faults import as_spresso_error
from spresso_assets.jobs.keeper import LeaseKeeper
from spresso_assets.jobs.outcome import Outcome
from spresso_assets.jobs.plan import enqueue_encode, profile_for
from spresso_assets.jobs.queue import Claim
from spresso_assets.jobs.sandbox import ProbeResult
from spresso_assets.jobs.source import Source, source_of_file

NOT_THE_FILES_FAULT = frozenset({"file_changed", "file_vanished", "source_missing", "internal_error"})


def run_probes(catalog: Catalog, claims: Sequence[Claim], context: TaskContext) -> list[Outcome]:
    """Probe the files of some claimed jobs; one outcome per claim, in order."""
    timings = context.timings
    with timings.measure("database"), catalog.read() as session:
        held = _load(session, claims)
        sources = [_source(session, claim) for claim in claims]
        del held
    with LeaseKeeper(catalog, claims, context.lease_s) as keeper, timings.measure("reading"):
        results = _look(context, sources)
    for result in results:
        if isinstance(result, dict):
            for name, seconds in (result.get("timings") or {}).items():
                timings.add(f"probe_{name.removesuffix('_s')}", seconds)

    def write(session: Session, position: int) -> Outcome:
        return _write(session, claims[position], sources[position], results[position])

    def spoil(session: Session, position: int, error: SpressoError) -> None:
        _mark_unreadable(session, claims[position], error)

    with timings.measure("database"):
        paths = [str(source.path) if isinstance(source, Source) else "" for source in sources]
        return close_each(catalog, claims, keeper, paths, write, spoil, lambda session: _load(session, claims))


def _load(session: Session, claims: Sequence[Claim]) -> list[object]:
    """Files and roots of all claims; a session knows them as long as they are held."""
    files = select(SourceFile).where(col(SourceFile.id).in_([claim.source_file_id for claim in claims]))
    found: list[object] = list(session.execute(files).scalars())
    roots = select(WatchRoot).where(col(WatchRoot.id).in_({file.root_id for file in found}))  # type: ignore[attr-defined]
    return found + list(session.execute(roots).scalars())


def _source(session: Session, claim: Claim) -> Source | SpressoError:
    try:
        return source_of_file(session, claim.source_file_id or 0)
    except SpressoError as error:
        return error


def _look(context: TaskContext, sources: Sequence[Source | SpressoError]) -> list[ProbeResult | SpressoError]:
    """One result or error per source. What was read counts only if the file is the same before and after."""
    faults = [_fault_of(source) for source in sources]
    there = [
        source for source, fault in zip(sources, faults, strict=True) if fault is None and isinstance(source, Source)
    ]
    found = iter(context.prober().probe_many([source.path for source in there]) if there else [])
    results: list[ProbeResult | SpressoError] = []
    for source, fault in zip(sources, faults, strict=True):
        result = next(found) if fault is None else fault
        results.append(fault or _fault_of(source) or result)
    return results


def _fault_of(source: Source | SpressoError) -> SpressoError | None:
    if isinstance(source, SpressoError):
        return source
    try:
        source.check()
    except SpressoError as error:
        return error
    return None


def _write(
    session: Session, claim: Claim, source: Source | SpressoError, result: ProbeResult | SpressoError
) -> Outcome:
    if isinstance(source, SpressoError):
        raise source
    if isinstance(result, SpressoError):
        raise result
    file = session.get_one(SourceFile, claim.source_file_id)
    if (file.size, file.mtime_ns) != (source.size, source.mtime_ns):
        raise SpressoError(
            f"{source.path.name} was scanned anew while it was read",
            code="file_changed",
            hint="The newer scan has queued it again",
        )
    asset, what = link_source(session, file, result)
    if what == "moved" or session.get_one(WatchRoot, file.root_id).tags_from_dirs:
        assert asset.id is not None
        tag_by_folders(session, asset.id)
    if claim.params.get("encode", True):
        profile = profile_for(session, file, claim.params.get("profile"))
        if profile is not None:
            enqueue_encode(session, asset, profile, trigger=claim.trigger, batch_id=claim.batch_id)
    queue.finish(session, claim, {"outcome": what, "asset": asset.uid})
    return Outcome(claim.uid, claim.kind, "succeeded", what, str(source.path), asset.uid, asset.duration)


def _mark_unreadable(session: Session, claim: Claim, error: SpressoError) -> None:
    """Remember on the file why its sound is not in the catalog; files that only changed or vanished are the scan's."""
    fault = as_spresso_error(error)
    if fault.kind is not FaultKind.PERMANENT or fault.code in NOT_THE_FILES_FAULT:
        return
    file = session.get_one(SourceFile, claim.source_file_id)
    file.sqlmodel_update({"state": "unreadable", "error_code": fault.code, "error_message": fault.message})
    session.add(file)
