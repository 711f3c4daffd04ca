"""The doctor, against faults that were made for it: each is named by its code, and a healthy set-up has none."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from pydantic import SecretStr
from sqlmodel import select

from spresso_assets.catalog.columns import now_us
from spresso_assets.catalog.engine import Catalog, open_catalog
from spresso_assets.catalog.models import Batch, Job, QueuePause, WatchRoot, Worker
from spresso_assets.cli.checks import broker, database, folders, machine, mending, staff, work
from spresso_assets.cli.checks.finding import Finding, Level

MINUTE_US = 60_000_000


@pytest.fixture
def catalog(catalog_file: Path) -> Iterator[Catalog]:
    opened = open_catalog(catalog_file)
    yield opened
    opened.close()


def codes(found: Iterator[Finding]) -> dict[str, Level]:
    return {finding.code: finding.level for finding in found if finding.code}


def add(catalog: Catalog, *rows: object) -> None:
    with catalog.session() as session:
        session.add_all(rows)


def a_job(queue: str = "encode", age_min: float = 11, **values: object) -> Job:
    at = now_us() - int(age_min * MINUTE_US)
    return Job(kind=queue, queue=queue, dedupe_key=f"{queue}{age_min}{values}", created_at=at, **values)


def a_worker(name: str, **values: object) -> Worker:
    facts = {"owner": f"{name}:1:2:3", "name": name, "queues": ["encode"], "version": "", **values}
    return Worker(**facts)


def test_an_empty_catalog_is_in_order(catalog: Catalog) -> None:
    assert codes(work.check(catalog)) == codes(staff.check(catalog)) == codes(database.check(catalog)) == {}
    assert codes(folders.check(catalog)) == {"no_roots": Level.NOTE}


def test_jobs_without_a_worker_are_a_problem_and_with_one_a_note(catalog: Catalog) -> None:
    add(catalog, a_job(age_min=9))
    assert codes(work.check(catalog)) == {}, "ten minutes are nothing"
    add(catalog, a_job(age_min=11))
    found = [finding for finding in work.check(catalog) if finding.code]
    assert [finding.code for finding in found] == ["no_worker"]
    assert "2 jobs wait" in found[0].message and "--queues encode" in found[0].hint
    add(catalog, a_worker("w"))
    assert codes(work.check(catalog)) == {"queue_behind": Level.NOTE}


def test_jobs_that_may_not_begin_are_not_waiting(catalog: Catalog) -> None:
    batch = Batch(kind="reencode", state="paused", paused_by="ana")
    with catalog.session() as session:
        session.add(batch)
        session.flush()
        session.add(a_job(batch_id=batch.id))
    add(catalog, a_job("io", not_before=now_us() + 5 * MINUTE_US))
    found = {finding.code: finding for finding in work.check(catalog)}
    assert "no_worker" not in found and "ana" in found["batch_paused"].message


def test_pauses_say_who_and_since_when(catalog: Catalog) -> None:
    add(
        catalog,
        QueuePause(queue="encode", paused_by="ana", reason="new GPU", paused_at=now_us() - 90 * MINUTE_US),
        QueuePause(queue="io", paused_by="old", expires_at=now_us() - 1),
        a_job("encode", 20),
    )
    found = [finding for finding in work.check(catalog) if finding.code]
    assert [finding.code for finding in found] == ["queue_paused"], "an expired pause holds nobody up"
    assert found[0].message == "paused by ana 1:30:00 ago: new GPU"


def test_leases_that_are_over_are_found_and_mended(catalog: Catalog) -> None:
    add(catalog, a_job(status="running", lease_owner="nobody:1:1:1", lease_until=now_us() - 2 * MINUTE_US))
    add(catalog, QueuePause(queue="io", paused_by="environment", reason="disk full"))
    assert codes(work.check(catalog)) == {"lease_over": Level.PROBLEM, "queue_paused": Level.PROBLEM}
    told = " ".join(finding.message for finding in mending.mend(catalog))
    assert "1 jobs of dead workers queued again" in told and "queue io" in told and "log folded in" in told
    assert "lease_over" not in codes(work.check(catalog)) and "queue_paused" not in codes(work.check(catalog))
    with catalog.read() as session:
        assert session.exec(select(Job.status)).one() == "queued"


def test_a_planned_batch_that_stopped_is_told(catalog: Catalog) -> None:
    add(catalog, Batch(kind="reencode", state="planning", created_at=now_us() - 20 * MINUTE_US))
    assert codes(work.check(catalog)) == {"batch_unfinished": Level.NOTE}


def test_dead_stuck_and_differing_workers(catalog: Catalog) -> None:
    now = now_us()
    add(catalog, a_worker("good", weights_sha256="aa" * 32))
    assert codes(staff.check(catalog)) == {}
    add(catalog, a_worker("dead", heartbeat_at=now - 5 * MINUTE_US))
    add(catalog, a_worker("ended", heartbeat_at=now - 5 * MINUTE_US, state="stopped"))
    assert codes(staff.check(catalog)) == {"worker_dead": Level.NOTE}
    add(catalog, a_worker("stuck", state="busy", progress_at=now - 20 * MINUTE_US))
    add(catalog, a_worker("other", weights_sha256="bb" * 32, version="0.0.1"))
    found = [finding for finding in staff.check(catalog) if finding.level is Level.PROBLEM]
    assert [finding.code for finding in found] == ["worker_stuck", "workers_differ", "workers_differ"]
    assert "0.0.1" in found[1].message and "aaaaaaaaaaaa, bbbbbbbbbbbb" in found[2].message


def test_roots_that_are_gone_paused_or_forgotten(catalog: Catalog, tmp_path: Path) -> None:
    add(
        catalog,
        WatchRoot(name="here", path=str(tmp_path), backend="native", last_scan_at=now_us()),
        WatchRoot(name="late", path=str(tmp_path / ".."), backend="poll", last_scan_at=now_us() - 2000 * MINUTE_US),
        WatchRoot(name="away", path=str(tmp_path / "none"), backend="poll"),
        WatchRoot(name="held", path=str(tmp_path / "held"), state="paused", paused_by="ben", pause_reason="moving"),
    )
    found = {finding.about: finding for finding in folders.check(catalog)}
    assert {name: finding.code for name, finding in found.items() if finding.code != "inotify_limit"} == {
        "root here": "",
        "root late": "scan_overdue",
        "root away": "root_offline",
        "root held": "root_paused",
        **({"file events": ""} if found["file events"].code == "" else {}),
    }
    assert found["root held"].message == "paused by ben: moving"


def test_too_few_watches(catalog: Catalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    limits = {}
    for name, number in (("watches", "100"), ("instances", "128")):
        (tmp_path / name).write_text(number)
        limits[name] = (str(tmp_path / name), str(tmp_path / "no such file"))
    monkeypatch.setattr(folders, "LIMITS", limits)
    assert codes(folders._events(80)) == {}
    assert codes(folders._events(81)) == {"inotify_limit": Level.PROBLEM}


@pytest.mark.parametrize(
    ("url", "guarded"),
    [
        ("redis://localhost/0", True),
        ("redis://127.0.0.1:6379", True),
        ("redis://[::1]/0", True),
        ("redis+socket:///run/redis.sock", True),
        ("redis://10.0.0.5/0", False),
        ("redis://broker.example/0", False),
        ("rediss://:secret@broker.example/0", True),
    ],
)
def test_who_may_talk_to_the_broker(url: str, guarded: bool) -> None:
    assert broker._guarded(url) is guarded


def test_a_broker_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(broker, "PATIENCE_S", 0.1)
    found = list(broker.check(SecretStr("redis://:CANARY@127.0.0.1:1/0")))
    assert [finding.code for finding in found] == ["broker_unreachable"]
    assert "CANARY" not in repr(found)
    assert codes(broker.check(SecretStr("redis://:CANARY@127.0.0.1:port/0"))) == {"broker_unreachable": Level.PROBLEM}
    assert codes(broker.check(None)) == {}


def test_a_gpu_that_torch_cannot_use(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "_torch_version", lambda: "2.13.0+cpu")
    assert codes(machine.gpu(devices=tmp_path)) == {}
    (tmp_path / "nvidia0").touch()
    assert codes(machine.gpu(devices=tmp_path)) == {"gpu_unused": Level.NOTE}
    monkeypatch.setattr(machine, "_torch_version", lambda: "2.13.0")
    assert codes(machine.gpu(devices=tmp_path)) == {}


def test_the_sqlite_of_this_python_is_judged_only_where_it_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine.sqlite3, "sqlite_version_info", (3, 40, 1))
    assert codes(machine.versions("/a.db")) == {"sqlite_wal_reset": Level.NOTE}
    assert codes(machine.versions("postgresql://db/x")) == {}


def test_a_full_disk_and_a_long_log(catalog: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database.shutil, "disk_usage", lambda _: SimpleNamespace(free=10_000_000))
    monkeypatch.setattr(database, "LARGE_LOG_BYTES", 0)
    add(catalog, a_job(age_min=0))
    assert codes(database.check(catalog)) == {"disk_low": Level.PROBLEM, "wal_large": Level.NOTE}
