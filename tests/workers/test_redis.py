"""A real Redis and a real worker process: what is queued here is done there, and done once when it is told twice."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.cli.conftest import make_sounds
from tests.e2e.conftest import Program, program

__all__ = ["program"]

pytestmark = [
    pytest.mark.redis,
    pytest.mark.skipif(shutil.which("redis-server") is None, reason="the program redis-server is not installed"),
]


def wait_for(condition: Callable[[], bool], seconds: float, what: str) -> None:
    """Poll until true: the other side is another process."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited {seconds:.0f} s for {what}"
        time.sleep(0.1)


@pytest.fixture
def redis_url(tmp_path: Path) -> Iterator[str]:
    """A private server on a port of its own, without persistence."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    options = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", str(tmp_path)]
    with subprocess.Popen(["redis-server", *options], stdout=subprocess.DEVNULL) as server:

        def answers() -> bool:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 0.2) as connection:
                connection.sendall(b"PING\r\n")
                return connection.recv(16).startswith(b"+PONG")
            return False

        wait_for(answers, 20, "redis-server")
        yield f"redis://127.0.0.1:{port}/0"
        server.terminate()


@contextlib.contextmanager
def worker(environment: dict[str, str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A Celery worker process, as the documentation starts it."""
    command = [sys.executable, "-m", "celery", "-A", "workers.app", "worker", "--pool", "solo", "--queues", "io,encode"]
    command += ["--loglevel", "info", "--without-gossip", "--without-mingle"]
    with log.open("ab") as output:
        process = subprocess.Popen(
            command, env=environment, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
        )
        try:
            yield process
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def test_work_is_done_by_a_worker_process(program: Program, redis_url: str, tmp_path: Path) -> None:
    program.environment["SPRESSO_BROKER_URL"] = redis_url
    sounds, log = tmp_path / "sfx", tmp_path / "worker.log"
    make_sounds(sounds, [f"{n}.wav" for n in range(4)])
    assert program.run("init").returncode == 0
    assert program.data("ingest", sounds, "--enqueue")["messages"] == 4
    # Told twice, done once.
    assert program.data("ingest", sounds, "--enqueue")["messages"] == 4

    def encoded() -> bool:
        return bool(program.data("stats")["encoded"] == 4)

    with worker(program.environment, log) as process:
        wait_for(encoded, 120, f"the worker; its log: {log}")
        jobs = program.data("jobs", "list")
        assert {job["status"] for job in jobs} == {"succeeded"}
        assert sorted(job["kind"] for job in jobs) == ["encode"] * 4 + ["probe"] * 4

        # A worker that is killed, and a broker that forgets everything: the next worker finds the work by itself.
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    make_sounds(sounds, ["late.wav"])
    program.data("ingest", sounds, "--enqueue")
    import redis

    redis.Redis.from_url(redis_url).flushall()
    with worker(program.environment, log):
        wait_for(lambda: bool(program.data("stats")["encoded"] == 5), 120, f"the sweeper; log: {log}")


def test_broker_that_is_down_is_said(program: Program, tmp_path: Path) -> None:
    program.environment["SPRESSO_BROKER_URL"] = "redis://127.0.0.1:1/0"
    sounds = tmp_path / "sfx"
    make_sounds(sounds, ["a.wav"])
    program.run("init")
    done = program.run("ingest", sounds, "--enqueue")
    assert done.returncode == 12 and "broker_unreachable" in done.stderr
    assert program.data("stats")["waiting_jobs"] == {"probe": 1}
    assert program.run("doctor").returncode == 5
