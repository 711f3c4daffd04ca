"""The measurements measure: small ones run through, and give figures that can be true."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from spresso_assets.bench.catalog_scale import measure_catalog
from spresso_assets.bench.figures import Figure
from spresso_assets.bench.folders import write_folder
from spresso_assets.bench.overhead import measure_embedded, measure_through_redis
from spresso_assets.cli.main import main


def quiet(_line: str) -> None:
    pass


def test_targets() -> None:
    assert Figure("a", 9.9, at_most=10).met and not Figure("a", 10.1, at_most=10).met
    assert Figure("a", 1.8, at_least=1.8).met and not Figure("a", 1.7, at_least=1.8).met
    assert Figure("a", 1).met is None and Figure("a", 1).target == ""


def test_sounds_to_measure_with_are_all_different(tmp_path: Path) -> None:
    seconds = write_folder(tmp_path, 30, shortest_s=0.05, longest_s=0.1)
    contents = {path.read_bytes() for path in tmp_path.rglob("*.wav")}
    assert len(contents) == 30 and 1.5 <= seconds <= 3


def test_handling_is_measured_without_reading(tmp_path: Path) -> None:
    figure = measure_embedded(tmp_path, 24, quiet)
    assert figure.unit == "ms" and 0 < figure.value < 10_000 and figure.facts["jobs"] == 48


@pytest.mark.redis
@pytest.mark.skipif(shutil.which("redis-server") is None, reason="the program redis-server is not installed")
def test_handling_is_measured_through_redis(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPRESSO_CATALOG", "")  # restored afterwards: the measurement sets both
    monkeypatch.setenv("SPRESSO_BROKER_URL", "")
    figure = measure_through_redis(tmp_path, 24, quiet)
    assert figure is not None and 0 < figure.value < 10_000


def test_only_known_parts(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "pipeline", "--only", "overhead,speed"]) == 2
    assert "speed" in capsys.readouterr().err


def test_a_catalog_is_asked_and_weighed(tmp_path: Path) -> None:
    figures = measure_catalog(str(tmp_path / "catalog.db"), 1200, quiet)
    assert [figure.unit for figure in figures] == ["ms", "ms", "s", "MB"]
    assert all(figure.value > 0 and "1200 sounds" in figure.name for figure in figures)
