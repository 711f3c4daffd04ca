"""A team on one machine: watcher, workers and broker as processes that may be killed at any moment.

Each is started again at once, as a service manager does. What has become of the sounds is read from the catalog and
the folder alone, so that nothing which a process believed counts.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import signal
import socket
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import func, select
from sqlmodel import Session, col

from spresso_assets.catalog.engine import Catalog
from spresso_assets.catalog.models import Asset, Job, Rendition, SourceFile
from spresso_assets.codec.bitstream import read_header
from spresso_assets.errors import SpressoError
from spresso_assets.jobs.encode_task import ALREADY
from tests.e2e.conftest import Program

REDIS_WITHOUT_PERSISTENCE = ("--save", "", "--appendonly", "no")
REDIS_WITH_PERSISTENCE = ("--save", "", "--appendonly", "yes", "--appendfsync", "everysec")


@dataclass
class Member:
    """A process of the team; `start` and `kill` in any order."""

    name: str
    command: Sequence[str]
    environment: dict[str, str]
    folder: Path
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with (self.folder / f"{self.name}.log").open("ab") as log:
            self.process = subprocess.Popen(
                self.command,
                env=self.environment,
                cwd=self.folder,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def signal(self, number: signal.Signals) -> None:
        """To the whole process group, children included."""
        assert self.process is not None
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, number)

    def kill(self) -> None:
        self.signal(signal.SIGKILL)
        assert self.process is not None
        self.process.wait()

    def stop(self) -> int:
        """Ask it to end and wait; killed only if it does not."""
        assert self.process is not None
        self.signal(signal.SIGTERM)
        try:
            return self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.kill()
            return -9


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def redis_member(folder: Path, port: int, options: Sequence[str]) -> Member:
    command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder), *options]
    return Member("redis", command, dict(os.environ), folder)


def program_member(name: str, program: Program, *args: str) -> Member:
    return Member(name, program.command(*args), program.environment, program.folder)


@contextlib.contextmanager
def running(members: Sequence[Member]) -> Iterator[None]:
    for member in members:
        member.start()
    try:
        yield
    finally:
        for member in reversed(members):
            member.stop()


def wait_for(condition: Callable[[], bool], seconds: float, what: str) -> None:
    """Poll until true: the other side is another process."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited {seconds:.0f} s for {what}"
        time.sleep(0.2)


@dataclass(frozen=True)
class Account:
    """What became of the sounds in a folder.

    Attributes:
        files: sounds on disk.
        lost: those without a ready rendition of what they hold.
        double: results that were recorded more than once.
        corrupt: renditions whose bytes are not what was stored, or do not describe their sound.
        active: jobs that wait or run.
        failed: jobs that were given up.
    """

    files: int
    lost: list[str] = field(default_factory=list)
    double: list[str] = field(default_factory=list)
    corrupt: list[str] = field(default_factory=list)
    active: int = 0
    failed: list[str] = field(default_factory=list)

    @property
    def drained(self) -> bool:
        return not self.active and not self.lost


def account(catalog: Catalog, folder: Path) -> Account:
    """Compare the folder with the catalog."""
    files = {path.relative_to(folder).as_posix() for path in folder.rglob("*.wav")}
    with catalog.read() as session:
        ready = {
            asset_id
            for (asset_id,) in session.execute(select(col(Rendition.asset_id)).where(col(Rendition.status) == "ready"))
        }
        rows = session.execute(
            select(col(SourceFile.rel_path), col(SourceFile.asset_id)).where(col(SourceFile.state) == "present")
        ).all()
        kept = {path for path, asset_id in rows if asset_id in ready}
        double = [path for path, number in Counter(path for path, _ in rows).items() if number > 1]
        double += [path for path, _ in rows if path not in files]
        double += _done_twice(session)
        counted = session.execute(select(col(Job.status), func.count()).group_by(col(Job.status)))
        statuses = {status: number for status, number in counted}
        corrupt = _corrupt(session)
        given_up = session.execute(
            select(col(Job.kind), col(Job.error_code), col(Job.message)).where(col(Job.status) == "failed")
        )
        failed = [f"{kind} {code}: {message}" for kind, code, message in given_up]
    active = statuses.get("queued", 0) + statuses.get("running", 0)
    return Account(len(files), sorted(files - kept), double, corrupt, active, failed)


def _done_twice(session: Session) -> list[str]:
    # a job that found its work done, and did nothing, is no second result
    ended = session.execute(select(col(Job.dedupe_key), col(Job.result)).where(col(Job.status) == "succeeded"))
    often = Counter(key for key, result in ended if (result or {}).get("outcome") != ALREADY)
    jobs = [key for key, number in often.items() if number > 1]
    made = select(col(Rendition.asset_id)).group_by(col(Rendition.asset_id), col(Rendition.profile_id))
    return jobs + [f"rendition of asset {asset_id}" for (asset_id,) in session.execute(made.having(func.count() > 1))]


def _corrupt(session: Session) -> list[str]:
    found = []
    rows = session.execute(select(Rendition, Asset).join(Asset, col(Rendition.asset_id) == col(Asset.id)))
    for rendition, asset in rows:
        try:
            header = read_header(rendition.payload)
        except SpressoError as error:
            found.append(f"{asset.uid}: {error}")
            continue
        digest = hashlib.sha256(rendition.payload).hexdigest()
        if digest != rendition.payload_sha256 or (header.samples, header.sample_rate) != (
            asset.frames,
            asset.sample_rate,
        ):
            found.append(asset.uid)
    return found


class Feeder:
    """Somebody who keeps working in the folder: new sounds, copies, moves."""

    def __init__(self, folder: Path, write: Callable[[Path, int], None], every_s: float) -> None:
        self.folder, self._write, self._every_s = folder, write, every_s
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="feeder")
        self.written = 0

    def _run(self) -> None:
        from shutil import copyfile

        number = 0
        while not self._stop.wait(self._every_s):
            number += 1
            day = self.folder / f"day {number // 40}"
            day.mkdir(parents=True, exist_ok=True)
            path = day / f"take {number}.wav"
            self._write(path, number)
            if number % 7 == 0:
                copyfile(path, path.with_stem(f"copy of take {number}"))
            if number % 11 == 0:
                path.rename(path.with_stem(f"renamed take {number}"))
            self.written = number

    def __enter__(self) -> Feeder:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
