"""Names of exported files: templates in the trade's words, safe on every file system, never twice."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spresso_assets.errors import SpressoError
from spresso_assets.export.naming import Names, check_template, fill, safe


def test_ucs_template() -> None:
    values = {"cat_id": "DOORWood", "fx_name": "Slam", "creator_id": "JD", "source_id": "LIB"}
    assert fill("{CatID}_{FXName}_{CreatorID}_{SourceID}", values) == "DOORWood_Slam_JD_LIB"


def test_empty_fields_leave_no_holes() -> None:
    assert fill("{CatID}_{FXName}_{CreatorID}", {"cat_id": "RAIN", "creator_id": "JD"}) == "RAIN_JD"
    assert fill("{FXName}", {"id": "3f2a"}) == "3f2a"


def test_slashes_of_the_template_make_folders_those_of_values_do_not() -> None:
    assert fill("{Category}/{Name}", {"category": "DOORS", "name": "in/out"}) == "DOORS/in_out"
    assert fill("{Name}", {"name": "../../etc"}) == "etc"


def test_unknown_place_is_refused_with_the_list() -> None:
    with pytest.raises(SpressoError) as caught:
        check_template("{Nmae}")
    assert "{Name}" in caught.value.hint


@given(st.text(max_size=300))
def test_safe_names(name: str) -> None:
    made = safe(name)
    assert len(made.encode("utf-8")) <= 180
    assert not set(made) & set('/\\<>:"|?*\0\n')
    assert made not in (".", "..") and made == made.strip(" ")


def test_windows_device_names() -> None:
    assert safe("CON") == "_CON" and safe("lpt1.x") == "_lpt1.x"


def test_names_are_given_once_whatever_their_case() -> None:
    names = Names()
    assert [names.free(name) for name in ("Door", "door", "DOOR", "gate")] == ["Door", "door-2", "DOOR-3", "gate"]
