"""The end of a batch: every job's result and status in one transaction, each job on its own feet."""

from collections.abc import Callable, Sequence

from sqlmodel import Session

from spresso_assets.catalog.engine import Catalog
from spresso_assets.errors import SpressoError
from spresso_assets.jobs import queue
from spresso_assets.jobs.faults import as_spresso_error
from spresso_assets.jobs.keeper import LeaseKeeper
from spresso_assets.jobs.outcome import Outcome
from spresso_assets.jobs.queue import Claim


def close_each(
    catalog: Catalog,
    claims: Sequence[Claim],
    keeper: LeaseKeeper,
    paths: Sequence[str],
    write: Callable[[Session, int], Outcome],
    spoil: Callable[[Session, int, SpressoError], None] = lambda session, position, error: None,
    prepare: Callable[[Session], object] = lambda session: None,
) -> list[Outcome]:
    """Write the results of some jobs: all at once if nothing goes wrong, else each on its own.

    Args:
        write: stores the result at a position and finishes its job, or raises what went wrong with it; what it had
            written by then is undone.
        spoil: stores what else a failed job should leave behind.
        prepare: loads with one statement what `write` would load one by one; what it returns is held meanwhile.
    """
    with catalog.session() as session:
        held = prepare(session)
        outcomes = _close_together(session, claims, keeper, write)
        if outcomes is None:
            outcomes = [
                _close_one(session, claims[at], keeper, paths[at], write, spoil, at) for at in range(len(claims))
            ]
        del held
        done = [claims[at] for at, outcome in enumerate(outcomes) if outcome.status == "succeeded"]
        if done:
            queue.share_time(session, claims, done, keeper.elapsed_s)
    return outcomes


def _close_together(
    session: Session, claims: Sequence[Claim], keeper: LeaseKeeper, write: Callable[[Session, int], Outcome]
) -> list[Outcome] | None:
    """The usual case: no job failed. None, and nothing written, if one did: a savepoint for each costs too much."""
    if len(claims) == 1 or any(claim.id in keeper.cancelled for claim in claims):
        return None
    try:
        with session.begin_nested():
            return [write(session, at) for at in range(len(claims))]
    except Exception:
        return None


def _close_one(
    session: Session,
    claim: Claim,
    keeper: LeaseKeeper,
    path: str,
    write: Callable[[Session, int], Outcome],
    spoil: Callable[[Session, int, SpressoError], None],
    position: int,
) -> Outcome:
    try:
        if claim.id in keeper.cancelled:
            queue.cancelled(session, claim)
            return Outcome(claim.uid, claim.kind, "cancelled", path=path)
        try:
            with session.begin_nested():
                return write(session, position)
        except Exception as error:
            fault = as_spresso_error(error)
            if fault.code == "lease_lost":
                raise
            with session.begin_nested():
                status = queue.fail(session, claim, error)
                spoil(session, position, fault)
            return Outcome(claim.uid, claim.kind, status, path=path, error=fault)
    except SpressoError as error:
        if error.code != "lease_lost":
            raise
        return Outcome(claim.uid, claim.kind, "skipped", path=path)
