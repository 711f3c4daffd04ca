"""The planner: the cheapest exact way, never a second generation unasked, nothing planned twice."""

from collections import Counter
from dataclasses import dataclass

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlmodel import Session, select

from spresso_assets.catalog.engine import Catalog
from spresso_assets.catalog.models import Batch, EncodeProfile, Job, SourceFile, WatchRoot
from spresso_assets.catalog.profiles import add_profile, ensure_model, ensure_profiles
from spresso_assets.errors import SpressoError
from spresso_assets.jobs import reencode_jobs, reencode_plan
from spresso_assets.jobs.estimate import estimate
from spresso_assets.jobs.reencode_plan import plan, start, write_jobs
from spresso_assets.jobs.reencode_ways import Request, find_route, next_ways
from tests.catalog.sounds import add_sound
from tests.jobs.streams import fill, keep, register

TARGET = "0.096kbps"
# renditions that a sound may have, and the ways that they open: exact ones for a first generation only
OPENS = {"0.3kbps": "cut", "1hz": "quantise", "2.5kbps": "", "dual": ""}


@dataclass(frozen=True)
class Sound:
    has: dict[str, int]  # profile -> generation
    source: str  # present, offline, missing, changed
    done: bool


SOUNDS = st.builds(
    Sound,
    st.dictionaries(st.sampled_from(list(OPENS)), st.sampled_from([1, 2])),
    st.sampled_from(["present", "offline", "missing", "changed"]),
    st.booleans(),
)


def cheapest(sound: Sound, transcode: bool) -> str:
    """The way that a sound should go, by the rules in words."""
    for wanted in ("cut", "quantise"):
        if any(OPENS[name] == wanted and generation == 1 for name, generation in sound.has.items()):
            return wanted
    if sound.source == "present":
        return "encode"
    if transcode:
        for wanted in ("cut", "quantise"):
            if any(OPENS[name] == wanted for name in sound.has):
                return wanted
        if sound.has or sound.done:
            return "transcode"
    return "source_offline" if sound.source == "offline" else "source_missing"


class Undo(Exception):
    pass


def put(session: Session, profiles: dict[str, EncodeProfile], n: int, sound: Sound) -> int:
    asset = add_sound(session, f"{n}.wav", duration_s=1.0, channels=2)
    file = session.exec(select(SourceFile).where(SourceFile.asset_id == asset.id)).one()
    file.state = "present" if sound.source == "changed" else sound.source
    file.size += sound.source == "changed"
    session.add(file)
    for name, generation in sound.has.items():
        keep(session, asset, profiles[name], generation=generation)
    if sound.done:
        keep(session, asset, profiles[TARGET])
    assert asset.id is not None
    return asset.id


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(SOUNDS, min_size=1, max_size=6), st.booleans(), st.booleans())
def test_every_sound_goes_the_cheapest_exact_way(
    catalog: Catalog, sounds: list[Sound], transcode: bool, again: bool
) -> None:
    with pytest.raises(Undo), catalog.session() as session:
        profiles = register(session)
        profiles["dual"] = add_profile(session, "dual", "0.3kbps", "dual")
        ids = [put(session, profiles, n, sound) for n, sound in enumerate(sounds)]
        session.flush()
        request = Request("", TARGET, "all" if again else "missing", allow_transcode=transcode)
        rows = next_ways(session, find_route(session, request), 0, 100)
        wanted = {
            asset_id: cheapest(sound, transcode)
            for asset_id, sound in zip(ids, sounds, strict=True)
            if again or not sound.done
        }
        assert {row.id: row.way for row in rows} == wanted
        assert {name: way.sounds for name, way in plan(session, request).ways.items()} == Counter(wanted.values())
        raise Undo


def test_stale_is_what_other_weights_made_under_the_same_name(catalog: Catalog) -> None:
    with catalog.session() as session:
        old = ensure_profiles(session, ensure_model(session, "old", "cd" * 32))
        sounds = [add_sound(session, f"{n}.wav") for n in range(3)]
        keep(session, sounds[0], old["2.5kbps"])
        keep(session, sounds[1], old["1hz"])
        new = register(session)
        session.flush()
        found = plan(session, Request("", "2.5kbps", "stale", retire=True))
        assert {name: way.sounds for name, way in found.ways.items()} == {"encode": 1}
        assert found.route.retire == [old["2.5kbps"].id] and found.retires == {"2.5kbps": 1}
        assert found.route.profile.id == new["2.5kbps"].id


