"""Searching, on both databases: what a person types and what comes back."""

from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlmodel import Session

from spresso_assets.catalog.editing import add_tags
from spresso_assets.catalog.engine import Catalog, open_catalog
from spresso_assets.catalog.profiles import ensure_model, ensure_profiles
from spresso_assets.catalog.renditions import store_rendition
from spresso_assets.catalog.search import count, search, search_ids
from spresso_assets.errors import SpressoError
from tests.catalog.conftest import new_location
from tests.catalog.sounds import add_sound


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def doors(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Catalog]:
    with new_location(request, tmp_path_factory.mktemp("doors")) as location:
        catalog = open_catalog(location, create=True)
        with catalog.session() as session:
            slam = add_sound(
                session,
                "Doors/DOORWood_DoorSlam-01.wav",
                duration_s=1.5,
                fields={"cat_id": "DOORWood", "category": "DOORS", "description": "Heavy oak door slammed shut"},
            )
            add_sound(session, "Doors/metal gate creaks.wav", duration_s=4.0, fields={"track_year": "2018"})
            add_sound(session, "Rooms/bathroom tone.flac", duration_s=60.0, channels=2, flags=["silent"])
            add_sound(
                session, "Birds/Café crow.wav", duration_s=0.4, fields={"description": "Crow in a wooden car door"}
            )
            add_tags(session, slam, ["Favourite"], "me")
            profile = ensure_profiles(session, ensure_model(session, "small", "ab"))["2.5kbps"]
            store_rendition(session, slam, profile, b"x" * 100)
        yield catalog
        catalog.close()


def names(session: Session, query: str, **options: object) -> list[str]:
    return [hit.path.rpartition("/")[2] for hit in search(session, query, **options)]  # type: ignore[arg-type]


SLAM, GATE, ROOM, CROW = "DOORWood_DoorSlam-01.wav", "metal gate creaks.wav", "bathroom tone.flac", "Café crow.wav"


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", {SLAM, GATE, ROOM, CROW}),
        ("slam", {SLAM}),  # camel case is taken apart
        ("slams", {SLAM}),  # stemming: slamming, slams, slam
        ("door slam", {SLAM}),  # both words
        ("room", {ROOM}),  # inside bathroom: trigrams
        ("GATE", {GATE}),
        ("creaking", {GATE}),
        ('"car door"', {CROW}),
        ('"door car"', set()),
        ("door -heavy", {CROW, GATE}),  # the gate is in the folder Doors
        ("gate,crow", {GATE, CROW}),
        ("heavy door , tone", {SLAM, ROOM}),
        ("heavy door, tone", {SLAM, ROOM}),
        ("cat_id:doorw", {SLAM}),
        ("cat_id:=door", set()),
        ("-cat_id:", {SLAM}),
        ("cat_id:", {GATE, ROOM, CROW}),
        ("duration:..1.5", {SLAM, CROW}),
        ("duration:1..5", {SLAM, GATE}),
        ("duration:60", {ROOM}),
        ("duration:0.4,4", {CROW, GATE}),
        ("rate:48k -channels:1", {ROOM}),
        ("flag:silent", {ROOM}),
        ("tag:favour", {SLAM}),
        ("-tag:favourite", {GATE, ROOM, CROW}),
        ("favourite", {SLAM}),
        ("path:Doors/", {SLAM, GATE}),
        ('path:"metal gate"', {GATE}),
        ("profile:=2.5kbps", {SLAM}),
        ("-profile:=2.5kbps", {GATE, ROOM, CROW}),
        ("kbps:..1", {SLAM}),
        ("track_year:2015..2018", {GATE}),
        ("root:sfx state:present", {SLAM, GATE, ROOM, CROW}),
        ("added:2020..", {SLAM, GATE, ROOM, CROW}),
        ("added:..2020", set()),
        ("café", {CROW}),
        ("nothinglikethis", set()),
    ],
)
def test_queries(doors: Catalog, query: str, expected: set[str]) -> None:
    with doors.read() as session:
        assert set(names(session, query)) == expected
        assert count(session, query) == len(search_ids(session, query)) == len(expected)


def test_the_better_match_comes_first(doors: Catalog) -> None:
    with doors.read() as session:
        assert names(session, "door")[0] == SLAM, "a name counts more than a folder or a description"


def test_sorting_and_paging(doors: Catalog) -> None:
    with doors.read() as session:
        assert names(session, "", sort="duration") == [CROW, SLAM, GATE, ROOM]
        assert names(session, "", sort="-duration", limit=2, offset=1) == [GATE, SLAM]
        assert names(session, "", sort="cat_id")[0] == SLAM, "those without a value come last"
        assert names(session, "", sort="-cat_id")[0] == SLAM


def test_a_hit_says_where_the_file_is_and_what_it_was_encoded_as(doors: Catalog) -> None:
    with doors.read() as session:
        (hit,) = search(session, "slam")
    assert (hit.root, hit.full_path, hit.file_state) == ("sfx", f"/sounds/Doors/{SLAM}", "present")
    assert (hit.profiles, hit.tags, hit.duration_s, hit.category) == (["2.5kbps"], ["Favourite"], 1.5, "DOORS")
    assert "id" not in hit.as_dict() and hit.as_dict()["uid"] == hit.uid


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ('"open', "bad_query"),
        ("duration:long", "bad_query"),
        ("duration:..", "bad_query"),
        ("added:yesterday", "bad_query"),
        ("added:2026-13", "bad_query"),
        ("tag:", "bad_query"),
        ("duratoin:2", "unknown_field"),
        ("duration:nan", "bad_query"),
    ],
)
def test_mistakes_are_named(doors: Catalog, query: str, code: str) -> None:
    with doors.read() as session, pytest.raises(SpressoError) as caught:
        search(session, query)
    assert (caught.value.code, caught.value.exit_code, bool(caught.value.hint)) == (code, 2, True)


def test_a_sort_that_makes_no_sense_is_named(doors: Catalog) -> None:
    with doors.read() as session, pytest.raises(SpressoError, match="sorted"):
        search(session, "", sort="tag")


@settings(max_examples=100, deadline=None)
@given(st.text(alphabet=st.sampled_from("ab éDß*\"'()-,:.^+{}=%_!\\\0;日2"), max_size=14) | st.text(max_size=10))
def test_no_text_breaks_the_database(doors: Catalog, query: str) -> None:
    """Whatever is typed is answered, or refused as a bad query; it is never read as the database's own syntax."""
    with doors.read() as session:
        try:
            search(session, query)
        except SpressoError as error:
            assert error.code in ("bad_query", "unknown_field")
