"""Fixtures that several rooms share: an untrained codec of two megabytes, an empty catalog, the shared corpus."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

# A deadline per example would make tests fail on a busy machine and prove nothing on an idle one.
settings.register_profile("any machine", deadline=None)
settings.load_profile("any machine")

# Before anything imports torch: on a busy machine two contending threads are several times slower than one.
os.environ.setdefault("OMP_NUM_THREADS", "1")

REPO = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def tiny_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle with random weights: every code path of the codec, no quality."""
    from spresso_assets.codec.bundle import write_random_bundle

    folder = tmp_path_factory.mktemp("bundle") / "tiny"
    write_random_bundle(folder, preset="tiny", seed=0)
    return folder


@pytest.fixture(scope="session")
def migrated_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty catalog file, made once: running the migrations takes longer than most tests."""
    from spresso_assets.catalog.engine import open_catalog

    file = tmp_path_factory.mktemp("catalog") / "empty.db"
    open_catalog(file, create=True).close()
    return file


@pytest.fixture
def catalog_file(migrated_file: Path, tmp_path: Path) -> Path:
    """A fresh empty catalog of this test."""
    return Path(shutil.copy(migrated_file, tmp_path / "catalog.db"))


@pytest.fixture
def corpus() -> Iterator[Path]:
    """The shared corpus of real sound effects, which is not part of the project."""
    folder = REPO.parent / "shared" / "corpus"
    if not folder.is_dir():
        pytest.skip("the shared corpus is not beside this checkout")
    yield folder
