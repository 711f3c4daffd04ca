"""The embedded runner over real files: what ends up in the catalog, and what faults cost."""

import os
from pathlib import Path

import pytest
from sqlmodel import func, select

from spresso_assets.catalog.engine import Catalog
from spresso_assets.catalog.models import Asset, Job, Rendition, SourceFile
from spresso_assets.catalog.renditions import get_payload
from spresso_assets.catalog.search import search
from spresso_assets.errors import ExitCode, SpressoError
from spresso_assets.jobs.context import TaskContext
from spresso_assets.jobs.runner import EmbeddedRunner, Event
from tests.jobs.sounds import FakeCodec, InProcessProber, a_context, enqueue_files, register, write_sound


def rows(catalog: Catalog, table: type) -> int:
    with catalog.read() as session:
        return int(session.exec(select(func.count()).select_from(table)).one())


def ingest(catalog: Catalog, folder: Path, context: TaskContext | None = None, root_id: int | None = None):  # type: ignore[no-untyped-def]
    root_id = root_id or register(catalog, folder)
    enqueue_files(catalog, root_id, folder)
    return EmbeddedRunner(catalog, context or a_context()).run()


def test_files_become_searchable_sounds_with_payloads(catalog: Catalog, tmp_path: Path) -> None:
    folder = tmp_path / "sfx"
    for number in range(5):
        write_sound(folder / f"Door slam {number}.wav", seed=number)
    codec = FakeCodec()
    events: list[Event] = []
    root_id = register(catalog, folder)
    enqueue_files(catalog, root_id, folder)
    summary = EmbeddedRunner(catalog, a_context(codec)).run(on_event=events.append)
    assert summary.outcomes == {"probe": {"new": 5}, "encode": {"encoded": 5}}
    assert codec.batches == [5], "short sounds go through the network together"
    assert summary.payload_bytes == 5 * 32 and summary.seconds_encoded == pytest.approx(0.25)
    assert [event.outcomes[0].kind for event in events] == ["probe", "encode"]
    assert events[0].backlog["encode"].jobs == 5 and events[-1].backlog == {}
    assert min(summary.shares().values()) >= 0 and sum(summary.shares().values()) == pytest.approx(1, abs=0.01)
    with catalog.read() as session:
        hits = search(session, "slam")
        assert len(hits) == 5 and hits[0].profiles == ["2.5kbps"]
        asset = session.exec(select(Asset)).first()
        assert asset is not None and len(get_payload(session, asset).payload) == 32


def test_a_second_run_finds_nothing_to_do(catalog: Catalog, tmp_path: Path) -> None:
    folder = tmp_path / "sfx"
    write_sound(folder / "a.wav", seed=1)
    root_id = register(catalog, folder)
    ingest(catalog, folder, root_id=root_id)
    assert enqueue_files(catalog, root_id, folder) == 0
    assert EmbeddedRunner(catalog, a_context()).run().outcomes == {}


