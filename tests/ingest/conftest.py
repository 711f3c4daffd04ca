"""A catalog, a root, and a probe that fingerprints file bytes instead of decoding sound."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlmodel import Session, select

from spresso_assets.catalog.assets import link_source
from spresso_assets.catalog.engine import Catalog, open_catalog
from spresso_assets.catalog.models import SourceFile
from spresso_assets.ingest.reconcile import Report, reconcile
from spresso_assets.ingest.roots import add_root


@pytest.fixture
def catalog(catalog_file: Path) -> Iterator[Catalog]:
    opened = open_catalog(catalog_file)
    yield opened
    opened.close()


class Library:
    """A folder of stand-in sounds, registered as root `sfx`; `scan` reads whatever became ready."""

    def __init__(self, catalog: Catalog, folder: Path) -> None:
        self.catalog = catalog
        self.folder = folder
        folder.mkdir()
        with catalog.session() as session:
            self.root_id = add_root(session, folder, name="sfx").id or 0
        self.read: list[str] = []

    def put(self, rel_path: str, content: bytes = b"", age_s: float = 3600) -> Path:
        """Write a file that was last changed `age_s` ago by its own clock."""
        file = self.folder / rel_path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content or rel_path.encode())
        when = file.stat().st_mtime_ns - int(age_s * 1e9)
        os.utime(file, ns=(when, when))
        return file

    def ready(self, session: Session, row: SourceFile) -> None:
        """Stands for a probe job: reads the file and links it at once."""
        self.read.append(row.rel_path)
        content = (self.folder / row.rel_path).read_bytes()
        digest = hashlib.sha256(content).hexdigest()
        probe: dict[str, Any] = {
            "audio_hash": f"pcm-sha256:{digest}",
            "frames": len(content),
            "duration_s": len(content) / 48_000,
            "sample_rate": 48_000,
            "channels": 1,
        }
        link_source(session, row, probe)

    def scan(self, **options: Any) -> Report:
        options.setdefault("settle_s", 0)
        return reconcile(self.catalog, self.root_id, self.ready, **options)

    def rows(self) -> dict[str, SourceFile]:
        with self.catalog.read() as session:
            return {row.rel_path: row for row in session.exec(select(SourceFile))}

    def states(self) -> dict[str, str]:
        return {path: row.state for path, row in self.rows().items()}

    def assets(self) -> dict[str, int | None]:
        return {path: row.asset_id for path, row in self.rows().items()}


@pytest.fixture
def library(catalog: Catalog, tmp_path: Path) -> Library:
    return Library(catalog, tmp_path / "sfx")
