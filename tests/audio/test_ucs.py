from __future__ import annotations

import pytest

from spresso_assets.audio.ucs import parse_ucs


def test_all_blocks() -> None:
    found = {value.field: value.value for value in parse_ucs("AMBForst-EXT_Dawn-Morning Birds_ABC_LIB02_MS_96k.wav")}
    assert found == {
        "cat_id": "AMBForst",
        "user_category": "EXT",
        "vendor_category": "Dawn",
        "fx_name": "Morning Birds",
        "creator_id": "ABC",
        "source_id": "LIB02",
        "user_data": "MS_96k",
    }


@pytest.mark.parametrize("name", ["DOORWood_Slam_ABC_LIB.wav", "WHSH_Fast_ABC_LIB.flac", "folder/MAGEvil_A_B_C.wav"])
def test_the_shortest_names(name: str) -> None:
    assert {"cat_id", "fx_name", "creator_id", "source_id"} == {value.field for value in parse_ucs(name)}


@pytest.mark.parametrize(
    "name",
    [
        "door.wav",
        "door_slam_01_heavy.wav",
        "TREE_fall.wav",
        "DOORWood_Slam_ABC.wav",
        "Door_Slam_ABC_LIB.wav",
        "____.wav",
        "",
    ],
)
def test_other_names_state_nothing(name: str) -> None:
    assert parse_ucs(name) == []
