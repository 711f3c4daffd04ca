"""SIGKILL of random members of a team over a live ingest: nothing lost, nothing twice, and the queue drains."""

from __future__ import annotations

import contextlib
import json
import random
import shutil
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import soundfile

from spresso_assets.catalog.engine import open_catalog
from spresso_assets.catalog.models import Rendition
from tests.catalog.conftest import new_database, postgres_server
from tests.e2e.conftest import Program
from tests.e2e.team import (
    REDIS_WITH_PERSISTENCE,
    REDIS_WITHOUT_PERSISTENCE,
    Feeder,
    account,
    free_port,
    program_member,
    redis_member,
    running,
    wait_for,
)

__all__ = ["postgres_server"]

pytestmark = [
    pytest.mark.redis,
    pytest.mark.skipif(shutil.which("redis-server") is None, reason="the program redis-server is not installed"),
]
VICTIMS = {"worker-a": 0.35, "worker-b": 0.35, "watcher": 0.15, "redis": 0.15}
PERSISTENCE = {"persistent": REDIS_WITH_PERSISTENCE, "forgetful": REDIS_WITHOUT_PERSISTENCE}


def write_sound(path: Path, number: int) -> None:
    """A third of a second of noise that no other number has, written under its name in one piece."""
    rng = np.random.default_rng(number)
    partial = path.with_suffix(".part")
    soundfile.write(partial, 0.1 * rng.standard_normal(16_000), 48_000, "PCM_16", format="WAV")
    partial.rename(path)


def kill_rounds(program: Program, database: str, redis: str, rounds: int, seed: int) -> dict[str, object]:
    """Kill so many times, let the team finish, and count; the figures of docs/reliability.md."""
    rng = random.Random(seed)
    sounds, port = program.folder / "sfx", free_port()
    sounds.mkdir()
    settings = {
        "SPRESSO_CATALOG": database,
        "SPRESSO_BROKER_URL": f"redis://127.0.0.1:{port}/0",
        "SPRESSO_RESCAN_S": "5",
    }
    program.environment.update(settings)
    assert program.run("init").returncode == 0
    assert program.run("root", "add", sounds).returncode == 0
    members = {
        member.name: member
        for member in (
            redis_member(program.folder, port, PERSISTENCE[redis]),
            program_member("watcher", program, "watch", "--enqueue"),
            program_member("worker-a", program, "worker"),
            program_member("worker-b", program, "worker"),
        )
    }
    catalog = open_catalog(database)
    killed: Counter[str] = Counter()
    interrupted = 0
    try:
        with running(list(members.values())):
            with Feeder(sounds, write_sound, every_s=0.35):
                wait_for(lambda: account(catalog, sounds).active > 0, 60, "the first job")
                for _ in range(rounds):
                    time.sleep(rng.uniform(0.3, 4.0))
                    (name,) = rng.choices(list(VICTIMS), list(VICTIMS.values()))
                    interrupted += account(catalog, sounds).active > 0
                    members[name].kill()
                    members[name].start()
                    killed[name] += 1
            stopped_feeding = time.monotonic()
            with contextlib.suppress(AssertionError):  # what is missing then says more
                wait_for(lambda: account(catalog, sounds).drained, 300, "the queue to drain")
            drain_s = time.monotonic() - stopped_feeding
        found = account(catalog, sounds)
    finally:
        catalog.close()
    assert (found.lost, found.double, found.corrupt, found.failed, found.active) == ([], [], [], [], 0)
    return {
        "rounds": rounds,
        "redis": redis,
        "killed": dict(killed),
        "files": found.files,
        "kills_with_work_in_hand": interrupted,
        "lost": len(found.lost),
        "double": len(found.double),
        "corrupt": len(found.corrupt),
        "drain_s": round(drain_s, 1),
    }


@pytest.mark.parametrize("redis", PERSISTENCE)
@pytest.mark.slow
@pytest.mark.timeout(3000)
def test_a_hundred_kills_on_postgres(
    program: Program, postgres_server: str, redis: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with new_database(postgres_server) as database:
        figures = kill_rounds(program, database, redis, rounds=100, seed=3)
    assert int(str(figures["kills_with_work_in_hand"])) >= 50, "the kills came too late to prove anything"
    with capsys.disabled():
        print(json.dumps(figures))


def test_the_account_sees_what_went_wrong(program: Program, tmp_path: Path) -> None:
    sounds = tmp_path / "sfx"
    sounds.mkdir()
    for number in range(3):
        write_sound(sounds / f"{number}.wav", number)
    assert program.run("init").returncode == 0
    assert program.run("ingest", sounds).returncode == 0
    catalog = open_catalog(program.environment["SPRESSO_CATALOG"])
    assert account(catalog, sounds).drained and not account(catalog, sounds).corrupt

    with catalog.session() as session:
        rendition = session.get_one(Rendition, 1)
        rendition.payload = rendition.payload[:-1] + b"\0"
        session.delete(session.get_one(Rendition, 2))
        copy = Rendition(
            **session.get_one(Rendition, 3).model_dump(exclude={"id", "uid", "status"}), status="superseded"
        )
        session.add(copy)
    found = account(catalog, sounds)
    assert len(found.lost) == len(found.double) == len(found.corrupt) == 1
    catalog.close()