def test_a_query_a_source_and_a_limit_narrow_it_down(catalog: Catalog) -> None:
    fill(catalog, 6)
    with catalog.session() as session:
        add_sound(session, "lonely.wav", duration_s=1.0)
    with catalog.read() as session:
        assert plan(session, Request("", TARGET)).sounds == 7
        assert plan(session, Request("", TARGET, source="0.3kbps")).sounds == 6
        assert plan(session, Request("lonely", TARGET)).ways["encode"].sounds == 1
        few = plan(session, Request("", TARGET, source="0.3kbps", limit=2))
        assert few.sounds == 2 and few.seconds == pytest.approx(4)
        with pytest.raises(SpressoError, match="retire_what"):
            plan(session, Request("", TARGET, retire=True))
        with pytest.raises(SpressoError, match="unknown_profile"):
            plan(session, Request("", TARGET, source="nothing"))


def test_sizes_are_those_of_what_is_there_and_goes(catalog: Catalog) -> None:
    fill(catalog, 4)
    with catalog.read() as session:
        found = plan(session, Request("", TARGET, source="0.3kbps", retire=True))
    assert found.bytes_retired == found.bytes_now > 0 and found.retires == {"0.3kbps": 4}
    assert not found.measured and found.bytes_new == round(8 * 0.096 * 125)
    assert found.as_dict()["bytes_after"] == found.bytes_new


def test_machine_time_comes_from_what_such_work_took_here(catalog: Catalog) -> None:
    with catalog.session() as session:
        profiles = register(session)
        guess = estimate(session, {"encode": 100.0}, 25.0)
        assert guess.seconds > 0 and not guess.known
        for n, (name, run_s) in enumerate({"2.5kbps": 0.5, "1hz": 0.25}.items()):
            session.add(
                Job(kind="encode", dedupe_key=str(n), queue="encode", profile_id=profiles[name].id, cost_s=10.0,
                    status="succeeded", run_s=run_s)
            )  # fmt: skip
        session.flush()
        same = estimate(session, {"encode": 100.0}, 25.0)
        assert same.known and same.seconds == pytest.approx(5.0)
        assert estimate(session, {"encode": 100.0}, 1.0).seconds == pytest.approx(2.5)
        assert not estimate(session, {"encode": 100.0, "cut": 1.0}, 25.0).known


def test_an_interrupted_plan_is_taken_up_and_writes_every_job_once(
    catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reencode_plan, "STEP", 4)
    monkeypatch.setattr(reencode_jobs, "CUT_SOUNDS", 3)
    fill(catalog, 10)
    request = Request("", TARGET)
    uid = start(catalog, request)

    def interrupt(sounds: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_jobs(catalog, uid, interrupt)
    with catalog.read() as session:
        batch = session.exec(select(Batch)).one()
        assert batch.state == "planning" and batch.total > 0
    assert start(catalog, request) == uid, "the same command goes on with it"
    assert start(catalog, Request("", TARGET, limit=1)) != uid, "another one does not"
    assert write_jobs(catalog, uid).state == "running"
    assert write_jobs(catalog, uid).total == 5  # of 4, 4 and 2 sounds: 3 + 1, 3 + 1, 2
    with catalog.read() as session:
        jobs = session.exec(select(Job)).all()
    planned = Counter(rendition for job in jobs for rendition in job.params["renditions"])
    assert len(planned) == 10 and set(planned.values()) == {1}


def test_a_batch_that_is_cancelled_while_it_is_planned_gets_no_more_jobs(
    catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reencode_plan, "STEP", 2)
    fill(catalog, 6)
    uid = start(catalog, Request("", TARGET))

    def cancel(sounds: int) -> None:
        with catalog.session() as session:
            session.exec(select(Batch)).one().state = "cancelled"

    assert write_jobs(catalog, uid, cancel).state == "cancelled"
    with catalog.read() as session:
        assert sum(job.params["sounds"] for job in session.exec(select(Job))) == 2


def test_offline_folders_are_told_from_lost_files(catalog: Catalog) -> None:
    with catalog.session() as session:
        register(session)
        add_sound(session, "a.wav")
        root = session.exec(select(WatchRoot)).one()
        root.state = "offline"
        session.add(root)
    with catalog.read() as session:
        found = plan(session, Request("", TARGET))
    assert [item.reason for item in found.unreached] == ["source_offline"] and found.sounds == 0
