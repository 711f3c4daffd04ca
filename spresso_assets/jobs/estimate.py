"""How long work will take on a machine like those that did such work for this catalog before."""

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import func, select
from sqlmodel import Session, col

from spresso_assets.catalog.models import EncodeProfile, Job

RECENT = 20_000  # jobs that are looked at
# Seconds of one core of a 2-core cloud machine per second of sound, with the bundle that ships: for catalogs without
# a history. docs/how-to/reencode.md says how they were measured.
DEFAULTS = {"retire": 0.0001, "cut": 0.0002, "quantise": 0.02, "encode": 0.03, "transcode": 0.6, "ladder": 2.0}


@dataclass(frozen=True)
class Estimate:
    """Seconds of one worker.

    Attributes:
        known: whether it rests on this catalog's own history alone; else on a default for some of the work.
    """

    seconds: float
    known: bool


def estimate(session: Session, sound_s: Mapping[str, float], frame_rate_hz: float) -> Estimate:
    """Machine time of so many seconds of sound, by kind of work.

    Args:
        frame_rate_hz: of the profile: history of the same rate counts before that of others.
    """
    speeds = _history(session)
    total, known = 0.0, True
    for kind, seconds in sound_s.items():
        if not seconds:
            continue
        done_as = "cut" if kind == "retire" else kind
        same = speeds.get((done_as, frame_rate_hz))
        others = [speed for (name, _), speed in speeds.items() if name == done_as]
        speed = same if same is not None else sum(others) / len(others) if others else None
        known = known and speed is not None
        total += seconds * (DEFAULTS[kind] if speed is None else speed)
    return Estimate(total, known)


def _history(session: Session) -> dict[tuple[str, float], float]:
    """Seconds of work per second of sound, by kind of job and frame rate of its profile, of the latest jobs."""
    newest = session.connection().execute(select(func.max(col(Job.id)))).scalar_one_or_none() or 0
    statement = (
        select(col(Job.kind), col(EncodeProfile.frame_rate_hz), func.sum(col(Job.run_s)), func.sum(col(Job.cost_s)))
        .join(EncodeProfile, col(EncodeProfile.id) == col(Job.profile_id))
        .where(
            col(Job.id) > newest - RECENT,
            col(Job.status) == "succeeded",
            col(Job.run_s).is_not(None),
            col(Job.cost_s) > 0,
        )
        .group_by(col(Job.kind), col(EncodeProfile.frame_rate_hz))
    )
    rows = session.connection().execute(statement)
    return {(kind, rate): (run_s or 0.0) / cost_s for kind, rate, run_s, cost_s in rows if cost_s}
