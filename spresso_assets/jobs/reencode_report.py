"""What a re-encoding has come to so far: sounds by how they ended, out of its jobs' results."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import select
from sqlmodel import Session, col

from spresso_assets.catalog.models import Asset, Batch, Job
from spresso_assets.jobs.queue import ACTIVE

MADE = ("cut", "quantised", "encoded", "transcoded")


@dataclass
class Report:
    """Sounds of one batch.

    Attributes:
        made: by way: cut, quantised, encoded, transcoded.
        already: had what was wanted. retired: old renditions that gave way. left: jobs that wait or run.
        failures: records with asset, code and message; of cancelled jobs there are none.
    """

    made: Counter[str] = field(default_factory=Counter)
    already: int = 0
    retired: int = 0
    payload_bytes: int = 0
    left: int = 0
    cancelled: int = 0
    failures: list[dict[str, Any]] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {**vars(self), "made": dict(self.made)}

    def lines(self) -> list[str]:
        """For people."""
        made = ", ".join(f"{number} {what}" for what, number in self.made.items()) or "nothing to make"
        parts = [f"{made}; {self.payload_bytes} bytes"]
        for number, what in (
            (self.already, "were there already"),
            (self.retired, "old renditions retired"),
            (len(self.failures), "failed"),
            (self.cancelled, "jobs cancelled"),
            (self.left, "jobs left"),
        ):
            if number:
                parts.append(f"{number} {what}")
        return [", ".join(parts)]


def report(session: Session, batch: Batch) -> Report:
    """Add up the results of a batch's jobs."""
    found = Report()
    statement = (
        select(col(Job.status), col(Job.result), col(Job.params), col(Job.error_code), col(Job.message), col(Asset.uid))
        .outerjoin(Asset, col(Asset.id) == col(Job.asset_id))
        .where(col(Job.batch_id) == batch.id)
        .execution_options(yield_per=1000)
    )
    for status, result, _params, code, message, asset_uid in session.connection().execute(statement):
        if status in ACTIVE:
            found.left += 1
        elif status == "cancelled":
            found.cancelled += 1
        elif status == "failed":
            found.failures.append({"asset": asset_uid or "", "code": code or "", "message": message or ""})
        else:
            _add(found, result or {})
    return found


def _add(found: Report, result: dict[str, Any]) -> None:
    what = result.get("outcome", "")
    if what in MADE:
        found.made[what] += result.get(what, 1)
    found.already += result.get("already", int(what == "already"))
    found.retired += result.get("retired", 0)
    found.payload_bytes += result.get("bytes", 0)
    found.failures += result.get("failures", [])
