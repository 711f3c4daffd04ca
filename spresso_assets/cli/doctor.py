"""`spresso doctor`: look at everything that could stand in the way, and say what to do about it."""

from __future__ import annotations

import typer

from spresso_assets.cli import format
from spresso_assets.cli.state import state_of
from spresso_assets.errors import ExitCode


def doctor(ctx: typer.Context) -> None:
    """Check catalog, model, folders, disk and broker. Exit code 5 when something needs you.

    The output of 'spresso doctor --json' is what to paste into a bug report.
    """
    state = state_of(ctx)
    from spresso_assets.cli.checks import Level, run_checks

    findings = run_checks(state)
    problems = [finding for finding in findings if finding.level is Level.PROBLEM]

    def text() -> list[str]:
        rows = [(finding.level.value, finding.about, finding.message) for finding in findings]
        lines = format.columns(("", "ABOUT", "FOUND"), rows)
        lines += [f"-> {finding.about}: {finding.hint}" for finding in findings if finding.hint]
        return [*lines, f"{len(problems)} problem{'s' * (len(problems) != 1)}"]

    state.out.result(
        [finding.record() for finding in findings], text, exit_code=ExitCode.FINDINGS if problems else ExitCode.OK
    )
