"""A small encoded catalog, and a bridge that serves it: made once for the whole run.

Tests in other folders import the two fixtures by name; see `tests.plugin_bridge.running`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from tests.plugin_bridge.running import FilledCatalog, Running, fill_catalog, running


@pytest.fixture(scope="session")
def bridge_catalog(tmp_path_factory: pytest.TempPathFactory, tiny_bundle: Path) -> FilledCatalog:
    """A catalog of eight encoded sounds. Shared: do not change it."""
    return fill_catalog(tmp_path_factory.mktemp("bridge"), tiny_bundle)


@pytest.fixture(scope="session")
def running_bridge(bridge_catalog: FilledCatalog, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A bridge on a free port. Shared: leave no slots and jobs behind that others would stumble over."""
    with running(bridge_catalog, tmp_path_factory.mktemp("served")) as served:
        yield served


@pytest.fixture
def client(running_bridge: Running) -> httpx2.Client:
    """Asks the running bridge, with its token."""
    return running_bridge.client
