"""From scans to finished work: queue what became ready, run it here or leave it to the workers, say what failed."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sqlmodel import Session

    from spresso_assets.catalog.models import SourceFile


def queue_probe(session: Session, file: SourceFile) -> None:
    """Queue the reading of a file that is ready; the same content is never queued twice."""
    from spresso_assets.jobs.queue import enqueue

    enqueue(session, "probe", f"probe:{file.id}:{file.size}:{file.mtime_ns}", source_file_id=file.id)
