"""Worker processes and a broker for as long as a measurement takes."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from sqlalchemy import func, select
from sqlmodel import col

from spresso_assets.catalog.engine import Catalog
from spresso_assets.catalog.models import Job, Worker
from spresso_assets.errors import SpressoError

LOOK_S = 0.05


def free_port() -> int:
    """A port on which nobody listens yet."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def redis_server(folder: Path, port: int) -> Iterator[None]:
    """A private server without persistence."""
    command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as server:
        try:
            wait_for(lambda: _answers(port), 20, "redis-server")
            yield
        finally:
            server.terminate()


def _answers(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 0.2) as connection:
        connection.sendall(b"PING\r\n")
        return connection.recv(16).startswith(b"+PONG")
    return False


@contextlib.contextmanager
def process(module: str, *args: str, environment: Mapping[str, str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run a Python module in a process of its own; ended in order afterwards, or killed."""
    with log.open("ab") as output:
        started = subprocess.Popen(
            [sys.executable, "-m", module, *args],
            env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield started
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(started.pid, signal.SIGTERM)
        try:
            started.wait(60)
        except subprocess.TimeoutExpired:
            os.killpg(started.pid, signal.SIGKILL)
            started.wait()


def wait_for(condition: Callable[[], bool], seconds: float, what: str, every_s: float = LOOK_S) -> None:
    """Look until it is true.

    Args:
        every_s: how often; looking takes time from what is measured.

    Raises:
        SpressoError: ``bench_timeout``.
    """
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise SpressoError(
                f"waited {seconds:.0f} s for {what}", code="bench_timeout", hint="Is the machine busy with other work?"
            )
        time.sleep(every_s)


def living_workers(catalog: Catalog, *, loaded: bool = False) -> int:
    """Workers that have reported and not ended; with ``loaded`` those whose codec is loaded."""
    statement = select(func.count()).select_from(Worker).where(col(Worker.state) != "stopped")
    if loaded:
        statement = statement.where(col(Worker.weights_sha256).is_not(None))
    with catalog.read() as session:
        return session.connection().execute(statement).scalar_one()


def jobs_left(catalog: Catalog, kinds: Sequence[str] = ("probe", "encode")) -> int:
    """Jobs of these kinds that wait or run."""
    statement = select(func.count()).where(col(Job.kind).in_(kinds), col(Job.status).in_(("queued", "running")))
    with catalog.read() as session:
        return session.connection().execute(statement).scalar_one()


def resident_bytes(pid: int) -> int:
    """Memory of a process that is in RAM (Linux)."""
    pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")
