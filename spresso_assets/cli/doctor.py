"""`spresso doctor`: look at everything that could stand in the way, and say what to do about it."""

from __future__ import annotations

from typing import Annotated

import typer

from spresso_assets.cli import format
from spresso_assets.cli.state import state_of
from spresso_assets.errors import ExitCode, SpressoError


def doctor(
    ctx: typer.Context,
    fix: Annotated[
        bool, typer.Option("--fix", help="First mend what is safe: jobs of dead workers, pauses by faults, statistics.")
    ] = False,
    gpu: Annotated[bool, typer.Option("--gpu", help="Load torch and ask it for GPUs; takes some seconds.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="With --fix: mend nothing.")] = False,
) -> None:
    """Check database, model, GPU, broker, workers, folders and jobs. Exit code 5 when something needs you.

    The output of 'spresso doctor --json' is what to paste into a bug report; it holds no passwords.
    """
    state = state_of(ctx)
    from spresso_assets.cli.checks import Level, run_checks
    from spresso_assets.cli.checks.mending import mend

    fixed = []
    if fix and not dry_run:
        try:
            fixed = list(mend(state.catalog()))
        except SpressoError as error:
            state.out.warn(f"nothing was mended: {error.message}")
    findings = [*fixed, *run_checks(state, gpu=gpu)]
    problems = [finding for finding in findings if finding.level is Level.PROBLEM]

    def text() -> list[str]:
        rows = [(finding.level.value, finding.about, finding.message) for finding in findings]
        lines = format.columns(("", "ABOUT", "FOUND"), rows)
        lines += [f"-> {finding.about}: {finding.hint}" for finding in findings if finding.hint]
        return [*lines, f"{len(problems)} problem{'s' * (len(problems) != 1)}"]

    state.out.result(
        [finding.record() for finding in findings], text, exit_code=ExitCode.FINDINGS if problems else ExitCode.OK
    )
