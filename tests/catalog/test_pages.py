"""Pages are found by short cuts; the sounds on them are those of the full way, in every kind of query."""

import pytest

from spresso_assets.bench.catalog_scale import queries
from spresso_assets.bench.synthetic import fill
from spresso_assets.catalog import pages
from spresso_assets.catalog.engine import Catalog
from spresso_assets.catalog.grammar import parse
from spresso_assets.catalog.rows import SessionRows
from spresso_assets.catalog.search import count, count_up_to, search, search_ids

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
            assert count_up_to(session, query, 20) == min(20, count(session, query)), query
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
