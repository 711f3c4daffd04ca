"""Captions say what the fields say: most telling first, nothing twice, and never a take number."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from spresso_assets.catalog.captions import caption, captions
from spresso_assets.catalog.engine import open_catalog
from spresso_assets.catalog.models import Asset, SourceFile, WatchRoot


def _asset(**fields: Any) -> Asset:
    return Asset(
        uid="0" * 32, audio_hash=fields.pop("audio_hash", "0"), frames=1, duration=1.0, sample_rate=48_000, channels=1
    ).sqlmodel_update(fields)


@pytest.mark.parametrize(
    ("fields", "path", "expected"),
    [
        (
            {"fx_name": "DoorSlam_Heavy-01", "cat_id": "DOORWood", "creator_id": "ABC", "source_id": "LIB"},
            "x.wav",
            "Door Slam Heavy. Door wood",
        ),
        (
            {
                "title": "Rain on tin roof",
                "description": "Steady rain,\n close perspective.",
                "category": "RAIN",
                "subcategory": "METAL",
                "keywords": "rain, tin; Drip ,drip",
            },
            "x.wav",
            "Rain on tin roof. Steady rain, close perspective. Rain, metal. Drip",
        ),
        ({"title": "Door", "description": "door"}, "x.wav", "Door"),
        ({"category": "DOORS", "subcategory": "WOOD", "cat_id": "DOORWood"}, "x.wav", "Doors, wood"),
        ({}, "Doors/GlassBreak_Big_02.wav", "Glass Break Big"),
        ({}, "takes/0017.wav", ""),
        ({"title": "..."}, "a.wav", "A"),
    ],
)
def test_captions(fields: dict[str, str], path: str, expected: str) -> None:
    assert caption(_asset(**fields), path) == expected


def test_every_present_file_has_its_line_in_a_fixed_order(catalog_file: Path) -> None:
    catalog = open_catalog(catalog_file)
    with catalog.session() as session:
        roots = [WatchRoot(name=n, path=f"/{n}") for n in ("sfx", "more")]
        asset = _asset(title="Door slam")
        session.add_all([*roots, asset])
        session.flush()
        for root, name, state in (
            (0, "b.wav", "present"),
            (0, "a.wav", "present"),
            (0, "c.wav", "missing"),
            (1, "d.wav", "present"),
        ):
            session.add(
                SourceFile(
                    root_id=roots[root].id,
                    rel_path=name,
                    path_key=name,
                    size=1,
                    mtime_ns=1,
                    state=state,
                    asset_id=asset.id,
                )
            )
    with catalog.read() as session:
        assert list(captions(session)) == [
            (r, p, "Door slam") for r, p in (("more", "d.wav"), ("sfx", "a.wav"), ("sfx", "b.wav"))
        ]
        assert [p for _, p, _ in captions(session, "more")] == ["d.wav"]
    catalog.close()
