"""A worker in the background: the loop, a pulse that reports it, and the ways to end it."""

import logging
import os
import platform
import sys
import threading
from collections.abc import Callable, Sequence

from spresso_assets import __version__
from spresso_assets.catalog.columns import now_us
from spresso_assets.catalog.engine import Catalog
from spresso_assets.catalog.models import Worker
from spresso_assets.errors import SpressoError
from spresso_assets.jobs import roster
from spresso_assets.jobs.context import TaskContext
from spresso_assets.jobs.loop import BATCH, WorkLoop
from spresso_assets.jobs.outcome import Outcome

POLL_S = 1.0
REST_S = 5.0  # after the catalog could not be reached
log = logging.getLogger(__name__)


class BackgroundWorker:
    """Takes jobs until it is stopped or drained. What wakes it up is a hint: when idle it looks by itself.

    Args:
        queues: in the order in which they are served.
        name: for people; unique while it runs.
        device: what its codec runs on.
        poll_s: how often it looks when nobody wakes it.
        beat_s: how often it reports.
        on_batch: called after every batch.
    """

    def __init__(
        self,
        catalog: Catalog,
        context: TaskContext,
        queues: Sequence[str],
        *,
        name: str = "",
        device: str = "cpu",
        batch: int = BATCH,
        poll_s: float = POLL_S,
        beat_s: float = roster.BEAT_S,
        on_batch: Callable[[list[Outcome]], None] | None = None,
    ) -> None:
        self.catalog, self.context = catalog, context
        self.name = name or f"{platform.node()}-{os.getpid()}"
        self.device, self.poll_s, self.beat_s = device, poll_s, beat_s
        self.loop = WorkLoop(catalog, context, queues, batch=batch)
        self.jobs_done = self.jobs_failed = 0
        self._on_batch = on_batch
        self._state = "idle"
        self._progress_at = now_us()
        self._wake = threading.Event()
        self._ending = threading.Event()
        self._ended = threading.Event()

    @property
    def ending(self) -> bool:
        """Whether it takes nothing new any more."""
        return self._ending.is_set()

    def wake(self) -> None:
        """There may be work."""
        self._wake.set()

    def stop(self) -> None:
        """End after the batch in work; when idle within ``poll_s``. Callable from signal handlers and any thread."""
        # not by waking it up: a handler may interrupt its own thread inside of `wake`, which would then hold the lock
        self._ending.set()

    def start(self) -> threading.Thread:
        """Run in a thread of its own: the main thread is for signals, and may wait for messages meanwhile."""
        thread = threading.Thread(target=self.run, name="work", daemon=True)
        thread.start()
        return thread

    def run(self) -> None:
        """Work until `stop` is called or somebody asks this worker to drain."""
        self._sign_on()
        pulse = threading.Thread(target=self._pulse, name="pulse", daemon=True)
        pulse.start()
        try:
            while not self.ending:
                self._wake.clear()
                try:
                    busy = self._step()
                except SpressoError as error:  # of the catalog: locked, unreachable, full
                    log.warning("%s; trying again", error)
                    self._ending.wait(REST_S)
                    continue
                except Exception:
                    log.exception("a batch ended in a defect of this program; its jobs went back to the queue")
                    self._ending.wait(REST_S)
                    continue
                if not busy:
                    self._wake.wait(self.poll_s)
        finally:
            self._ended.set()
            self._ending.set()
            pulse.join()
            self.context.close()

    def _step(self) -> bool:
        """Do one batch; whether there was one."""
        self._progress_at = now_us()
        if self._state == "idle" and not self.loop.anything_ready():
            return False
        self._state = "busy"
        outcomes = self.loop.next_batch()
        self._state = "busy" if outcomes else "idle"
        self.jobs_done += sum(outcome.status == "succeeded" for outcome in outcomes)
        self.jobs_failed += sum(outcome.status == "failed" for outcome in outcomes)
        if outcomes and self._on_batch is not None:
            self._on_batch(outcomes)
        return bool(outcomes)

    def _sign_on(self) -> None:
        row = Worker(
            owner=self.loop.owner,
            name=self.name,
            queues=list(self.loop.queues),
            device=self.device,
            version=__version__,
            **vars(self._report()),
        )
        with self.catalog.session() as session:
            roster.sign_on(session, row)

    def _report(self) -> roster.Report:
        state = "stopped" if self._ended.is_set() else "draining" if self.ending else self._state
        codec = self.context.loaded
        return roster.Report(
            state,
            self._progress_at,
            self.jobs_done,
            self.jobs_failed,
            roster.memory_bytes(),
            _device_memory(self.device),
            None if codec is None else codec.weights_sha256,
        )

    def _pulse(self) -> None:
        """Report every few seconds and once at the end; learn whether somebody wants this worker to drain."""
        while not self._ended.is_set():
            # while it drains it reports on, until the batch in work is done
            self._beat()
            (self._ended if self.ending else self._ending).wait(self.beat_s)
        self._beat()

    def _beat(self) -> None:
        try:
            with self.catalog.session() as session:
                drain = roster.beat(session, self.loop.owner, self._report())
            if drain is None:
                self._sign_on()
            elif drain:
                self.stop()
        except SpressoError as error:
            log.warning("could not report: %s", error)


def _device_memory(device: str) -> int | None:
    """Memory of the device that is taken for this process; None on a CPU and before torch was needed."""
    torch = sys.modules.get("torch")
    if torch is None or not device.startswith("cuda"):
        return None
    return int(torch.cuda.memory_reserved(device))
