"""Probe untrusted files in limited child processes: what crashes or hangs a decoder costs one file, not the run."""

import base64
import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from spresso_assets.errors import FaultKind, SpressoError

BASE_TIMEOUT_S = 120.0
SECONDS_PER_BYTE = 1e-6  # a slow share under load
RECYCLE_AFTER = 5000  # files; whatever a library leaks goes with the child
CHILD_MODULE = "spresso_assets.jobs.probe_child"

ProbeResult = dict[str, Any]  # `audio.probe.Probe` as a dict


class ProbePool:
    """Children that stay alive between files; started on first use.

    Args:
        workers: number of children.
        base_timeout_s: patience for one file, on top of a second per megabyte.
    """

    def __init__(self, workers: int = 1, base_timeout_s: float = BASE_TIMEOUT_S) -> None:
        self.base_timeout_s = base_timeout_s
        self._local = threading.local()
        self._children: set[_Child] = set()
        self._threads = ThreadPoolExecutor(workers, thread_name_prefix="probe")

    def probe_many(self, paths: Sequence[Path]) -> list[ProbeResult | SpressoError]:
        """One result or error per path, in order; never raises for a file's sake."""
        return list(self._threads.map(self._probe, paths))

    def close(self) -> None:
        """Stop the children; files in work are given up."""
        for child in list(self._children):
            child.kill()
        self._threads.shutdown(wait=True, cancel_futures=True)

    def _probe(self, path: Path) -> ProbeResult | SpressoError:
        child: _Child | None = getattr(self._local, "child", None)
        if child is None or child.files >= RECYCLE_AFTER or not child.alive:
            if child is not None:
                self._drop(child)
            child = _Child()
            self._children.add(child)
            self._local.child = child
        try:
            size = path.stat().st_size
        except OSError:
            size = 0
        try:
            return child.ask(path, self.base_timeout_s + size * SECONDS_PER_BYTE)
        except SpressoError as error:
            if not child.alive:
                self._drop(child)
            return error

    def _drop(self, child: "_Child") -> None:
        child.kill()
        self._children.discard(child)
        self._local.child = None


class _Child:
    """One process and the pipe to it; used by one thread at a time."""

    def __init__(self) -> None:
        self.files = 0
        self._pending = b""
        environment = {
            key: value
            for key, value in os.environ.items()
            if key in ("PATH", "LANG", "LC_ALL", "LC_CTYPE", "LD_LIBRARY_PATH", "PYTHONPATH", "VIRTUAL_ENV", "HOME")
        }
        environment |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
        self._process = subprocess.Popen(
            [sys.executable, "-m", CHILD_MODULE, str(os.getpid())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment,
            start_new_session=True,  # an interrupt at the terminal is for the parent, which decides
        )

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def ask(self, path: Path, timeout_s: float) -> ProbeResult:
        """Probe one file.

        Raises:
            SpressoError: the child's own error; ``decoder_crashed``, ``probe_timeout`` after which it is dead.
        """
        self.files += 1
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps({"path": os.fspath(path)}).encode("ascii") + b"\n")
            self._process.stdin.flush()
            reply = self._read_line(time.monotonic() + timeout_s)
        except TimeoutError:
            self.kill()
            raise SpressoError(
                f"{path.name} was not decoded within {timeout_s:.0f} s",
                code="probe_timeout",
                hint="It may be damaged; if the disk was slow: spresso jobs retry",
            ) from None
        except (BrokenPipeError, EOFError):
            raise self._crashed(path) from None
        if "error" in reply:
            fault = reply["error"]
            raise SpressoError(fault["message"], code=fault["code"], hint=fault["hint"], kind=FaultKind(fault["kind"]))
        found: ProbeResult = _decoded(reply["probe"])
        return found

    def kill(self) -> None:
        if self.alive:
            self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()

    def _read_line(self, deadline: float) -> dict[str, Any]:
        assert self._process.stdout is not None
        pipe = self._process.stdout.fileno()
        while b"\n" not in self._pending:
            ready, _, _ = select.select([pipe], [], [], max(0.0, deadline - time.monotonic()))
            if not ready:
                raise TimeoutError
            received = os.read(pipe, 1 << 20)
            if not received:
                raise EOFError
            self._pending += received
        line, _, self._pending = self._pending.partition(b"\n")
        reply: dict[str, Any] = json.loads(line)
        return reply

    def _crashed(self, path: Path) -> SpressoError:
        status = self._process.wait()
        reason = signal.Signals(-status).name if status < 0 else f"exit status {status}"
        return SpressoError(
            f"Decoding {path.name} crashed the decoder ({reason})",
            code="decoder_crashed",
            hint="The file is most likely damaged; no other file was affected",
        )


def _decoded(value: Any) -> Any:
    """The inverse of `probe_child.encoded`."""
    if isinstance(value, dict):
        if value.keys() == {"b64"}:
            return base64.b64decode(value["b64"])
        return {key: _decoded(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_decoded(item) for item in value]
    return value
