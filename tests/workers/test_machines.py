"""Several worker processes on one catalog, some of them as if on other machines: nothing is done twice or lost."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlmodel import func, select

from spresso_assets.catalog.engine import Catalog
from spresso_assets.catalog.models import Asset, Job, Rendition
from tests.catalog.conftest import catalog, catalog_url, postgres_server
from tests.jobs.sounds import enqueue_files, register, write_sound

__all__ = ["catalog", "catalog_url", "postgres_server"]

ROOT = Path(__file__).parents[2]


def wait_for(condition: Callable[[], bool], what: str, seconds: float = 90.0) -> None:
    """Poll until true: the other side is another process."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited for {what}"
        time.sleep(0.05)


@contextlib.contextmanager
def worker(
    url: str, seat: str = "here", lease_s: float = 120.0, slow_s: float = 0.0, wrapper: tuple[str, ...] = ()
) -> Iterator[subprocess.Popen[bytes]]:
    arguments = [*wrapper, sys.executable, "-m", "tests.workers.worker_process", url, seat, str(lease_s), str(slow_s)]
    process = subprocess.Popen(
        arguments,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)},
    )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGCONT)
        assert process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            process.stdin.close()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def until(process: subprocess.Popen[bytes], line: bytes) -> None:
    assert process.stdout is not None
    while (said := process.stdout.readline()) and said.strip() != line:
        pass
    assert said, f"the worker ended before it said {line!r}"


def statuses(catalog: Catalog) -> Counter[tuple[str, str]]:
    with catalog.read() as session:
        rows = session.exec(select(Job.kind, Job.status, func.count()).group_by(Job.kind, Job.status))
        return Counter({(kind, status): number for kind, status, number in rows})


def assert_done_once(catalog: Catalog, files: int) -> None:
    assert statuses(catalog) == {("probe", "succeeded"): files, ("encode", "succeeded"): files}
    with catalog.read() as session:
        renditions = session.exec(select(Rendition.asset_id)).all()
        assert len(renditions) == len(set(renditions)) == len(session.exec(select(Asset.id)).all()) == files


def done(catalog: Catalog, files: int) -> Callable[[], bool]:
    return lambda: statuses(catalog)["encode", "succeeded"] >= files


def folder_of(catalog: Catalog, tmp_path: Path, files: int) -> tuple[int, Path]:
    folder = tmp_path / "sfx"
    for number in range(files):
        write_sound(folder / f"{number}.wav", seed=number, frames=480)
    return register(catalog, folder), folder


def namespaces() -> tuple[str, ...]:
    """What gives a process its own process ids, host name and network; () where that is not allowed."""
    if shutil.which("unshare") is None:
        return ()
    wrapper = ("unshare", "--fork", "--pid", "--uts", "--mount-proc")
    works = subprocess.run([*wrapper, "true"], capture_output=True).returncode == 0
    return wrapper if works else ()


def test_a_worker_that_slept_past_its_lease_comes_too_late(catalog: Catalog, catalog_url: str, tmp_path: Path) -> None:
    root, folder = folder_of(catalog, tmp_path, 3)
    enqueue_files(catalog, root, folder)
    with worker(catalog_url, "machine-a", lease_s=1.0, slow_s=0.3) as sleeper:
        until(sleeper, b"encoding")
        sleeper.send_signal(signal.SIGSTOP)
        with worker(catalog_url, "machine-b", lease_s=30.0):
            wait_for(done(catalog, 3), "the other worker to take over")
            with catalog.read() as session:
                before = {row.id: (row.fence, row.finished_at) for row in session.exec(select(Job))}
                assert max(fence for fence, _ in before.values()) == 2, "the leases were taken over"
            sleeper.send_signal(signal.SIGCONT)
            late = write_sound(folder / "late.wav", seed=99, frames=480)
            enqueue_files(catalog, root, folder)
            wait_for(done(catalog, 4), f"more work, with the sleeper awake: {late.name}")
    with catalog.read() as session:
        after = {row.id: (row.fence, row.finished_at) for row in session.exec(select(Job)) if row.id in before}
    assert after == before, "what the sleeper wrote late was kept out"
    assert_done_once(catalog, 4)


def test_a_killed_worker_loses_nothing(catalog: Catalog, catalog_url: str, tmp_path: Path) -> None:
    root, folder = folder_of(catalog, tmp_path, 12)
    enqueue_files(catalog, root, folder)
    with worker(catalog_url, slow_s=30.0) as first:
        until(first, b"encoding")
        first.kill()
        first.wait()
        with worker(catalog_url):
            wait_for(done(catalog, 12), "the next worker, at once: it sees that the first is gone")
    assert_done_once(catalog, 12)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_two_machines_share_the_work(catalog: Catalog, catalog_url: str, tmp_path: Path) -> None:
    """Own process ids and host names, where the system lets us; else seats that say so."""
    root, folder = folder_of(catalog, tmp_path, 120)
    wrapper = namespaces()
    with (
        worker(catalog_url, "here" if wrapper else "machine-a", wrapper=wrapper) as a,
        worker(catalog_url, "here" if wrapper else "machine-b", wrapper=wrapper) as b,
    ):
        enqueue_files(catalog, root, folder)
        until(a, b"encoding")
        until(b, b"encoding")
        wait_for(done(catalog, 120), "both machines", seconds=300)
    with catalog.read() as session:
        fences = set(session.exec(select(Job.fence)))
    assert fences == {1}, "no job was begun twice"
    assert_done_once(catalog, 120)
