"""Profiles and payloads: immutable settings, one ready rendition each, nothing of one profile touched by another."""

import pytest
from sqlalchemy.exc import IntegrityError
from sqlmodel import select

from spresso_assets.catalog.engine import Catalog
from spresso_assets.catalog.models import Rendition, SourceFile
from spresso_assets.catalog.profiles import (
    BUILT_IN,
    add_profile,
    ensure_model,
    ensure_profiles,
    get_default,
    get_profile,
    list_profiles,
    operating_point,
    set_default,
)
from spresso_assets.catalog.renditions import (
    get_payload,
    list_renditions,
    missing_assets,
    seed_of_hash,
    store_rendition,
)
from spresso_assets.catalog.stats import collect
from spresso_assets.errors import SpressoError
from tests.catalog.sounds import add_sound


def test_built_in_profiles_are_the_codecs_operating_points() -> None:
    from spresso_assets.codec.config import OPERATING_POINTS

    assert BUILT_IN.keys() == OPERATING_POINTS.keys()
    for name, point in OPERATING_POINTS.items():
        ours = BUILT_IN[name]
        assert (ours.frame_rate, ours.pool, ours.codebooks, ours.bits) == (
            point.rate,
            point.pool,
            point.codebooks,
            point.bits,
        )
        assert ours.nominal_kbps == pytest.approx(point.nominal_kbps())


def test_registering_twice_changes_nothing_and_new_weights_retire_the_old(catalog: Catalog) -> None:
    with catalog.session() as session:
        old = ensure_profiles(session, ensure_model(session, "small", "aa"))
        again = ensure_profiles(session, ensure_model(session, "small", "aa"))
        assert [profile.id for profile in again.values()] == [profile.id for profile in old.values()]
        new = ensure_profiles(session, ensure_model(session, "small", "bb"))
        assert get_profile(session, "25hz").id == new["25hz"].id != old["25hz"].id
        assert {profile.state for profile in old.values()} == {"retired"}
        assert len(list_profiles(session)) == 9 and len(list_profiles(session, retired=True)) == 18
        ensure_profiles(session, ensure_model(session, "small", "aa"))
        assert get_profile(session, "25hz").id == old["25hz"].id, "going back to the old weights"


def test_a_profile_may_be_added_in_another_channel_mode_and_follows_new_weights(catalog: Catalog) -> None:
    with catalog.session() as session:
        with pytest.raises(SpressoError, match="no_profiles"):
            add_profile(session, "wide", "2.5kbps", "parametric")
        ensure_profiles(session, ensure_model(session, "small", "aa"))
        wide = add_profile(session, "wide", "2.5kbps", "parametric")
        assert (wide.channel_mode, operating_point(wide)) == ("parametric", "2.5kbps")
        assert wide.nominal_kbps == pytest.approx(2.5 + 0.144)
        assert add_profile(session, "two", "wide", "dual").nominal_kbps == pytest.approx(5)
        set_default(session, "wide")
        assert ensure_profiles(session, ensure_model(session, "small", "aa"))["wide"].id == wide.id
        new = ensure_profiles(session, ensure_model(session, "small", "bb"))["wide"]
        assert new.id != wide.id and wide.state == "retired"
        assert get_profile(session).id == new.id and new.params == wide.params


@pytest.mark.parametrize(
    ("name", "like", "mode", "code"),
    [
        ("wide", "2.5kbps", "parametric", "profile_exists"),
        ("broad", "2.5kbps", "parametric", "profile_exists"),
        ("1hz", "2.5kbps", "dual", "profile_exists"),
        ("plain", "2.5kbps", "mono", "profile_exists"),
        ("new", "9kbps", "dual", "unknown_profile"),
        ("new", "2.5kbps", "quad", "unknown_channel_mode"),
        ("New one", "2.5kbps", "dual", "bad_profile_name"),
        ("", "2.5kbps", "dual", "bad_profile_name"),
    ],
)
def test_profiles_that_cannot_be_added(catalog: Catalog, name: str, like: str, mode: str, code: str) -> None:
    with catalog.session() as session:
        ensure_profiles(session, ensure_model(session, "small", "aa"))
        add_profile(session, "wide", "2.5kbps", "parametric")
        with pytest.raises(SpressoError, match=code):
            add_profile(session, name, like, mode)


