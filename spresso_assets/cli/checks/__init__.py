"""What `spresso doctor` looks at, one file per subject. Each check finds facts or problems and changes nothing; a check
that cannot run is a problem too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from spresso_assets.cli.checks import broker, database, folders, machine, mending, model, staff, work
from spresso_assets.cli.checks.finding import Finding, Level, problem
from spresso_assets.errors import SpressoError

if TYPE_CHECKING:
    from spresso_assets.catalog.engine import Catalog
    from spresso_assets.cli.state import State

__all__ = ["Finding", "Level", "mending", "run_checks"]


def run_checks(state: State, *, gpu: bool = False) -> list[Finding]:
    """All checks, in the order in which a person would want to mend things.

    Args:
        gpu: load torch and ask it; without this only the system is asked.
    """
    findings = list(machine.versions(state.settings.catalog))
    catalog: Catalog | None = None
    try:
        catalog = state.catalog()
        findings.append(Finding(Level.OK, "catalog", f"{catalog.location.shown}, schema {catalog.revision()}"))
    except SpressoError as error:
        findings.append(problem("catalog", error))
    checks: list[tuple[str, Callable[[], Iterator[Finding]]]] = []
    if catalog is not None:
        opened = catalog
        checks += [("database", lambda: database.check(opened))]
    checks += [
        ("model", lambda: model.check(state, catalog)),
        ("GPU", lambda: machine.gpu(gpu)),
        ("broker", lambda: broker.check(state.settings.broker_url)),
    ]
    if catalog is not None:
        opened = catalog
        checks += [
            ("workers", lambda: staff.check(opened)),
            ("roots", lambda: folders.check(opened)),
            ("jobs", lambda: work.check(opened)),
        ]
    for about, check in checks:
        try:
            findings += check()
        except SpressoError as error:
            findings.append(problem(about, error))
    return findings
