"""Killed at any instant and started again, the rest is finished: nothing lost, nothing twice, the database intact."""

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from sqlmodel import select

from spresso_assets.catalog.engine import Catalog, open_catalog
from spresso_assets.catalog.models import Asset, Job, Rendition
from tests.jobs.sounds import enqueue_files, register, write_sound

ROOT = Path(__file__).parents[2]


def kill_during_ingest(url: str, seed: int) -> None:
    """Start the process and kill it after a random batch and a random moment more."""
    chance = random.Random(seed)
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.jobs.ingest_process", url],
        stdout=subprocess.PIPE,
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert process.stdout is not None
    for _ in range(chance.randint(1, 3)):
        process.stdout.readline()
    time.sleep(chance.random() * 0.02)  # lands inside claims, decoding, encoding and commits alike
    process.send_signal(signal.SIGKILL)
    process.wait()


def kill_and_check(catalog: Catalog, url: str, folder: Path, kills: int, files: int) -> None:
    for number in range(files):
        write_sound(folder / f"{number}.wav", seed=number, frames=480)
    assert enqueue_files(catalog, register(catalog, folder), folder) == files
    for number in range(kills):
        kill_during_ingest(url, seed=number)
        assert_never_between(catalog)
    # to the end, undisturbed
    subprocess.run([sys.executable, "-m", "tests.jobs.ingest_process", url], cwd=ROOT, check=True, capture_output=True)
    with catalog.read() as session:
        jobs = session.exec(select(Job)).all()
        assets = session.exec(select(Asset)).all()
        renditions = session.exec(select(Rendition)).all()
    assert Counter((job.kind, job.status) for job in jobs) == {
        ("probe", "succeeded"): files,
        ("encode", "succeeded"): files,
    }
    assert len(assets) == len(renditions) == len({rendition.asset_id for rendition in renditions}) == files
    if catalog.is_sqlite:
        with catalog.read() as session:
            assert session.connection().exec_driver_sql("PRAGMA integrity_check").scalar_one() == "ok"


def assert_never_between(catalog: Catalog) -> None:
    """A ready rendition exists if and only if its job succeeded; a linked file if and only if its probe did."""
    with catalog.read() as session:
        encoded = set(session.exec(select(Rendition.job_id).where(Rendition.status == "ready")))
        done = set(session.exec(select(Job.id).where(Job.kind == "encode", Job.status == "succeeded")))
    assert encoded == done


def test_kills_lose_nothing_and_double_nothing(catalog: Catalog, catalog_url: str, tmp_path: Path) -> None:
    kill_and_check(catalog, catalog_url, tmp_path / "sfx", kills=4, files=24)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_fifty_kills(tmp_path: Path) -> None:
    url = str(tmp_path / "catalog.db")
    kill_and_check(open_catalog(url, create=True), url, tmp_path / "sfx", kills=50, files=450)
