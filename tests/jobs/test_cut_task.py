"""Cuts by the hundred: exact, idempotent, verified before anything retires, nothing lost whenever they are killed."""

import os
import random
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from sqlmodel import select

from spresso_assets.catalog.engine import Catalog
from spresso_assets.catalog.models import Asset, Batch, Job, Rendition, SourceFile
from spresso_assets.codec.bitstream import cut
from spresso_assets.jobs import cut_task
from spresso_assets.jobs.context import TaskContext
from spresso_assets.jobs.reencode_plan import start, write_jobs
from spresso_assets.jobs.reencode_report import report
from spresso_assets.jobs.reencode_ways import Request
from spresso_assets.jobs.runner import EmbeddedRunner, Summary
from tests.jobs.streams import cutting_context, fill, ready

ROOT = Path(__file__).parents[2]
FROM, TO = "0.3kbps", "0.096kbps"


def reencode(catalog: Catalog, request: Request, context: TaskContext | None = None) -> Summary:
    write_jobs(catalog, start(catalog, request))
    return EmbeddedRunner(catalog, context or cutting_context()).run()


def the_job(catalog: Catalog) -> Job:
    with catalog.read() as session:
        return session.exec(select(Job).where(Job.kind == "cut")).one()


def the_result(catalog: Catalog) -> dict[str, Any]:
    result = the_job(catalog).result
    assert result is not None
    return result


def damage(catalog: Catalog, at: int, rehash: bool) -> str:
    """Flip a bit in a stored payload; with `rehash` so that only the stream itself can tell."""
    import hashlib

    with catalog.session() as session:
        row = session.exec(select(Rendition).order_by(Rendition.id)).all()[at]  # type: ignore[arg-type]
        payload = bytearray(row.payload)
        payload[-4] ^= 1
        row.payload = bytes(payload)
        if rehash:
            row.payload_sha256 = hashlib.sha256(row.payload).hexdigest()
        session.add(row)
        return session.get_one(Asset, row.asset_id).uid


def test_renditions_are_the_cuts_of_their_parents(catalog: Catalog) -> None:
    fill(catalog, 20)
    parents = ready(catalog, FROM)
    reencode(catalog, Request("", TO))
    made = ready(catalog, TO)
    assert [row.payload for row in made] == [cut(row.payload, 8) for row in parents]
    for row, parent in zip(made, parents, strict=True):
        assert (row.origin, row.parent_uid, row.generation) == ("cut", parent.uid, 1)
        assert row.decode_seed == parent.decode_seed and row.verified_at is not None
        assert row.actual_kbps == pytest.approx(len(row.payload) / 125 / 2)
    assert [row.uid for row in ready(catalog, FROM)] == [row.uid for row in parents], "kept"
    assert the_job(catalog).result == {
        "outcome": "cut", "cut": 20, "already": 0, "retired": 0, "bytes": sum(len(row.payload) for row in made)
    }  # fmt: skip


def test_a_second_run_makes_nothing_twice_and_all_makes_it_anew(catalog: Catalog) -> None:
    fill(catalog, 5)
    reencode(catalog, Request("", TO))
    first = ready(catalog, TO)
    with catalog.session() as session:  # as a job that was delivered twice
        job = session.exec(select(Job)).one()
        job.status, job.finished_at = "queued", None
        session.add(job)
    EmbeddedRunner(catalog, cutting_context()).run()
    assert [row.uid for row in ready(catalog, TO)] == [row.uid for row in first]
    assert the_result(catalog)["already"] == 5
    reencode(catalog, Request("", TO, "all"))
    again = ready(catalog, TO)
    assert [row.payload for row in again] == [row.payload for row in first]
    assert not {row.uid for row in again} & {row.uid for row in first}


def test_the_old_ones_retire_with_their_verified_successors(catalog: Catalog) -> None:
    fill(catalog, 4)
    reencode(catalog, Request("", TO, source=FROM, retire=True))
    assert len(ready(catalog, TO)) == 4 and ready(catalog, FROM) == []
    with catalog.read() as session:
        done = report(session, session.exec(select(Batch)).one())
    assert done.made == {"cut": 4} and done.retired == 4 and not done.failures


def test_what_was_cut_before_is_verified_and_retired_later(catalog: Catalog) -> None:
    fill(catalog, 4)
    reencode(catalog, Request("", TO))
    damage(catalog, 5, rehash=False)  # the second cut
    reencode(catalog, Request("", TO, source=FROM, retire=True))
    assert len(ready(catalog, FROM)) == 1 and len(ready(catalog, TO)) == 4