def test_bad_files_cost_one_clear_line_each_and_nothing_else(catalog: Catalog, tmp_path: Path) -> None:
    folder = tmp_path / "sfx"
    write_sound(folder / "good.wav", seed=1)
    (folder / "empty.wav").write_bytes(b"")
    (folder / "text.wav").write_text("not a sound at all")
    whole = write_sound(folder / "cut.wav", seed=2).read_bytes()
    (folder / "cut.wav").write_bytes(whole[: len(whole) // 2])
    summary = ingest(catalog, folder)
    assert summary.outcomes == {"probe": {"new": 1, "failed": 3}, "encode": {"encoded": 1}}
    codes = {Path(outcome.path).name: outcome.error.code for outcome in summary.failures}
    assert codes == {"empty.wav": "empty_file", "text.wav": "unsupported_format", "cut.wav": "truncated_file"}
    with catalog.read() as session:
        bad = session.exec(select(SourceFile).where(SourceFile.state == "unreadable")).all()
    assert {file.rel_path: file.error_code for file in bad} == codes


def test_a_sound_that_cannot_be_encoded_harms_no_other(catalog: Catalog, tmp_path: Path) -> None:
    folder = tmp_path / "sfx"
    for number in range(4):
        write_sound(folder / f"{number}.wav", seed=number, first=-1.0 if number == 2 else None)
    codec = FakeCodec()
    summary = ingest(catalog, folder, a_context(codec))
    assert summary.outcomes["encode"] == {"encoded": 3, "failed": 1}
    assert codec.batches == [4, 1, 1, 1, 1], "together first, then one by one"
    assert summary.failures[0].error.code == "cannot_encode"


def test_a_file_that_changes_after_the_scan_is_not_taken_for_what_it_was(catalog: Catalog, tmp_path: Path) -> None:
    folder = tmp_path / "sfx"
    path = write_sound(folder / "a.wav", seed=1)
    root_id = register(catalog, folder)
    enqueue_files(catalog, root_id, folder)
    write_sound(path, seed=2, frames=4800)
    summary = EmbeddedRunner(catalog, a_context()).run()
    assert summary.failures[0].error.code == "file_changed"
    assert rows(catalog, Asset) == 0
    assert ingest(catalog, folder, root_id=root_id).outcomes == {"probe": {"new": 1}, "encode": {"encoded": 1}}


def test_a_missing_model_stops_encoding_and_fails_no_job(catalog: Catalog, tmp_path: Path) -> None:
    folder = tmp_path / "sfx"
    write_sound(folder / "a.wav", seed=1)

    def no_model() -> FakeCodec:
        raise SpressoError("There is no bundle", code="model_missing", exit_code=ExitCode.MODEL_MISSING)

    summary = ingest(catalog, folder, TaskContext(load_codec=no_model, prober=InProcessProber()))
    assert summary.outcomes == {"probe": {"new": 1}}, "searchable all the same"
    assert summary.blocked is not None and summary.blocked.code == "model_missing"
    assert EmbeddedRunner(catalog, a_context()).run().outcomes == {"encode": {"encoded": 1}}


def test_other_weights_than_the_profiles_encode_nothing(catalog: Catalog, tmp_path: Path) -> None:
    folder = tmp_path / "sfx"
    write_sound(folder / "a.wav", seed=1)
    other = FakeCodec()
    other.weights_sha256 = "cd" * 32
    summary = ingest(catalog, folder, a_context(other))
    assert summary.blocked is not None and summary.blocked.code == "weights_mismatch"
    assert rows(catalog, Rendition) == 0
    assert EmbeddedRunner(catalog, a_context()).run().outcomes == {"encode": {"encoded": 1}}, "no attempt was lost"


def test_an_interrupt_gives_the_jobs_back_uncounted(catalog: Catalog, tmp_path: Path) -> None:
    folder = tmp_path / "sfx"
    write_sound(folder / "a.wav", seed=1)

    class Interrupted(FakeCodec):
        def encode_many(self, *_: object, **__: object) -> list[bytes]:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ingest(catalog, folder, a_context(Interrupted()))
    with catalog.read() as session:
        job = session.exec(select(Job).where(Job.kind == "encode")).one()
    assert (job.status, job.attempt, job.crashes) == ("queued", 0, 0)
    assert EmbeddedRunner(catalog, a_context()).run().outcomes == {"encode": {"encoded": 1}}


def test_a_limit_and_a_stop_end_the_run_early(catalog: Catalog, tmp_path: Path) -> None:
    folder = tmp_path / "sfx"
    for number in range(4):
        write_sound(folder / f"{number}.wav", seed=number)
    root_id = register(catalog, folder)
    enqueue_files(catalog, root_id, folder)
    assert EmbeddedRunner(catalog, a_context(), limit=3).run().outcomes == {"probe": {"new": 3}}
    runner = EmbeddedRunner(catalog, a_context())
    assert runner.run(on_event=lambda _: runner.stop()).outcomes == {"probe": {"new": 1}}


def test_originals_are_never_written(catalog: Catalog, tmp_path: Path) -> None:
    folder = tmp_path / "sfx"
    path = write_sound(folder / "a.wav", seed=1)
    before = (path.read_bytes(), os.stat(path).st_mtime_ns, sorted(os.listdir(folder)))
    ingest(catalog, folder)
    assert (path.read_bytes(), os.stat(path).st_mtime_ns, sorted(os.listdir(folder))) == before
