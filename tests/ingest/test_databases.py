"""One scan story on every database: new, moved, changed, quick, capped, away and back."""

from __future__ import annotations

from pathlib import Path

import pytest

from spresso_assets.catalog.engine import Catalog
from spresso_assets.errors import SpressoError
from tests.catalog.conftest import catalog, catalog_url, postgres_server
from tests.ingest.conftest import Library

__all__ = ["catalog", "catalog_url", "postgres_server"]


def test_scans_mean_the_same_on_every_database(catalog: Catalog, tmp_path: Path) -> None:
    library = Library(catalog, tmp_path / "sfx")
    for n in range(40):
        library.put(f"{n % 4}/take {n}.wav")
    library.put("Käse_%.wav")
    assert library.scan().counts["new"] == 41
    (library.folder / "0").rename(library.folder / "nul")
    (library.folder / "Käse_%.wav").rename(library.folder / "KÄSE_%.wav")
    library.put("1/take 1.wav", b"rewritten")
    report = library.scan()
    assert (report.counts["moved"], report.changed, report.counts["missing"]) == (11, ["1/take 1.wav"], 0)
    assert library.scan(quick=True).unchanged == 41
    assert library.scan(under=["1/take 1.wav", "nul", "none/at all.wav"]).unchanged == 11
    away = library.folder.rename(tmp_path / "away")
    with pytest.raises(SpressoError, match="root_offline"):
        library.scan()
    assert set(library.states().values()) == {"offline"}
    away.rename(library.folder)
    assert library.scan(quick=True).unchanged == 41 and set(library.states().values()) == {"present"}
    for folder in ("2", "3"):
        (library.folder / folder).rename(tmp_path / folder)
    report = library.scan()
    assert [problem.error.code for problem in report.problems] == ["removal_cap"]
    assert library.scan(accept_removals=True).counts["missing"] == 20
    (tmp_path / "3").rename(library.folder / "3")
    assert library.scan(under="3").counts["back"] == 10
    assert len(library.read) == 42