@pytest.mark.parametrize("rehash", [False, True])
def test_a_damaged_parent_stays_and_spoils_no_other(catalog: Catalog, rehash: bool) -> None:
    fill(catalog, 4)
    uid = damage(catalog, 1, rehash)
    reencode(catalog, Request("", TO, source=FROM, retire=True))
    assert len(ready(catalog, TO)) == 3
    assert len(ready(catalog, FROM)) == 1, "the old one stays where there is no new one"
    result = the_job(catalog).result
    assert result is not None and result["failed"] == 1
    assert [item["asset"] for item in result["failures"]] == [uid]
    assert result["failures"][0]["code"] == ("spr_corrupt" if rehash else "payload_corrupt")


def test_what_cannot_be_cut_is_encoded_from_its_file(catalog: Catalog) -> None:
    fill(catalog, 3)
    damage(catalog, 0, rehash=False)
    with catalog.session() as session:
        for file in session.exec(select(SourceFile)):
            file.state = "present"
            session.add(file)
    reencode(catalog, Request("", TO, source=FROM, retire=True))
    with catalog.read() as session:
        instead = session.exec(select(Job).where(Job.kind == "encode")).one()
        batch = session.exec(select(Batch)).one()
    assert instead.status == "queued" and instead.batch_id == batch.id and instead.params["retire"]
    assert the_result(catalog)["encode_instead"] == 1


def test_a_new_payload_that_does_not_fit_its_sound_retires_nothing(
    catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever goes wrong between cutting and storing: the row is read back, and the old one stays."""
    fill(catalog, 3)
    store = cut_task.store_renditions

    def store_damaged(session, profile_id, new, **how):  # type: ignore[no-untyped-def]
        store(session, profile_id, new, **how)
        session.connection().exec_driver_sql(
            "UPDATE rendition SET payload = (SELECT payload FROM rendition WHERE id = 1) "
            f"WHERE profile_id = {profile_id}"
        )

    monkeypatch.setattr(cut_task, "store_renditions", store_damaged)
    reencode(catalog, Request("", TO, source=FROM, retire=True))
    assert ready(catalog, TO) == [] and len(ready(catalog, FROM)) == 3
    assert the_job(catalog).error_code == "payload_corrupt"


def test_a_sound_of_another_length_is_not_taken_for_this_one(catalog: Catalog) -> None:
    fill(catalog, 2)
    with catalog.session() as session:
        asset = session.exec(select(Asset).order_by(Asset.id)).first()  # type: ignore[arg-type]
        assert asset is not None
        asset.frames += 1
        session.add(asset)
    reencode(catalog, Request("", TO, source=FROM, retire=True))
    assert len(ready(catalog, TO)) == 1 and len(ready(catalog, FROM)) == 1
    assert the_result(catalog)["failures"][0]["code"] == "rendition_disagrees"


def test_another_models_bundle_pauses_the_queue_and_fails_nothing(catalog: Catalog) -> None:
    fill(catalog, 2)
    summary = reencode(catalog, Request("", TO), TaskContext(load_entropy=lambda: ("cd" * 32, {})))
    assert summary.blocked is not None and summary.blocked.code == "weights_mismatch"
    assert the_job(catalog).status == "queued"
    assert EmbeddedRunner(catalog, cutting_context()).run().outcomes == {"cut": {"cut": 1}}


def kill_and_check(catalog: Catalog, url: str, kills: int, sounds: int) -> None:
    fill(catalog, sounds)
    parents = ready(catalog, FROM)
    command = [sys.executable, "-m", "tests.jobs.reencode_process", url]
    for number in range(kills):
        chance = random.Random(number)
        process = subprocess.Popen(
            command, cwd=ROOT, stdout=subprocess.PIPE, env={**os.environ, "OMP_NUM_THREADS": "1"}
        )
        assert process.stdout is not None
        for _ in range(chance.randint(1, 6)):
            process.stdout.readline()
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert_new_or_old(catalog, sounds)
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    made = ready(catalog, TO)
    assert [row.payload for row in made] == [cut(row.payload, 8) for row in parents]
    assert ready(catalog, FROM) == []
    with catalog.read() as session:
        assert len(session.exec(select(Rendition)).all()) == 2 * sounds
        jobs = session.exec(select(Job)).all()
        assert {batch.state for batch in session.exec(select(Batch))} == {"running"}
    assert {job.status for job in jobs} == {"succeeded"}
    assert set(Counter(item for job in jobs for item in job.params["renditions"]).values()) == {1}


def assert_new_or_old(catalog: Catalog, sounds: int) -> None:
    """At any moment every sound has exactly one of both, and a new one is always a verified one."""
    old, new = ready(catalog, FROM), ready(catalog, TO)
    assert len(old) + len(new) == sounds
    assert not {row.asset_id for row in old} & {row.asset_id for row in new}
    assert all(row.verified_at is not None for row in new)


def test_kills_lose_nothing_and_double_nothing(catalog: Catalog, catalog_url: str) -> None:
    kill_and_check(catalog, catalog_url, kills=3, sounds=60)
