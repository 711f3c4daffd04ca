"""What may go goes, in both databases; a sound that can still be heard stays, with everything that is known of it."""

from typing import Any

import pytest
from sqlmodel import Session, col, func, select

from spresso_assets.catalog import gc
from spresso_assets.catalog.assets import link_source
from spresso_assets.catalog.columns import now_us
from spresso_assets.catalog.editing import add_tags, remove_tags
from spresso_assets.catalog.engine import Catalog
from spresso_assets.catalog.gc import collect_garbage, survey
from spresso_assets.catalog.models import Asset, AssetTag, Delivery, Job, Rendition, SourceFile, Tag, Worker
from spresso_assets.catalog.profiles import ensure_model, ensure_profiles
from spresso_assets.catalog.renditions import store_rendition
from spresso_assets.catalog.search import count
from tests.catalog.sounds import a_file, a_probe, add_sound

DAY_US = 86_400_000_000
GRACE_S = 30 * 86_400.0


def number(session: Session, table: Any) -> int:
    return session.exec(select(func.count()).select_from(table)).one()


def age(session: Session, days: float = 60) -> None:
    """Everything so far happened long ago."""
    before = now_us() - int(days * DAY_US)
    for table, columns in (
        (Asset, ("created_at",)),
        (Rendition, ("created_at",)),
        (Job, ("created_at", "finished_at")),
    ):
        for row in session.exec(select(table)).all():
            row.sqlmodel_update(dict.fromkeys(columns, before))
            session.add(row)
    for file in session.exec(select(SourceFile)).all():
        file.last_seen = before
        file.missing_since = before if file.state == "missing" else None
        session.add(file)


def rows(found: list[gc.Garbage]) -> dict[str, int]:
    return {item.name: item.rows for item in found if item.rows}


def collected(catalog: Catalog) -> dict[str, int]:
    with catalog.read() as session:
        expected = rows(survey(session, GRACE_S))
    removed = rows(collect_garbage(catalog, GRACE_S))
    assert removed == expected, "a dry run says what happens"
    with catalog.read() as session:
        assert rows(survey(session, GRACE_S)) == {}, "and nothing is left of it"
    return removed


def test_retired_renditions_go_when_nothing_was_encoded_since(catalog: Catalog) -> None:
    with catalog.session() as session:
        profile = ensure_profiles(session, ensure_model(session, "m", "00"))["1hz"]
        old, fresh = add_sound(session, "old.wav"), add_sound(session, "fresh.wav")
        for sound in (old, fresh):
            store_rendition(session, sound, profile, b"first" * 20)
            store_rendition(session, sound, profile, b"second")
        session.flush()
        age(session)
        store_rendition(session, fresh, profile, b"third")
    removed = collect_garbage(catalog, GRACE_S)
    assert rows(removed) == {"superseded": 1}
    assert next(item.bytes for item in removed if item.name == "superseded") == 100
    with catalog.read() as session:
        assert sorted(session.exec(select(Rendition.status)).all()) == ["ready", "ready", "superseded", "superseded"]


def test_a_sound_without_its_file_stays_while_it_can_be_decoded(catalog: Catalog) -> None:
    with catalog.session() as session:
        profile = ensure_profiles(session, ensure_model(session, "m", "00"))["1hz"]
        kept = add_sound(session, "kept.wav", fields={"fx_name": "Kept slam"})
        store_rendition(session, kept, profile, b"payload")
        add_sound(session, "lost.wav", fields={"fx_name": "Lost slam"})
        add_sound(session, "young.wav", fields={"fx_name": "Young slam"})
        for file in session.exec(select(SourceFile)).all():
            file.state = "missing"
        session.flush()
        age(session)
        young = session.exec(select(SourceFile).where(SourceFile.rel_path == "young.wav")).one()
        young.missing_since = now_us() - DAY_US
        session.add(young)
    assert collected(catalog) == {"sounds": 1}
    with catalog.read() as session:
        assert (count(session, "kept"), count(session, "lost"), count(session, "young")) == (1, 0, 1)
        assert number(session, SourceFile) == 2, "the path of the original is still known"


def test_a_vanished_copy_goes_and_what_it_said_goes_with_it(catalog: Catalog) -> None:
    with catalog.session() as session:
        sound = add_sound(session, "a/gone.wav", "same", fields={"fx_name": "Old name"})
        link_source(session, a_file(session, "b/here.wav"), a_probe("same", fields={"fx_name": "New name"}))
        assert sound.fx_name == "Old name"
        gone = session.exec(select(SourceFile).where(SourceFile.rel_path == "a/gone.wav")).one()
        gone.state = "missing"
        session.flush()
        age(session)
    assert collected(catalog) == {"files": 1}
    with catalog.read() as session:
        assert session.exec(select(Asset.fx_name)).all() == ["New name"]
        assert (count(session, "old"), count(session, "new"), count(session, "here")) == (0, 1, 1)


def test_housekeeping_rows(catalog: Catalog) -> None:
    now = now_us()
    with catalog.session() as session:
        sound = add_sound(session, "a.wav")
        add_tags(session, sound, ["wet", "dry"], "test")
        remove_tags(session, sound, ["dry"], "test")
        for n, (status, age_days) in enumerate((("succeeded", 60), ("failed", 60), ("succeeded", 1), ("queued", 60))):
            finished = now - age_days * DAY_US if status != "queued" else None
            session.add(Job(kind="probe", dedupe_key=str(n), queue="io", status=status, finished_at=finished))
        for name, silent in (("dead", 2 * DAY_US), ("alive", 0)):
            session.add(Worker(owner=name, name=name, heartbeat_at=now - silent))
        for key, left in (("old", -1), ("new", DAY_US)):
            facts = {"sample_rate": 48_000, "channels": 1, "frames": 1, "content": b"x" * 10}
            session.add(Delivery(key=key, expires_at=now + left, **facts))
    assert collected(catalog) == {"jobs": 1, "workers": 1, "tags": 1, "deliveries": 1}
    with catalog.read() as session:
        assert session.exec(select(Tag.name)).all() == ["wet"] and number(session, AssetTag) == 1
        assert session.exec(select(Worker.owner)).all() == ["alive"]
        assert session.exec(select(Delivery.key)).all() == ["new"]
        assert sorted(session.exec(select(Job.status).order_by(col(Job.id))).all()) == ["failed", "queued", "succeeded"]


def test_many_rows_go_in_small_transactions(catalog: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gc, "CHUNK", 3)
    with catalog.session() as session:
        session.add_all(Tag(name=f"t{n}", name_key=f"t{n}") for n in range(10))
    told: list[tuple[int, int]] = []
    collect_garbage(catalog, 0.0, lambda done, total: told.append((done, total)))
    assert told == [(3, 10), (6, 10), (9, 10), (10, 10)]
