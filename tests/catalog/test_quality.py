"""What measured renditions say of an archive, on both databases: figures, and what stands out below its profile."""

from itertools import product
from typing import Any

import pytest
from sqlmodel import Session, select

from spresso_assets.catalog.details import describe
from spresso_assets.catalog.engine import Catalog
from spresso_assets.catalog.measured import METRIC
from spresso_assets.catalog.models import Asset, EncodeProfile, Rendition
from spresso_assets.catalog.profiles import add_profile, ensure_model, ensure_profiles
from spresso_assets.catalog.quality import Low, above, keep_verdicts, low_sounds, quality_report, with_a_better
from spresso_assets.catalog.renditions import store_rendition
from spresso_assets.catalog.search import count, search, search_ids
from spresso_assets.errors import SpressoError
from spresso_assets.evaluation.judging import quality_record
from spresso_assets.jobs.reencode_plan import plan
from spresso_assets.jobs.reencode_ways import Request, find_route, next_ways
from tests.catalog.sounds import add_sound

Profiles = dict[str, EncodeProfile]


def register(session: Session) -> Profiles:
    return ensure_profiles(session, ensure_model(session, "small", "ab" * 32))


def measured(session: Session, n: int, profile: EncodeProfile, value: float, low: bool = False, **more: Any) -> int:
    """The n-th sound under a profile, measured and judged; returns the row id of the sound."""
    known = search_ids(session, f"path:={n}.wav")
    asset = session.get_one(Asset, known[0]) if known else add_sound(session, f"{n}.wav")
    record = quality_record(value, 0, 1) | more
    made = store_rendition(session, asset, profile, f"{n}{profile.id}".encode(), quality=record)
    assert made.id is not None and asset.id is not None
    keep_verdicts(session, {made.id: low})
    return asset.id


def planned(session: Session, query: str, profile: str, **how: Any) -> list[int]:
    return [row.id for row in next_ways(session, find_route(session, Request(query, profile, **how)), 0, 100)]


def test_what_stands_out_under_a_profile_is_what_reencoding_plans(catalog: Catalog) -> None:
    with catalog.session() as session:
        profiles = register(session)
        low = [measured(session, n, profiles["0.3kbps"], 0.5, n in (2, 5)) for n in range(8)]
        # the other rendition of a sound stands out, not this one; and a worse figure does not make an outlier
        measured(session, 1, profiles["0.096kbps"], 0.3, low=True)
        measured(session, 7, profiles["0.096kbps"], 0.1)
    wanted = [low[2], low[5]]
    with catalog.read() as session:
        assert search_ids(session, "quality_low:=0.3kbps") == wanted
        assert [hit.id for hit in search(session, "quality_low:=0.3kbps")] == wanted
        assert planned(session, "quality_low:=0.3kbps", "0.48kbps") == wanted
        assert planned(session, "quality_low:=0.3kbps", "0.48kbps", source="0.3kbps") == wanted
        found = plan(session, Request("quality_low:=0.3kbps", "0.48kbps"))
        assert found.sounds == 2 and found.ways["encode"].sounds == 2
        # the sound has a better one than what stands out: nothing is wrong with it
        assert search_ids(session, "quality_low:=0.096kbps") == []
        assert low_sounds(session) == [Low("0.3kbps", 2, "0.48kbps")]
        assert low_sounds(session, "path:=2.wav") == [Low("0.3kbps", 1, "0.48kbps")]
        assert count(session, "-quality_low:kbps") == 6
        with pytest.raises(SpressoError, match="bad_query"):
            search(session, "quality_low:")


