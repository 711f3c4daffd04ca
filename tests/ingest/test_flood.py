"""Ten thousand small files copied in at once under a watcher that cannot keep up: events are lost, files are not."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from sqlalchemy import func
from sqlmodel import col, select

from spresso_assets.catalog.engine import Catalog
from spresso_assets.catalog.models import Asset, Job, SourceFile, WatchRoot
from tests.jobs.sounds import register, write_sound


def read_files(catalog: Catalog) -> int:
    with catalog.read() as session:
        read = select(func.count()).where(SourceFile.state == "present", col(SourceFile.asset_id).is_not(None))
        return session.exec(read).one()


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_every_file_of_a_flood_is_accounted_for(
    catalog: Catalog, catalog_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    number = int(os.environ.get("FLOOD_FILES", "10000"))
    (tmp_path / "sfx").mkdir()
    root_id = register(catalog, tmp_path / "sfx")
    with catalog.session() as session:
        session.get_one(WatchRoot, root_id).settle_s = 0.5
    for n in range(number):
        write_sound(tmp_path / f"source/library {n % 40}/take {n}.wav", n, frames=240)
    command = [sys.executable, "-m", "tests.ingest.watch_process", str(catalog_file)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2]) as process:
        assert process.stdout is not None
        try:
            assert process.stdout.readline() == "listening\n"
            for folder in (tmp_path / "source").iterdir():
                (tmp_path / "sfx" / folder.name).mkdir()
            time.sleep(1.0)  # the folders are being watched by now, so that a file is lost only by the queue
            process.send_signal(signal.SIGSTOP)
            began = time.monotonic()
            shutil.copytree(tmp_path / "source", tmp_path / "sfx", dirs_exist_ok=True)
            copied_s = time.monotonic() - began
            process.send_signal(signal.SIGCONT)
            while read_files(catalog) < number:
                assert process.poll() is None and time.monotonic() - began < 500, read_files(catalog)
                time.sleep(0.5)
            took_s = time.monotonic() - began
            process.terminate()
            told = json.loads(process.stdout.readlines()[-1])
        finally:
            process.kill()
    with capsys.disabled():
        lost = number - told["heard"]
        print(f"\nflood: {number} files copied in {copied_s:.1f} s, all read after {took_s:.1f} s; ", end="")
        print(f"events of {lost} files lost, {told['overflows']} warnings; scans {told['reports'][-3:]}")
    assert told["heard"] < number and told["overflows"] >= 1, "the flood must really lose events"
    with catalog.read() as session:
        states = session.exec(select(SourceFile.state, func.count()).group_by(col(SourceFile.state))).all()
        assert [tuple(row) for row in states] == [("present", number)]
        assert session.exec(select(func.count()).select_from(Asset)).one() == number
        jobs = session.exec(select(Job.status, func.count()).group_by(col(Job.status))).all()
        assert [tuple(row) for row in jobs] == [("succeeded", number)], "no file was read twice"
