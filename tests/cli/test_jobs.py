"""`spresso jobs`, `workers`, `metrics` and `decode --workers`: what people and scripts get to see."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlmodel import select

from spresso_assets.catalog.columns import now_us
from spresso_assets.catalog.engine import Catalog, open_catalog
from spresso_assets.catalog.models import Batch, Job, Worker
from spresso_assets.errors import FaultKind, SpressoError
from spresso_assets.jobs import queue, roster
from spresso_assets.jobs.context import TaskContext
from spresso_assets.jobs.worker import BackgroundWorker
from tests.cli.conftest import Spresso

METRICS = {
    *("spresso_jobs", "spresso_queue_ready", "spresso_queue_oldest_seconds", "spresso_queue_paused"),
    *("spresso_jobs_failed", "spresso_workers", "spresso_worker_heartbeat_age_seconds", "spresso_worker_memory_bytes"),
    *("spresso_job_seconds_sum", "spresso_job_seconds_count", "spresso_assets", "spresso_audio_seconds"),
    *("spresso_renditions", "spresso_payload_bytes", "spresso_root_files", "spresso_root_online"),
    *("spresso_root_last_scan_timestamp_seconds", "spresso_catalog_up", "spresso_build_info"),
}


@pytest.fixture
def catalog(spresso: Spresso, tmp_path: Path) -> Iterator[Catalog]:
    spresso.ok("init")
    opened = open_catalog(tmp_path / "catalog.db")
    yield opened
    opened.close()


def a_batch(catalog: Catalog, jobs: int) -> str:
    with catalog.session() as session:
        batch = Batch(kind="encode", total=jobs)
        session.add(batch)
        session.flush()
        for number in range(jobs):
            queue.enqueue(session, "encode", f"{batch.uid}:{number}", batch_id=batch.id, cost_s=2.0)
        return batch.uid


def end_one(catalog: Catalog, error: SpressoError | None = None) -> None:
    with catalog.session() as session:
        claim = queue.claim(session, "elsewhere:1:1:a", queues=["encode"])
        assert claim is not None
        if error is None:
            queue.finish(session, claim)
        else:
            queue.fail(session, claim, error)


def claimable(catalog: Catalog) -> bool:
    with catalog.read() as session:
        return queue.is_ready(session, ["encode"])


def test_a_batch_is_paused_with_owner_and_end_and_resumed(spresso: Spresso, catalog: Catalog) -> None:
    uid = a_batch(catalog, 2)
    pause = ("jobs", "pause", "--batch", uid[:8], "--for", "12h")
    assert spresso.ok(*pause, "--dry-run", "--json").data["for_s"] == 43_200
    assert claimable(catalog), "a dry run changes nothing"
    spresso.ok(*pause)
    assert not claimable(catalog)
    with catalog.read() as session:
        batch = session.exec(select(Batch)).one()
    assert batch.paused_by and abs((batch.pause_expires_at or 0) - now_us() - 43_200e6) < 60e6
    assert spresso.ok("jobs", "resume", "--batch", uid[:8], "--json").data["was_paused"] is True
    assert claimable(catalog)


def test_a_pause_that_ran_out_holds_no_more(spresso: Spresso, catalog: Catalog) -> None:
    uid = a_batch(catalog, 1)
    spresso.ok("jobs", "pause", "--batch", uid, "--for", "1h")
    with catalog.session() as session:
        session.exec(select(Batch)).one().pause_expires_at = now_us() - 1
    assert claimable(catalog)


def test_a_cancelled_batch_stays_cancelled(spresso: Spresso, catalog: Catalog) -> None:
    uid = a_batch(catalog, 3)
    other = a_batch(catalog, 1)
    assert spresso.ok("jobs", "cancel", "--batch", uid[:8], "-y", "--json").data["cancelled"] == 3
    with catalog.read() as session:
        states = {batch.uid: batch.state for batch in session.exec(select(Batch))}
        waiting = session.exec(select(Job).where(Job.status == "queued")).all()
    assert states == {uid: "cancelled", other: "running"} and len(waiting) == 1
    assert spresso("jobs", "resume", "--batch", uid).err.count("batch_not_running") == 1


def test_a_queue_or_a_batch_must_be_named(spresso: Spresso, catalog: Catalog) -> None:
    assert spresso("jobs", "pause").code == 2
    assert spresso("jobs", "pause", "encode", "--batch", "abc").code == 2
    assert "batch_not_found" in spresso("jobs", "watch", "abc").err


def test_failures_are_grouped_and_pages_turned(spresso: Spresso, catalog: Catalog) -> None:
    a_batch(catalog, 5)
    end_one(catalog, SpressoError("It is bad", code="some_code"))
    first = spresso.ok("jobs", "list", "--limit", "2")
    assert "page 1 of 3, 5 jobs" in first.out and "1  some_code  It is bad" in first.out
    pages = [spresso.ok("jobs", "list", "--limit", "2", "--page", str(n), "--json").data for n in (1, 2, 3)]
    assert len({job["uid"] for page in pages for job in page}) == 5 and len(pages[2]) == 1


def test_jobs_that_nobody_takes_are_spoken_of(spresso: Spresso, catalog: Catalog) -> None:
    a_batch(catalog, 2)
    assert spresso.ok("jobs", "list", "--json").json["warnings"] == [], "they have not waited long"
    with catalog.session() as session:
        for job in session.exec(select(Job)):
            job.created_at -= int(600e6)
    (warning,) = spresso.ok("jobs", "list", "--json").json["warnings"]
    assert "2 jobs wait in the queue encode" in warning and "10 minutes" in warning
    with catalog.session() as session:
        roster.sign_on(session, Worker(owner="elsewhere:1:1:a", name="w", queues=["encode"]))
    assert spresso.ok("jobs", "list", "--json").json["warnings"] == [], "somebody serves it"


def test_watching_a_batch_ends_with_it(spresso: Spresso, catalog: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("spresso_assets.cli.jobs_watch.LOOK_S", 0.05)
    uid = a_batch(catalog, 2)

    def work() -> None:
        end_one(catalog)
        end_one(catalog, SpressoError("It is bad", code="some_code", kind=FaultKind.PERMANENT))

    end_it = threading.Timer(0.3, work)
    end_it.start()
    watched = spresso("jobs", "watch", uid[:8], "--jsonl")
    end_it.join()
    documents = [json.loads(line) for line in watched.out.splitlines()]
    assert watched.code == 3, "one of them failed"
    assert documents[0]["left"] == 2 and documents[-2]["left"] == 0
    assert documents[-2]["kinds"]["encode"]["failed"] == 1 and documents[-2]["kinds"]["encode"]["succeeded"] == 1
    assert documents[-1]["summary"]["exit_code"] == 3
    changes = [document["kinds"] for document in documents[:-2] if "kinds" in document]
    assert len(changes) <= 4, "a document per change, not per look"


def test_watching_everything_names_the_batches_that_are_not_done(
    spresso: Spresso, catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    done, waiting = a_batch(catalog, 1), a_batch(catalog, 1)
    end_one(catalog)

    def interrupt(seconds: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("spresso_assets.cli.jobs_watch.time.sleep", interrupt)
    watched = spresso.ok("jobs", "watch")
    assert f"batch {waiting[:8]}: encode, running" in watched.out and done[:8] not in watched.out


def test_workers_are_listed_with_the_dead_marked(spresso: Spresso, catalog: Catalog) -> None:
    with catalog.session() as session:
        roster.sign_on(session, Worker(owner="elsewhere:1:1:a", name="gpu", queues=["encode"], device="cuda:0"))
        roster.sign_on(session, Worker(owner="elsewhere:2:1:a", name="gone", queues=["io"]))
        session.get_one(Worker, "elsewhere:2:1:a").heartbeat_at -= int(3600e6)
    listed = {worker["name"]: worker["state"] for worker in spresso.ok("workers", "list", "--json").data}
    assert listed == {"gpu": "idle", "gone": "dead"}
    assert spresso.ok("workers", "drain", "--all", "--dry-run", "--json").data["workers"] == 1
    assert spresso("workers", "drain").code == 2
    assert spresso("workers", "drain", "gone").code == 4
    spresso.ok("workers", "drain", "gpu")
    with catalog.read() as session:
        assert session.get_one(Worker, "elsewhere:1:1:a").drain_requested


def test_metrics_have_the_promised_names_and_no_secrets(spresso: Spresso, catalog: Catalog) -> None:
    a_batch(catalog, 3)
    end_one(catalog)
    end_one(catalog, SpressoError("It is bad", code="some_code"))
    with catalog.session() as session:
        done = session.exec(select(Job).where(Job.status == "succeeded")).one()
        done.run_s = 1.5
        roster.sign_on(session, Worker(owner="elsewhere:1:1:a", name="gpu", queues=["encode"], memory_bytes=1000))
    text = spresso.ok("metrics", "--once").out
    samples = [line.rpartition(" ") for line in text.splitlines() if not line.startswith("#")]
    found = {name: float(value) for name, _, value in samples}
    assert found['spresso_jobs{kind="encode",status="succeeded"}'] == 1
    assert found['spresso_queue_ready{queue="encode"}'] == 1
    assert found['spresso_jobs_failed{code="some_code"}'] == 1
    assert found['spresso_job_seconds_sum{kind="encode"}'] == 1.5
    assert found['spresso_job_seconds_count{kind="encode"}'] == 1
    assert found['spresso_workers{queue="encode",state="idle"}'] == 1
    assert found['spresso_worker_memory_bytes{worker="gpu"}'] == 1000
    assert found["spresso_catalog_up"] == 1


def test_every_metric_of_an_archive_is_there(filled: Spresso) -> None:
    names = {sample["name"] for sample in filled.ok("metrics", "--once", "--json").data}
    of_workers = {"spresso_worker_heartbeat_age_seconds", "spresso_worker_memory_bytes", "spresso_jobs_failed"}
    assert names >= METRICS - of_workers and names <= METRICS


@contextmanager
def decoding(folder: Path, bundle: Path) -> Iterator[None]:
    from spresso_assets.codec.bundle import load_bundle

    catalog = open_catalog(folder / "catalog.db")
    context = TaskContext(lambda: load_bundle(bundle))
    worker = BackgroundWorker(catalog, context, ("decode",), name="decoder", poll_s=0.02)
    thread = worker.start()
    try:
        yield
    finally:
        worker.stop()
        thread.join(30)
        catalog.close()


def test_a_worker_decodes_the_file_that_a_local_decode_makes(
    filled: Spresso, tmp_path: Path, tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (uid,) = [hit["uid"] for hit in filled.ok("search", "rain", "--json").data]
    filled.ok("decode", uid, "-o", tmp_path / "local.wav", "--seed", "5")
    with decoding(tmp_path, tiny_bundle), monkeypatch.context() as without_model:
        without_model.setenv("SPRESSO_BUNDLE", str(tmp_path / "there is none"))
        filled.ok("decode", uid, "-o", tmp_path / "remote.wav", "--seed", "5", "--workers")
        several = filled.ok("decode", uid, "-o", tmp_path / "out", "--variations", "2", "--workers", "--json").data
    assert (tmp_path / "remote.wav").read_bytes() == (tmp_path / "local.wav").read_bytes()
    assert len({record["seed"] for record in several}) == len(list((tmp_path / "out").iterdir())) == 2
