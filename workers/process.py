"""One worker process: loads what it needs, works in one thread, listens in another, ends in order."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from spresso_assets.config import Settings, load_settings
from spresso_assets.errors import ExitCode, SpressoError
from spresso_assets.jobs.cores import usable_cores
from spresso_assets.jobs.queue import QUEUES

if TYPE_CHECKING:
    from spresso_assets.codec.codec import SPresso
    from spresso_assets.jobs.context import TaskContext
    from spresso_assets.jobs.outcome import Outcome
    from spresso_assets.jobs.worker import BackgroundWorker

LOOK_S = 1.0  # how often an idle worker looks by itself when messages wake it, too
LOOK_ALONE_S = 0.25  # and when nothing else does
CPU_BATCH_S, GPU_BATCH_S_PER_GIB, LARGEST_BATCH_S = 120.0, 10.0, 1200.0
GPU_BATCH = 64  # sounds; a GPU that gets 16 short ones at a time is mostly idle
SUPERVISED = "SPRESSO_SUPERVISOR"  # process id of the supervisor that started this process


@dataclass(frozen=True)
class WorkerOptions:
    """What a worker process does.

    Attributes:
        queues: in the order in which they are served.
        device: `cpu`, or `cuda:0` and so on.
        threads: of torch; 0 for all cores.
        batch_s: most seconds of sound in one batch; 0 to fit the device.
        name: for people; host and process if empty.
        events: tell Flower about messages.
    """

    queues: tuple[str, ...] = QUEUES
    device: str = "cpu"
    threads: int = 0
    batch_s: float = 0.0
    name: str = ""
    events: bool = False


def make_worker(
    options: WorkerOptions,
    settings: Settings | None = None,
    on_batch: Callable[[list[Outcome]], None] | None = None,
    context: TaskContext | None = None,
) -> BackgroundWorker:
    """A worker that is ready to start.

    Args:
        context: instead of one that loads the bundle of the settings.

    Raises:
        SpressoError: as opening a catalog does; `no_such_device`.
    """
    from spresso_assets.catalog.engine import open_catalog
    from spresso_assets.codec.bundle import default_bundle, read_entropy
    from spresso_assets.jobs.context import TaskContext
    from spresso_assets.jobs.loop import BATCH
    from spresso_assets.jobs.worker import BackgroundWorker

    check_device(options.device)
    settings = settings or load_settings()
    catalog = open_catalog(settings.catalog)

    def load_codec() -> SPresso:
        return _load_codec(options, settings)

    batch_s = options.batch_s or batch_seconds(options.device)
    return BackgroundWorker(
        catalog,
        context
        or TaskContext(
            load_codec,
            probe_workers=settings.workers,
            batch_s=batch_s,
            load_entropy=lambda: read_entropy(settings.bundle or default_bundle()),
        ),
        options.queues,
        name=options.name,
        device=options.device,
        batch=BATCH if options.device == "cpu" else GPU_BATCH,
        poll_s=LOOK_ALONE_S if settings.broker_url is None else LOOK_S,
        on_batch=on_batch,
    )


def run(
    options: WorkerOptions,
    settings: Settings,
    on_batch: Callable[[list[Outcome]], None] | None = None,
    context: TaskContext | None = None,
) -> BackgroundWorker:
    """Work until a stop signal or a request to drain; the batch in work is finished first. Main thread only.

    Returns:
        the worker, which has ended.

    Raises:
        SpressoError: as `make_worker`; `broker_unsupported`.
        KeyboardInterrupt: the second time that a person asks; jobs in work then go back to the queue by themselves.
    """
    worker = make_worker(options, settings, on_batch, context)
    if os.environ.get(SUPERVISED) == str(os.getppid()):
        threading.Thread(target=_stop_with_parent, args=(worker,), name="parent", daemon=True).start()
    if settings.broker_url is None:
        _stop_on_signals(worker.stop)
        _wait_for(worker.start())
        return worker
    # the app reads its settings itself, as it does for Celery's own programs
    os.environ["SPRESSO_BROKER_URL"] = settings.broker_url.get_secret_value()
    from celery.exceptions import SecurityWarning

    from workers.app import app
    from workers.tasks import serve

    # Celery warns of root because of pickled messages; this app takes JSON only
    warnings.filterwarnings("ignore", category=SecurityWarning)
    listener = app.Worker(
        hostname=f"{worker.name}@spresso",
        queues=",".join(options.queues),
        loglevel="WARNING",
        quiet=True,
        task_events=options.events,
        without_gossip=True,
        without_mingle=True,
        without_heartbeat=not options.events,
    )
    serve(worker)
    thread = worker.start()
    threading.Thread(target=_stop_listening, args=(thread,), name="drain", daemon=True).start()
    listener.start()  # until SIGTERM or SIGINT, which reach the worker through Celery's signal
    worker.stop()
    _wait_for(thread)
    return worker


def _stop_with_parent(worker: BackgroundWorker) -> None:
    """A supervisor that was killed must not leave workers behind that nobody looks after."""
    parent = os.getppid()
    while os.getppid() == parent:
        time.sleep(LOOK_S)
    worker.stop()


def _stop_listening(thread: threading.Thread) -> None:
    """When the worker was drained, the process has no more reason to listen."""
    thread.join()
    from celery.worker import state

    state.should_stop = int(ExitCode.OK)


def _wait_for(thread: threading.Thread) -> None:
    while thread.is_alive():  # in steps: a join without a limit would hold signals back
        thread.join(0.5)


def _stop_on_signals(stop: Callable[[], None]) -> None:
    def handle(number: int, _frame: Any) -> None:
        stop()
        if number == signal.SIGINT:
            signal.signal(signal.SIGINT, signal.default_int_handler)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, handle)


def _load_codec(options: WorkerOptions, settings: Settings) -> SPresso:
    # torch comes in here, with the first job that needs it, in the process that uses it
    import torch

    from spresso_assets.codec.bundle import default_bundle, load_bundle

    torch.set_num_threads(options.threads or usable_cores())
    with contextlib.suppress(RuntimeError):  # it can be set once
        torch.set_num_interop_threads(1)
    return load_bundle(settings.bundle or default_bundle(), options.device)


def check_device(device: str) -> None:
    """Make sure that the device is there; imports torch for any other than the CPU.

    Raises:
        SpressoError: `no_such_device`.
    """
    if device == "cpu":
        return
    import torch

    kind, _, number = device.partition(":")
    there = torch.cuda.device_count() if kind == "cuda" and torch.cuda.is_available() else 0
    if kind != "cuda" or not number.isdigit() or int(number) >= there:
        raise SpressoError(
            f"there is no device '{device}' here",
            code="no_such_device",
            hint=f"Devices: {', '.join(['cpu', *(f'cuda:{n}' for n in range(there))])}",
            exit_code=ExitCode.USAGE,
        )


def batch_seconds(device: str) -> float:
    """Seconds of sound that fit a device at once.

    A CPU does no more with more. Of a GPU's free memory every GiB is given ten seconds, which leaves most of it to the
    network: what a batch needs beyond that is found out by halving it.
    """
    if device == "cpu":
        return CPU_BATCH_S
    import torch

    free, _ = torch.cuda.mem_get_info(device)
    return min(max(free / 2**30 * GPU_BATCH_S_PER_GIB, CPU_BATCH_S), LARGEST_BATCH_S)
