"""`spresso worker`: take jobs in the background, until stopped or drained."""

from __future__ import annotations

import logging
import os
import platform
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from spresso_assets.cli import format
from spresso_assets.cli.output import Mode
from spresso_assets.cli.state import State, state_of
from spresso_assets.config import FILE_SUFFIX
from spresso_assets.errors import ExitCode, SpressoError

if TYPE_CHECKING:
    from spresso_assets.jobs.outcome import Outcome


def worker(
    ctx: typer.Context,
    queues: Annotated[str, typer.Option(help="Queues to serve, the most urgent first.")] = "decode,encode,io",
    device: Annotated[str, typer.Option(help="cpu, cuda:0, or several as in cuda:0,cuda:1.")] = "cpu",
    processes: Annotated[int, typer.Option(min=1, max=256, help="Processes per device.")] = 1,
    threads: Annotated[
        int, typer.Option(min=0, help="Threads of each process; 0 to share the cores among the processes.")
    ] = 0,
    batch_seconds: Annotated[
        float, typer.Option(min=0, help="Most seconds of sound in one batch; 0 to fit the device.")
    ] = 0.0,
    name: Annotated[str, typer.Option(help="What 'spresso workers list' calls it; host and process by default.")] = "",
    events: Annotated[bool, typer.Option("--events", help="Let Flower see the wake-ups.")] = False,
) -> None:
    """Work in the background: take jobs from the catalog until stopped or drained.

    With a broker_url workers are woken up through Redis; without one they look into the catalog by themselves. Ctrl-C
    and SIGTERM let the batch in work end first. Several processes are looked after by this one.
    """
    state = state_of(ctx)
    from spresso_assets.jobs.cores import usable_cores

    served = _queues(queues)
    devices = [part.strip() for part in device.split(",") if part.strip()]
    state.catalog()  # a catalog that cannot be used is said at once, in one line
    count = len(devices) * processes
    threads = threads or max(1, usable_cores() // count)
    if count == 1:
        _work(state, served, devices[0], threads, batch_seconds, name, events)
        return
    from workers.supervisor import Supervisor

    base = name or f"{platform.node()}-{os.getpid()}"
    commands = [
        [
            *(sys.executable, "-m", "spresso_assets.cli.main", *_spoken(state), "worker", "--queues", ",".join(served)),
            *("--device", on, "--threads", str(threads), "--batch-seconds", str(batch_seconds)),
            *("--name", f"{base}-{number}", *(["--events"] if events else [])),
        ]
        for number, on in enumerate([on for on in devices for _ in range(processes)])
    ]
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="%(message)s")
    state.out.note(f"{count} worker processes of {threads} threads; Ctrl-C ends after the batches in work")
    environment = {**os.environ, **_settings_of(state), "OMP_NUM_THREADS": str(threads)}
    code = Supervisor(commands, environment).run()
    if code:
        raise typer.Exit(code)


def _work(
    state: State, queues: tuple[str, ...], device: str, threads: int, batch_s: float, name: str, events: bool
) -> None:
    from workers.process import WorkerOptions, run

    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="%(asctime)s %(message)s")
    state.close()  # a worker opens its own
    if state.out.mode is Mode.JSON:
        state.out.mode = Mode.JSONL  # what has no end never becomes one document
    options = WorkerOptions(queues, device, threads, batch_s, name, events)
    state.out.note(f"serving {', '.join(queues)} on {device}; Ctrl-C ends after the batch in work")

    def show(outcomes: list[Outcome]) -> None:
        counts = Counter(outcome.what or outcome.status for outcome in outcomes)
        kind = outcomes[0].kind
        seconds = sum(outcome.seconds for outcome in outcomes)
        if state.out.mode is Mode.JSONL:
            state.out.document({"event": "batch", "kind": kind, "seconds": seconds, **counts})
            sys.stdout.flush()
        else:
            told = ", ".join(f"{number} {what}" for what, number in sorted(counts.items()))
            state.out.note(f"{kind}: {told}; {format.length(seconds)} of sound")

    worker = run(options, state.settings, show)
    state.out.note(f"stopped after {worker.jobs_done} jobs, {worker.jobs_failed} of them failed")


def _queues(text: str) -> tuple[str, ...]:
    from spresso_assets.jobs.queue import QUEUES

    names = tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
    unknown = [name for name in names if name not in QUEUES]
    if unknown or not names:
        raise SpressoError(
            f"There is no queue '{unknown[0] if unknown else text}'",
            code="unknown_queue",
            hint=f"Queues: {', '.join(QUEUES)}",
            exit_code=ExitCode.USAGE,
        )
    return names


def _spoken(state: State) -> list[str]:
    """Global options that the processes shall share."""
    return ["--quiet"] if state.out.quiet else ["--jsonl"] if state.out.mode is not Mode.TEXT else []


def _settings_of(state: State) -> dict[str, str]:
    """Settings for the processes, through the environment: a command line, which all users can see, shows no secret.

    What lies in a file of its own stays there: the processes read it as this one did.
    """
    settings = state.settings
    found = {"SPRESSO_CATALOG": settings.catalog, "SPRESSO_WORKERS": str(settings.workers)}
    if settings.bundle is not None:
        found["SPRESSO_BUNDLE"] = str(settings.bundle)
    if settings.broker_url is not None:
        found["SPRESSO_BROKER_URL"] = settings.broker_url.get_secret_value()
    return {name: value for name, value in found.items() if not _lies_in_a_file(name, value)}


def _lies_in_a_file(name: str, value: str) -> bool:
    path = os.environ.get(name + FILE_SUFFIX)
    return path is not None and Path(path).read_text(encoding="utf-8").strip() == value
