"""What waits for a share that is away, and what does not."""

from __future__ import annotations

import shutil

import pytest
from sqlmodel import Session, select

from spresso_assets.catalog.models import Job, SourceFile
from spresso_assets.errors import SpressoError
from spresso_assets.jobs.plan import enqueue_probe
from tests.ingest.conftest import Library


def queued(library: Library) -> list[bool]:
    """Of each waiting job, whether it is held back."""
    with library.catalog.read() as session:
        return [job.not_before > 0 for job in session.exec(select(Job).where(Job.status == "queued"))]


def asked_for(session: Session, row: SourceFile) -> None:
    enqueue_probe(session, row)


def test_jobs_wait_for_a_root_that_is_away_and_for_no_other(library: Library) -> None:
    library.put("Doors/slam.wav")
    library.ready = asked_for  # type: ignore[method-assign]
    for _ in range(2):
        library.scan()
        assert queued(library) == [False], "a scan of a root that is there holds nothing back"

    away = library.folder.with_name("away")
    shutil.move(library.folder, away)
    with pytest.raises(SpressoError, match="root_offline"):
        library.scan()
    assert queued(library) == [True]

    shutil.move(away, library.folder)
    library.scan()
    assert queued(library) == [False], "back again, they begin at once"
