"""Which jobs the doorbell rings for; no broker is asked."""

from __future__ import annotations

from pathlib import Path

import pytest

from spresso_assets.catalog.engine import open_catalog
from spresso_assets.jobs import queue
from spresso_assets.jobs.control import pause_queue
from workers import doorbell


def test_a_paused_queue_is_not_rung_for(catalog_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doorbell, "ring", lambda jobs: len(list(jobs)))
    catalog = open_catalog(catalog_file)
    with catalog.session() as session:
        queue.enqueue(session, "probe", "probe:1")
        queue.enqueue(session, "encode", "encode:1")
    assert doorbell.ring_waiting(catalog) == (2, 2)
    with catalog.session() as session:
        pause_queue(session, "encode", by="me")
    assert doorbell.ring_waiting(catalog) == (1, 1)
    catalog.close()
