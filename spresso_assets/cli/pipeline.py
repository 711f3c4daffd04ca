"""From finished scans to finished work: run the queue here with a progress bar, or leave it to the workers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from spresso_assets.cli import format
from spresso_assets.cli.state import State
from spresso_assets.errors import ExitCode, SpressoError

if TYPE_CHECKING:
    from spresso_assets.catalog.engine import Catalog
    from spresso_assets.jobs.context import TaskContext
    from spresso_assets.jobs.runner import Event, Summary

LABELS = {
    "probe": "reading",
    "cut": "cutting",
    "quantise": "quantising",
    "encode": "encoding",
    "transcode": "transcoding",
}


def make_context(state: State, *, encode: bool = True) -> TaskContext:
    """The task context of this command; without `encode`, encode jobs are left for others."""
    from spresso_assets.codec.bundle import read_entropy
    from spresso_assets.jobs.context import TaskContext

    return TaskContext(
        state.codec if encode else None,
        probe_workers=state.settings.workers,
        load_entropy=lambda: read_entropy(state.bundle_dir()),
    )


def run_jobs(state: State, catalog: Catalog, context: TaskContext) -> Summary:
    """Work the queue off, with a bar for reading and one for encoding; failures become one line each.

    Interrupted, the jobs in work go back to the queue and the next command goes on.
    """
    from spresso_assets.jobs.runner import EmbeddedRunner

    runner = EmbeddedRunner(catalog, context)
    ended = dict.fromkeys(LABELS, 0)
    with state.out.progress("reading", "sounds") as progress:

        def show(event: Event) -> None:
            for outcome in event.outcomes:
                if outcome.kind in ended:
                    ended[outcome.kind] += 1
            name = event.outcomes[-1].path.rpartition("/")[2] if event.outcomes else ""
            for kind, label in LABELS.items():
                left = event.backlog[kind].jobs if kind in event.backlog else 0
                if ended[kind]:
                    progress.update(ended[kind], ended[kind] + left, format.shorten(format.printable(name), 30), label)

        summary = runner.run(on_event=show)
    for outcome in summary.failures:
        if outcome.error is not None:
            state.out.failure(outcome.path or outcome.uid, outcome.error)
    if summary.waiting:
        state.out.warn(f"{summary.waiting} jobs wait for another try; run the same command again later")
    if summary.blocked is not None:
        state.out.warn(f"encoding stopped: {summary.blocked.message}")
    return summary


def leave_to_workers(state: State, catalog: Catalog) -> int:
    """Tell the workers about waiting jobs; returns how many messages were sent.

    Raises:
        SpressoError: `broker_unreachable` (exit code 12); the jobs stay queued either way.
    """
    from workers.doorbell import ring_waiting

    if state.settings.broker_url is None:
        return 0  # workers look into the catalog by themselves
    sent, waiting = ring_waiting(catalog)
    if waiting and not sent:
        raise SpressoError(
            "the broker does not answer",
            code="broker_unreachable",
            hint="The jobs are queued; workers find them by themselves once they run.",
            exit_code=ExitCode.BROKER_UNREACHABLE,
        )
    return sent


def exit_code_of(summary: Summary) -> ExitCode:
    """MODEL_MISSING when encoding could not work at all; failures of single sounds are counted by the output."""
    return ExitCode.OK if summary.blocked is None else ExitCode.MODEL_MISSING


def lines_of(summary: Summary) -> list[str]:
    """What a run did, for people."""
    read, made = summary.outcomes.get("probe", {}), summary.outcomes.get("encode", {})
    lines = []
    if read:
        lines.append(f"read      {_counts(read)}; {format.length(summary.seconds_probed)} of sound")
    if made:
        lines.append(
            f"encoded   {_counts(made)}; {format.length(summary.seconds_encoded)} of sound "
            f"into {format.size(summary.payload_bytes)}"
        )
    done = max(summary.seconds_probed, summary.seconds_encoded)
    if lines and summary.elapsed_s > 0:
        parts = [f"{name} {100 * share:.0f} %" for name, share in summary.shares().items() if share >= 0.005]
        times = f"{done / summary.elapsed_s:.0f} times real time"
        lines.append(f"time      {format.length(summary.elapsed_s)} ({times}): {', '.join(parts)}")
    return lines


def _counts(numbers: dict[str, Any]) -> str:
    return ", ".join(f"{number} {what}" for what, number in sorted(numbers.items()))