@pytest.mark.parametrize("retire", [False, True])
def test_what_was_moved_is_not_planned_again(catalog: Catalog, retire: bool) -> None:
    with catalog.session() as session:
        profiles = register(session)
        ids = [measured(session, n, profiles["0.3kbps"], 0.5, low=True) for n in range(3)]
        how = {"source": "0.3kbps", "retire": retire}
        assert planned(session, "quality_low:=0.3kbps", "1.32kbps", **how) == ids
        store_rendition(session, session.get_one(Asset, ids[0]), profiles["1.32kbps"], b"better")
        session.flush()
        assert planned(session, "quality_low:=0.3kbps", "1.32kbps", **how) == ids[1:]
        store_rendition(session, session.get_one(Asset, ids[1]), profiles["1hz"], b"no more frames, but more bits")
        store_rendition(session, session.get_one(Asset, ids[2]), profiles["0.096kbps"], b"worse")
        session.flush()
        assert planned(session, "quality_low:=0.3kbps", "1.32kbps", **how) == ids[2:]
        # the payload that stood out is not there any more
        store_rendition(session, session.get_one(Asset, ids[2]), profiles["0.3kbps"], b"another")
        session.flush()
        assert planned(session, "quality_low:=0.3kbps", "1.32kbps", **how) == [] == low_sounds(session)


def test_figures_of_another_metric_do_not_count(catalog: Catalog) -> None:
    """Versions before kept a distance, which is small where this one is large."""
    with catalog.session() as session:
        profiles = register(session)
        both = [
            measured(session, 0, profiles["2.5kbps"], 0.8, target=0.9),
            measured(session, 1, profiles["2.5kbps"], 0.1, low=True, target=0.9, metric="mel_distance"),
        ]
        session.flush()
    with catalog.read() as session:
        found = quality_report(session)
        assert [(row.renditions, row.values) for row in found.profiles] == [(2, [0.8])]
        assert [item.value for item in found.worst] == [0.8]
        assert found.short_count == 1 and [item.value for item in found.short] == [0.8]
        assert search_ids(session, "quality_low:kbps") == [] == low_sounds(session)
        assert found.as_dict()["metric"] == METRIC
        stored = [describe(session, session.get_one(Asset, known))["renditions"][0]["quality"] for known in both]
        assert stored == [quality_record(0.8, 0, 1) | {"target": 0.9}, None]
        # who was judged by another metric is judged again; who met the target by this one is left in peace
        assert planned(session, "", "2.5kbps", target_quality=0.85) == both[1:]


def test_a_verdict_is_kept_beside_the_figure_and_taken_back(catalog: Catalog) -> None:
    with catalog.session() as session:
        measured(session, 0, register(session)["2.5kbps"], 0.8, low=True, target=0.9)
        row = session.exec(select(Rendition)).one()
        assert row.quality is not None and row.id is not None
        assert row.quality == quality_record(0.8, 0, 1) | {"target": 0.9, "verdict": "low"}
        keep_verdicts(session, {row.id: False})
        session.refresh(row)
        assert row.quality == quality_record(0.8, 0, 1) | {"target": 0.9}


def test_the_next_profile_carries_more_by_frames_and_by_bits(catalog: Catalog) -> None:
    with catalog.session() as session:
        profiles = register(session)
        profiles["dual"] = add_profile(session, "dual", "2.5kbps", "dual")
        rows = list(profiles.values())
        climbs = {row.name: [other.name for other in above(row, rows)][:1] for row in rows}
        assert climbs == {
            "0.096kbps": ["0.3kbps"], "0.3kbps": ["0.48kbps"], "0.48kbps": ["1.32kbps"], "1.32kbps": ["2.5kbps"],
            "2.5kbps": ["25hz"], "1hz": ["1.32kbps"], "5hz": ["11hz"], "11hz": ["25hz"], "25hz": [], "dual": [],
        }  # fmt: skip
        # both ways to say it agree, in the database and out of it
        for n, (one, other) in enumerate(product(rows, rows)):
            if one is other:
                continue
            asset = add_sound(session, f"{n}.wav")
            stood = store_rendition(session, asset, one, b"one")
            store_rendition(session, asset, other, b"other")
            assert stood.id is not None
            assert bool(with_a_better(session, [stood.id])) == (other in above(one, rows)), (one.name, other.name)
        profiles["25hz"].state = "retired"
        assert above(profiles["2.5kbps"], rows) == []
