"""Every test of this folder needs somebody else's program, so none runs unless it is asked for.

`pytest -m hosts tests/hosts -rs` runs those whose program is installed and says why the others are skipped;
`make test-hosts` installs the programs first.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.plugin_bridge.conftest import bridge_catalog, client, running_bridge

__all__ = ["bridge_catalog", "client", "running_bridge"]

HERE = Path(__file__).resolve().parent


def pytest_ignore_collect(config: pytest.Config) -> bool | None:
    """Not even read in the default run, where files whose program is missing would count as skipped."""
    return True if "not hosts" in config.option.markexpr else None


# Before pytest's own, which leaves out what `-m` does not name.
@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.hosts)
