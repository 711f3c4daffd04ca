"""Pages are found by short cuts; the sounds on them are those of the full way, in every kind of query."""

import pytest

from spresso_assets.bench.catalog_scale import queries
from spresso_assets.bench.synthetic import fill
from spresso_assets.catalog import pages
from spresso_assets.catalog.engine import Catalog
from spresso_assets.catalog.grammar import parse
from spresso_assets.catalog.rows import SessionRows
from spresso_assets.catalog.search import find, search, search_ids

MORE = [
    "attl slams",
    "oor -slam",
    "tag:wet slam",
    "profile:=2.5kbps oak",
    "state:missing rain",
    "do slam",
    "müll",
    "oak -do",
]


@pytest.mark.parametrize("ranked", [0, 3, 40, 1000])
def test_pages_hold_what_the_full_search_holds(catalog: Catalog, monkeypatch: pytest.MonkeyPatch, ranked: int) -> None:
    monkeypatch.setattr(pages, "FEW", ranked)
    monkeypatch.setattr(pages, "PARTS", ((0, ranked), (ranked, 2 * ranked), (2 * ranked, None)))
    monkeypatch.setattr(pages, "RANKED", ranked)  # each size sends queries through other short cuts
    fill(catalog, 400)
    taken = 0
    with catalog.read() as session:
        for query in {query for _, query, _ in queries()} | set(MORE):
            full = search_ids(session, query)
            found = [hit.id for hit in search(session, query, limit=1000)]
            assert sorted(found) == full, query
            assert len(found) == len(set(found))
            few = [hit.id for hit in search(session, query, limit=5, offset=2)]
            assert len(few) == min(5, max(0, len(full) - 2)) and set(few) <= set(full), query
            if ranked == 1000:  # with more hits than are ranked, a page and the whole are in different orders
                assert few == found[2:7], query
            told, number = find(session, query, 5, most=20), len(full)
            assert (told.total == number) if told.exact else (told.total <= number and told.total >= min(5, number)), (
                query
            )
            taken += pages.page(SessionRows(session), parse(query), 10, 0) is not None
    assert taken > 40, "the short cuts were really taken"


def test_whole_words_come_before_parts_of_words(catalog: Catalog) -> None:
    from tests.catalog.sounds import add_sound

    with catalog.session() as session:
        add_sound(session, "bathroom.wav")
        add_sound(session, "room tone.wav")
        add_sound(session, "rooms.wav")
        names = [hit.name for hit in search(session, "room")]
    assert names[-1] == "bathroom" and set(names) == {"bathroom", "room tone", "rooms"}


@pytest.mark.parametrize("few", [0, 3, 1000])  # by walking along an index, or by sorting what was found
def test_a_sorted_page_is_a_part_of_the_sorted_whole(
    catalog: Catalog, monkeypatch: pytest.MonkeyPatch, few: int
) -> None:
    monkeypatch.setattr(pages, "SORTED", few)
    fill(catalog, 300)
    with catalog.read() as session:
        for query in ("", "oak", "oak slam", "-oak", "tag:wet", "cat_id:=DOORWood", "door , rain", "nothing-like-this"):
            for sort in ("name", "-name", "duration", "-duration", "added", "-changed", "library"):
                whole = [hit.id for hit in search(session, query, limit=None, sort=sort)]
                assert sorted(whole) == search_ids(session, query)
                found = find(session, query, limit=7, offset=3, sort=sort)
                assert [hit.id for hit in found.hits] == whole[3:10], (query, sort)
                assert found.total == len(whole) if found.exact else found.total <= len(whole), (query, sort)


def test_counting_gives_up_and_the_page_is_still_there(catalog: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(catalog, 60)
    with catalog.read() as session:
        rows = SessionRows(session)
        endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"
        with pytest.raises(TimeoutError), rows.within(0.01):
            rows.rows(endless, {})
        assert len(find(session, "", limit=5).hits) == 5, "the snapshot goes on"
        with rows.within(60):
            assert rows.rows("SELECT 1", {}) == [(1,)]
        monkeypatch.setattr("spresso_assets.catalog.search._count_up_to", lambda *_: rows.rows(endless, {})[0][0])
        found = find(session, "channels:1..", limit=5)
        assert (len(found.hits), found.total, found.exact) == (5, 5, False)


def test_files_that_are_no_sound_yet_do_not_stop_a_search_by_state(catalog: Catalog) -> None:
    fill(catalog, 20)
    with catalog.session() as session:
        session.connection().exec_driver_sql("UPDATE source_file SET asset_id = NULL, state = 'settling' WHERE id < 3")
        assert search(session, "state:settling") == []
        assert find(session, "state:present", limit=5).hits
