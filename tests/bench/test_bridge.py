"""The measurement of the bridge measures: a small one runs through, and counts what goes wrong."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from spresso_assets.bench.bridge import Extent, _under_load, measure_bridge
from spresso_assets.bench.bridge_load import Load


def test_a_small_one_runs_through(tmp_path: Path, tiny_bundle: Path) -> None:
    figures = measure_bridge(tmp_path, tiny_bundle, Extent(300, 6, 10, 3, 1.0), lambda line: None)
    found = {figure.name: figure for figure in figures}
    assert len(found) == 11 and all(figure.value >= 0 for figure in figures)
    lengths = found["bodies of another length than promised"]
    assert lengths.value == 0 and lengths.facts["checked"] == 36
    errors = found["3 clients for 1 s: errors other than 429"]
    assert errors.value == 0 and errors.facts["statuses"]["200"] >= 3
    assert not (tmp_path / "cache").exists()


def test_only_a_full_queue_is_no_error() -> None:
    load = Load(statuses=Counter({200: 5, 429: 9, 500: 2, 503: 1}), broken=3, peak_bytes=1, seconds=1.0)
    errors, memory = _under_load(load, 100_000_000, Extent(clients=4, seconds=9))
    assert errors.value == 6 and errors.met is False
    assert memory.met and memory.at_most == 260