def test_the_default_profile_is_the_catalogs(catalog: Catalog) -> None:
    with catalog.session() as session:
        with pytest.raises(SpressoError, match="no_profiles"):
            get_profile(session)
        ensure_profiles(session, ensure_model(session, "small", "aa"))
        assert get_default(session) == get_profile(session).name == "2.5kbps"
        set_default(session, "1hz")
    with catalog.session() as session:
        assert get_profile(session).name == "1hz"
        with pytest.raises(SpressoError, match="unknown_profile"):
            set_default(session, "99hz")


def test_a_payload_comes_back_and_a_new_one_supersedes_it(catalog: Catalog) -> None:
    with catalog.session() as session:
        profiles = ensure_profiles(session, ensure_model(session, "small", "aa"))
        asset = add_sound(session, "a.wav", duration_s=2.0)
        with pytest.raises(SpressoError, match="not_encoded"):
            get_payload(session, asset)
        low = store_rendition(session, asset, profiles["1hz"], b"low")
        first = store_rendition(session, asset, profiles["2.5kbps"], b"x" * 625)
        assert first.actual_kbps == pytest.approx(2.5)
        assert store_rendition(session, asset, profiles["2.5kbps"], b"x" * 625).id == first.id, "the same bytes: no-op"
        second = store_rendition(session, asset, profiles["2.5kbps"], b"y" * 600)
        session.refresh(first)
        assert (first.status, second.status, low.status) == ("superseded", "ready", "ready")
        found = get_payload(session, asset, "2.5kbps")
        assert (found.payload, found.weights_sha256, found.decode_seed) == (
            b"y" * 600,
            "aa",
            seed_of_hash(asset.audio_hash),
        )
        assert [profile.name for _, profile in list_renditions(session, asset.id or 0)] == ["2.5kbps", "1hz"]


def test_two_ready_renditions_cannot_be(catalog: Catalog) -> None:
    with pytest.raises(IntegrityError), catalog.session() as session:
        profile = ensure_profiles(session, ensure_model(session, "small", "aa"))["1hz"]
        asset = add_sound(session, "a.wav")
        store_rendition(session, asset, profile, b"one")
        session.add(
            Rendition(
                asset_id=asset.id,
                profile_id=profile.id,
                payload_sha256="x",
                payload_bytes=1,
                actual_kbps=1,
                decode_seed=1,
                payload=b"2",
            )
        )


def test_a_damaged_payload_is_never_handed_out(catalog: Catalog) -> None:
    with catalog.session() as session:
        profile = ensure_profiles(session, ensure_model(session, "small", "aa"))["1hz"]
        asset = add_sound(session, "a.wav")
        store_rendition(session, asset, profile, b"whole").payload = b"bitrot"
        session.flush()
        with pytest.raises(SpressoError, match="payload_corrupt"):
            get_payload(session, asset)


def test_missing_are_sounds_with_a_file_and_without_the_profile(catalog: Catalog) -> None:
    with catalog.session() as session:
        profiles = ensure_profiles(session, ensure_model(session, "small", "aa"))
        encoded, waiting, gone = (add_sound(session, name) for name in ("a.wav", "b.wav", "c.wav"))
        store_rendition(session, encoded, profiles["1hz"], b"x")
        session.exec(select(SourceFile).where(SourceFile.asset_id == gone.id)).one().state = "missing"
        session.flush()
        assert [asset.id for asset in missing_assets(session, profiles["1hz"])] == [waiting.id]
        assert len(missing_assets(session, profiles["25hz"])) == 2


def test_stats_add_up(catalog: Catalog) -> None:
    with catalog.session() as session:
        profiles = ensure_profiles(session, ensure_model(session, "small", "aa"))
        first = add_sound(session, "a.wav", duration_s=2.0, flags=["silent"])
        add_sound(session, "copy.wav", sound="a.wav", duration_s=2.0)
        add_sound(session, "b.wav", duration_s=6.0, flags=["silent", "clipped"])
        store_rendition(session, first, profiles["2.5kbps"], b"x" * 250)
        stats = collect(session)
        assert (stats.assets, stats.files, stats.source_bytes, stats.payload_bytes) == (2, 3, 3000, 250)
        assert stats.hours == pytest.approx(8 / 3600) and stats.encoded == 1
        assert stats.flags == {"silent": 2, "clipped": 1}
        (profile,) = stats.profiles
        assert (profile.name, profile.kbps, profile.coverage, profile.ratio) == ("2.5kbps", 1.0, 0.5, 4.0)
        assert collect(session, "flag:clipped").assets == 1
