"""Several worker processes under one: starts them, starts them anew when they die, ends them in order.

Children are started as new programs, never forked: a process that is forked after torch was used hangs.
"""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from spresso_assets.errors import ExitCode
from workers.process import SUPERVISED

STEP_S = 0.2
# A child that dies at once is started less and less often.
FIRST_PAUSE_S, LONGEST_PAUSE_S, HEALTHY_AFTER_S = 0.5, 60.0, 60.0
# What a child ends with when starting it again would only end the same way.
HOPELESS = frozenset({ExitCode.USAGE, ExitCode.CATALOG_MISSING, ExitCode.CATALOG_LOCKED, ExitCode.MODEL_MISSING})
log = logging.getLogger(__name__)


@dataclass
class _Child:
    command: Sequence[str]
    process: subprocess.Popen[bytes] | None = None
    started_at: float = 0.0
    start_at: float = 0.0
    pause_s: float = FIRST_PAUSE_S
    done: bool = False  # drained: it is not wanted back

    @property
    def runs(self) -> bool:
        return self.process is not None and self.process.poll() is None


@dataclass
class Supervisor:
    """Keeps one process per command alive.

    Args:
        commands: argument lists.
        environment: of the children.
    """

    commands: Sequence[Sequence[str]]
    environment: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))
    exit_code: int = int(ExitCode.OK)
    _stopping: bool = False

    def __post_init__(self) -> None:
        self._children = [_Child(command) for command in self.commands]
        self._environment = {**self.environment, SUPERVISED: str(os.getpid())}

    def stop(self, *_: Any) -> None:
        """Let all children finish what they have in work, then end. A signal handler."""
        self._stopping = True

    def run(self) -> int:
        """Until `stop`, until all were drained, or until one cannot work at all; returns the exit code."""
        signal.signal(signal.SIGTERM, self.stop)
        signal.signal(signal.SIGINT, self.stop)
        told = False
        try:
            while not all(child.done for child in self._children):
                for child in self._children:
                    self._look_after(child)
                if self._stopping and not told:
                    told = True
                    self._signal(signal.SIGTERM)
                time.sleep(STEP_S)
        finally:
            self._signal(signal.SIGKILL)
        return self.exit_code

    def _look_after(self, child: _Child) -> None:
        if child.done or child.runs:
            return
        if child.process is not None:
            self._take_note(child, child.process.wait())
            child.process = None
        if self._stopping:
            child.done = True
        elif not child.done and time.monotonic() >= child.start_at:
            child.started_at = time.monotonic()
            child.process = subprocess.Popen(child.command, env=self._environment, start_new_session=True)

    def _take_note(self, child: _Child, status: int) -> None:
        if status == ExitCode.OK:
            child.done = True
        elif status in HOPELESS:
            self.exit_code, self._stopping, child.done = status, True, True
        elif not self._stopping:
            lived_s = time.monotonic() - child.started_at
            child.pause_s = FIRST_PAUSE_S if lived_s > HEALTHY_AFTER_S else min(child.pause_s * 2, LONGEST_PAUSE_S)
            child.start_at = time.monotonic() + child.pause_s
            log.warning("a worker process ended with %s; starting another in %.0f s", status, child.pause_s)

    def _signal(self, number: int) -> None:
        for child in self._children:
            if child.process is not None and child.runs:
                child.process.send_signal(number)
