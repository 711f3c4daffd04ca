"""Synthetic catalogs are what a scan and an encoding would have left: nothing else would measure anything."""

from sqlalchemy import func, select
from sqlmodel import col

from spresso_assets.bench.synthetic import fill
from spresso_assets.catalog.assets import resolve
from spresso_assets.catalog.editing import set_field
from spresso_assets.catalog.engine import Catalog
from spresso_assets.catalog.models import Asset, AssetText, Job, Rendition, SourceFile
from spresso_assets.catalog.renditions import get_payload, store_rendition
from spresso_assets.catalog.search import count, search


def texts(session) -> dict[int, tuple[str, ...]]:  # type: ignore[no-untyped-def]
    rows = session.connection().execute(
        select(col(AssetText.asset_id), col(AssetText.names), col(AssetText.words), col(AssetText.tags))
    )
    return {row[0]: tuple(row[1:]) for row in rows}


def test_filled_rows_are_what_the_catalog_would_write_itself(catalog: Catalog) -> None:
    filled = fill(catalog, 300, payload_bytes=120, profiles=("2.5kbps", "1hz"), jobs=True)
    assert (filled.assets, filled.renditions, filled.payload_bytes) == (300, 600, 600 * 120)
    with catalog.session() as session:
        before = texts(session)
        session.expunge_all()
        for asset in session.execute(select(Asset)).scalars().all():
            assert not resolve(session, asset.id), "fields and columns agree"
            assert len(get_payload(session, asset).payload) == 120, "hash and payload agree"
        assert texts(session) == before, "the text is what refreshing makes of the fields"
        jobs = session.execute(select(func.count()).select_from(Rendition).join(Job)).scalar_one()
        files = session.execute(select(func.count()).select_from(SourceFile)).scalar_one()
    assert jobs == 600 and files == filled.files > 300


def test_a_filled_catalog_goes_on_as_any_other(catalog: Catalog) -> None:
    fill(catalog, 50)
    fill(catalog, 50, seed=1)
    with catalog.session() as session:
        asset = session.execute(select(Asset).limit(1)).scalar_one()
        session.add(Asset(uid="0" * 32, audio_hash="pcm-sha256:0", frames=1, duration=1, sample_rate=1, channels=1))
        set_field(session, asset, "fx_name", "Xylophone", "test")
        profile = search(session, "xylophone")[0].profiles[0]
        assert profile == "2.5kbps"
        from spresso_assets.catalog.profiles import get_profile

        store_rendition(session, asset, get_profile(session, profile), b"new")
        assert count(session, "") == 101


def test_the_same_seed_gives_the_same_sounds_everywhere(catalog: Catalog) -> None:
    fill(catalog, 20)
    with catalog.read() as session:
        hits = search(session, "", None)
    assert [(hit.uid[:8], hit.name) for hit in hits[:2]] == [
        ("ac72368a", "Distant whoosh deep"),
        ("ef134f2a", "Wet waves on rocks"),
    ]
