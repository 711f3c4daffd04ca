"""What compose.yaml starts, as plain processes: the same commands, variables and secrets; servers that ask for them.

There is no container engine where these tests run. What is left out are the walls around the processes, not what
they say to each other.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.catalog.conftest import postgres_programs
from tests.cli.conftest import make_sounds
from tests.deploy.files import DEPLOY, REPOSITORY, compose
from tests.workers.test_redis import wait_for

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.redis,
    pytest.mark.skipif(shutil.which("redis-server") is None, reason="the program redis-server is not installed"),
    pytest.mark.skipif(postgres_programs() is None, reason="no Postgres programs on this machine"),
]
SOUNDS = [f"Library {n % 2}/sound {n}.wav" for n in range(6)]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Installation:
    """Processes of services, their logs, and the secrets that they are given."""

    def __init__(self, folder: Path, bundle: Path) -> None:
        self.folder, self.archive = folder, folder / "archive"
        self.ports = {name: free_port() for name in ("redis", "postgres", "metrics")}
        self.secrets = folder / "secrets"
        self.services = compose("compose.yaml", variables={"ARCHIVE": str(self.archive)})["services"]
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.extra = {"SPRESSO_BUNDLE": str(bundle), "SPRESSO_SETTLE_S": "0", "OMP_NUM_THREADS": "1"}
        hosts = {"DB_HOST": f"127.0.0.1:{self.ports['postgres']}", "REDIS_HOST": f"127.0.0.1:{self.ports['redis']}"}
        subprocess.run(
            ["sh", DEPLOY / "make-secrets.sh", self.secrets],
            env={"PATH": os.environ["PATH"], **hosts},
            check=True,
            capture_output=True,
        )

    def here(self, value: str) -> str:
        """A command's word or a variable as it is outside of a container."""
        value = value.replace("/run/secrets", str(self.secrets)).replace("0.0.0.0", "127.0.0.1")
        return str(self.ports["metrics"]) if value == "9464" else value

    def environment(self, service: str) -> dict[str, str]:
        given = {key: self.here(value) for key, value in self.services[service]["environment"].items()}
        path = f"{postgres_programs()}{os.pathsep}{os.environ['PATH']}"
        home = {"PATH": path, "HOME": str(self.folder / "home"), "PYTHONPATH": str(REPOSITORY)}
        return {**home, **self.extra, **given}

    def command(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "spresso_assets.cli.main", *words]

    def run(self, service: str, *words: str) -> subprocess.CompletedProcess[str]:
        """`docker compose run SERVICE WORDS`, or the service's own command."""
        command = self.command(*(words or [self.here(word) for word in self.services[service]["command"]]))
        done = subprocess.run(
            command, env=self.environment(service), cwd=self.folder, capture_output=True, text=True, timeout=120
        )
        with (self.folder / "run.log").open("a") as log:
            log.write(done.stdout + done.stderr)
        return done

    def data(self, *words: str) -> Any:
        done = self.run("worker-cpu", *words, "--json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)["data"]

    def start(self, service: str) -> None:
        """`docker compose up -d SERVICE`."""
        words = [self.here(word) for word in self.services[service]["command"]]
        with (self.folder / f"{service}.log").open("ab") as log:
            self.processes[service] = subprocess.Popen(
                self.command(*words), env=self.environment(service), cwd=self.folder, stdout=log, stderr=log
            )

    def stop(self, service: str) -> int:
        """`docker compose stop SERVICE`; returns the exit code."""
        process = self.processes.pop(service)
        process.send_signal(signal.SIGTERM)
        return process.wait(90)

    def metrics(self) -> dict[tuple[str, ...], float]:
        """Name and labels' values of every figure -> the figure."""
        from prometheus_client.parser import text_string_to_metric_families

        with urllib.request.urlopen(f"http://127.0.0.1:{self.ports['metrics']}/metrics", timeout=20) as answer:
            families = text_string_to_metric_families(answer.read().decode())
            return {(s.name, *s.labels.values()): s.value for family in families for s in family.samples}

    def renditions(self) -> int:
        """How many sounds are encoded; asked of the database, because a command takes a second to start."""
        import psycopg

        with psycopg.connect((self.secrets / "catalog_url").read_text()) as connection:
            row = connection.execute("SELECT count(*) FROM rendition WHERE status = 'ready'").fetchone()
        assert row is not None
        return int(row[0])

    def passwords(self) -> set[str]:
        text = " ".join(path.read_text() for path in self.secrets.iterdir())
        return set(re.findall(r"[0-9a-f]{48}", text))

    def spoken(self) -> str:
        """All logs, and the command lines that every user of the machine can read."""
        logs = [path.read_text(errors="replace") for path in self.folder.glob("*.log")]
        lines = []
        for entry in Path("/proc").glob("[0-9]*/cmdline"):
            with contextlib.suppress(OSError):
                lines.append(entry.read_text(errors="replace"))
        return "\n".join(logs + lines)


@contextlib.contextmanager
def redis_server(installation: Installation) -> Iterator[None]:
    """With our configuration file, whose secret is the one that was made."""
    text = (DEPLOY / "redis.conf").read_text().replace("/run/secrets", str(installation.secrets))
    config, port = installation.folder / "redis.conf", installation.ports["redis"]
    config.write_text(text)
    options = ["--port", str(port), "--bind", "127.0.0.1"]
    with (installation.folder / "redis.log").open("wb") as log:
        server = subprocess.Popen(
            ["redis-server", str(config), *options], cwd=installation.folder, stdout=log, stderr=log
        )

    def refuses() -> bool:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 0.5) as connection:
            connection.sendall(b"PING\r\n")
            return connection.recv(32).startswith(b"-NOAUTH")
        return False

    try:
        wait_for(refuses, 20, "redis-server, which asks for a password")
        yield
    finally:
        server.terminate()
        server.wait(20)


