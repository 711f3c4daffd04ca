"""What a piece of work costs: wall time, processor time, memory."""

from __future__ import annotations

import contextlib
import ctypes
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

STATUS = Path("/proc/self/status")
CLEAR = Path("/proc/self/clear_refs")


@contextmanager
def stopwatch(times: dict[str, Any], name: str) -> Iterator[None]:
    """Wall and CPU seconds of the block: on a shared machine only the second says what the work costs."""
    wall, cpu = time.perf_counter(), time.process_time()
    yield
    times[f"{name}_wall_s"] = round(time.perf_counter() - wall, 6)
    times[f"{name}_cpu_s"] = round(time.process_time() - cpu, 6)


@contextmanager
def peak_memory(found: dict[str, Any], name: str) -> Iterator[None]:
    """By how many bytes the resident memory of this process rose at most during the block.

    Linux keeps a high-water mark that a process may set back; elsewhere nothing is noted. What was freed before goes
    back to the system first, where the C library can do that: pages that it kept would be used again without counting.
    They then have to be fetched anew, so what is weighed is not to be timed. Weights that were loaded before do not
    count.
    """
    before = None
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
    with contextlib.suppress(OSError):
        CLEAR.write_text("5")  # sets VmHWM back to VmRSS, see proc_pid_clear_refs(5)
        before = _kilobytes("VmHWM")
    yield
    if before is not None and (after := _kilobytes("VmHWM")) is not None:
        found[f"{name}_bytes"] = max(0, after - before) * 1024


def _kilobytes(field: str) -> int | None:
    for line in os.fsdecode(STATUS.read_bytes()).splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1])
    return None
