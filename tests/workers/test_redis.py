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
def worker(environment: dict[str, str], log: Path, *options: str) -> Iterator[subprocess.Popen[bytes]]:
    """A worker process, as the documentation starts it."""
    command = [sys.executable, "-m", "spresso_assets.cli.main", "worker", *options]
    with log.open("ab") as output:
        process = subprocess.Popen(
            command, env=environment, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
        )
        try:
            yield process
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGTERM)
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def alive(program: Program) -> list[str]:
    return [worker["name"] for worker in program.data("workers", "list") if worker["alive"]]


def test_work_is_done_by_a_worker_process(program: Program, redis_url: str, tmp_path: Path) -> None:
    program.environment["SPRESSO_BROKER_URL"] = redis_url
    sounds, log = tmp_path / "sfx", tmp_path / "worker.log"
    make_sounds(sounds, [f"{n}.wav" for n in range(4)])
    assert program.run("init").returncode == 0
    # Every message is delivered twice, every job done once.
    assert program.data("ingest", sounds, "--enqueue")["messages"] == 4
    assert program.data("ingest", sounds, "--enqueue")["messages"] == 4

    def encoded() -> bool:
        return bool(program.data("stats")["encoded"] == 4)

    with worker(program.environment, log) as process:
        wait_for(encoded, 120, f"the worker; its log: {log}")
        jobs = program.data("jobs", "list")
        assert {(job["status"], job["attempt"]) for job in jobs} == {("succeeded", 1)}
        assert sorted(job["kind"] for job in jobs) == ["encode"] * 4 + ["probe"] * 4

        # A worker that is killed, and a broker that forgets everything: the next worker finds the work by itself.
        process.kill()
        process.wait()
    assert alive(program) == []
    make_sounds(sounds, ["late.wav"])
    program.data("ingest", sounds, "--enqueue")
    import redis

    redis.Redis.from_url(redis_url).flushall()
    with worker(program.environment, log) as process:
        wait_for(lambda: bool(program.data("stats")["encoded"] == 5), 120, f"the table; log: {log}")
        assert program.data("workers", "drain", "--all", "--wait")["workers"] == 1
        assert process.wait(30) == 0
    assert alive(program) == []


def test_a_broker_that_dies_stops_no_work(program: Program, tmp_path: Path) -> None:
    """Nobody answers at this address, and the worker keeps trying; meanwhile it finds its jobs by itself."""
    program.environment["SPRESSO_BROKER_URL"] = "redis://:canary@127.0.0.1:1/0"
    sounds, log = tmp_path / "sfx", tmp_path / "worker.log"
    make_sounds(sounds, ["a.wav"])
    program.run("init")
    with worker(program.environment, log, "--queues", "io"):
        assert program.run("ingest", sounds, "--enqueue").returncode == 12
        wait_for(lambda: program.data("stats")["assets"] == 1, 60, f"the worker; its log: {log}")
    assert "canary" not in log.read_text(), "a password is never told"


def test_processes_of_a_supervisor_are_started_anew_when_they_die(program: Program, tmp_path: Path) -> None:
    """Without a broker, too: workers look into the catalog."""
    log = tmp_path / "worker.log"
    program.run("init")
    with worker(program.environment, log, "--queues", "io", "--processes", "2", "--name", "team") as supervisor:
        wait_for(lambda: alive(program) == ["team-0", "team-1"], 60, f"two workers; log: {log}")
        children = subprocess.run(
            ["ps", "-o", "pid=", "--ppid", str(supervisor.pid)], capture_output=True, text=True, check=True
        ).stdout.split()
        os.kill(int(children[0]), signal.SIGKILL)
        wait_for(lambda: len(alive(program)) == 1, 30, "its death to be seen")
        wait_for(lambda: alive(program) == ["team-0", "team-1"], 60, f"another one; log: {log}")
        assert program.data("workers", "drain", "team", "--wait")["workers"] == 2
        assert supervisor.wait(30) == 0, "drained workers are not started anew"


def test_what_cannot_work_is_said_once(program: Program) -> None:
    done = program.run("worker", "--queues", "io,nonsense")
    assert done.returncode == 2 and "unknown_queue" in done.stderr
    assert program.run("worker").returncode == 10, "no catalog"
    program.run("init")
    assert program.run("worker", "--device", "cuda:99").returncode == 2
    program.environment["SPRESSO_BROKER_URL"] = "amqp://guest:secret@localhost"
    done = program.run("worker")
    assert done.returncode == 2 and "broker_unsupported" in done.stderr and "secret" not in done.stderr


def test_broker_that_is_down_is_said(program: Program, tmp_path: Path) -> None:
    program.environment["SPRESSO_BROKER_URL"] = "redis://127.0.0.1:1/0"
    sounds = tmp_path / "sfx"
    make_sounds(sounds, ["a.wav"])
    program.run("init")
    done = program.run("ingest", sounds, "--enqueue")
    assert done.returncode == 12 and "broker_unreachable" in done.stderr
    assert program.data("stats")["waiting_jobs"] == {"probe": 1}
    assert program.run("doctor").returncode == 5