@contextlib.contextmanager
def postgres_server(installation: Installation) -> Iterator[None]:
    """On a port of its own, with passwords; set up by our script, as the image runs it."""
    programs = postgres_programs()
    assert programs is not None
    # pytest closes its folders to the user that the server runs as
    folder, port = Path(tempfile.mkdtemp(prefix="pg-")), installation.ports["postgres"]
    as_user: list[str] = []
    if os.geteuid() == 0:
        as_user = ["runuser", "-u", "postgres", "--"]
        shutil.chown(folder, "postgres")

    def run(*command: object) -> None:
        subprocess.run([*as_user, *map(str, command)], check=True, capture_output=True, cwd="/")

    data = folder / "data"
    run(
        programs / "initdb",
        "-D",
        data,
        "-U",
        "postgres",
        "--auth-local=trust",
        "--auth-host=scram-sha-256",
        "--no-sync",
    )
    options = f"-c listen_addresses=127.0.0.1 -c port={port} -c unix_socket_directories={folder} -c fsync=off"
    run(programs / "pg_ctl", "-D", data, "-w", "-l", folder / "server.log", "-o", options, "start")
    try:
        superuser = ["-U", "postgres", "-h", folder, "-p", str(port), "-v", "ON_ERROR_STOP=1"]
        subprocess.run(
            [programs / "psql", *superuser, "-f", DEPLOY / "postgres-init.sql"],
            env={**os.environ, "CATALOG_PASSWORD_FILE": str(installation.secrets / "catalog_password")},
            check=True,
            capture_output=True,
        )
        yield
    finally:
        run(programs / "pg_ctl", "-D", data, "-m", "fast", "stop")
        (installation.folder / "postgres.log").write_text((folder / "server.log").read_text(errors="replace"))
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def installation(tmp_path: Path, tiny_bundle: Path) -> Iterator[Installation]:
    made = Installation(tmp_path, tiny_bundle)
    with redis_server(made), postgres_server(made):
        try:
            yield made
        finally:
            for process in made.processes.values():
                process.kill()
                process.wait()


def test_from_nothing_to_the_first_sound_and_down_again(installation: Installation) -> None:
    archive = installation.archive
    make_sounds(archive, SOUNDS)
    before = {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in archive.rglob("*.wav")}

    # As in docs/operations/install.md.
    assert installation.run("migrate").returncode == 0
    assert installation.run("migrate").returncode == 0, "whenever anything is started, it runs again"
    added = installation.run("watcher", "root", "add", str(archive))
    assert added.returncode == 0, added.stderr
    for service in ("watcher", "worker-cpu", "metrics"):
        installation.start(service)

    def encoded(number: int) -> bool:
        assert all(process.poll() is None for process in installation.processes.values()), "one has ended"
        return installation.renditions() == number

    wait_for(lambda: encoded(len(SOUNDS)), 150, f"the first sounds; logs: {installation.folder}")
    make_sounds(archive, ["Library 0/later.wav"], seconds=0.5)
    wait_for(lambda: encoded(len(SOUNDS) + 1), 90, "a sound that came later")
    assert {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in before} == before

    # Two processes, both in the list; the figures say what was done.
    workers = installation.data("workers", "list")
    assert len(workers) == 2 and all(worker["alive"] for worker in workers)
    told = installation.metrics()
    assert told["spresso_catalog_up",] == 1 and told["spresso_assets",] == len(SOUNDS) + 1
    assert told["spresso_jobs", "encode", "succeeded"] == told["spresso_renditions", "2.5kbps"] == len(SOUNDS) + 1
    assert sum(key[0] == "spresso_worker_heartbeat_age_seconds" for key in told) == 2

    # Somebody gets a sound.
    (found,) = installation.data("search", "later")
    done = installation.run("worker-cpu", "decode", found["uid"], "-o", str(installation.folder / "later.wav"))
    assert done.returncode == 0 and (installation.folder / "later.wav").stat().st_size > 1000
    doctor = installation.run("worker-cpu", "doctor", "--json")
    assert '"level": "problem"' not in doctor.stdout.lower(), doctor.stdout

    # The nightly backup, while all goes on.
    kept = installation.folder / "backup"
    kept.mkdir()
    done = installation.run("backup", "db", "backup", str(kept))
    assert done.returncode == 0 and len(list(kept.glob("*.dump"))) == 1, done.stderr

    # No password is said or shown, while all of it runs.
    spoken = installation.spoken()
    assert not [password for password in installation.passwords() if password in spoken]

    # Told to stop, each finishes and ends well; the workers say goodbye.
    assert {name: installation.stop(name) for name in list(installation.processes)} == {
        "watcher": 0,
        "worker-cpu": 0,
        "metrics": 0,
    }
    assert installation.data("workers", "list") == []
    assert not [password for password in installation.passwords() if password in installation.spoken()]
