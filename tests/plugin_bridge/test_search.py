"""Search as clients see it."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

import httpx2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plugin_bridge.api.search import TSV, Asked, decode_cursor, encode_cursor
from spresso_assets.errors import SpressoError
from tests.plugin_bridge.running import SOUNDS, FilledCatalog, Running


def names(client: httpx2.Client, **parameters: Any) -> list[str]:
    answer = client.get("/v1/search", params=parameters)
    assert answer.status_code == 200, answer.text
    return [item["name"] for item in answer.json()["items"]]


def test_an_item_tells_what_a_list_shows(client: httpx2.Client, bridge_catalog: FilledCatalog) -> None:
    found = client.get("/v1/search", params={"q": "rain tin"}).json()
    (item,) = found["items"]
    uid = bridge_catalog.id_of("rain")
    assert (found["total"], found["total_is_exact"], found["next_cursor"]) == (1, True, None)
    assert item["id"] == uid
    assert (item["name"], item["cat_id"], item["category"]) == ("Heavy rain on a tin roof", "RAINGen", "RAIN")
    assert item["filename"] == "RAINGen_Heavy rain on a tin roof_JD_LIB.wav"
    assert (item["duration_s"], item["channels"], item["sample_rate"]) == (2.0, 2, 48_000)
    assert item["path"] == str(bridge_catalog.folder / "Rain" / item["filename"])
    assert item["file_state"] == "present" and len(item["profiles"]) == 1
    assert client.get(item["peaks_url"]).status_code == 200
    assert client.head(item["audio_url"]).status_code == 200


def test_filters_narrow_words(client: httpx2.Client) -> None:
    doors = {"Wooden door slams", "Metal door, rusty", "Door creak slow"}
    assert set(names(client, q="door")) == doors
    assert set(names(client, category="DOORS")) == doors == set(names(client, category="doors"))
    assert names(client, q="door", channels=2) == ["Metal door, rusty"]
    assert names(client, q="door", dur_min=1) == ["Door creak slow"]
    assert names(client, q="door", dur_min=0.5, dur_max=1, channels=1) == ["Wooden door slams"]
    assert names(client, category="DOOR") == []  # a category is meant whole
    assert set(names(client, cat_id="DOOR")) == doors
    assert names(client, cat_id="DOORWood") == ["Wooden door slams"]
    assert len(names(client, cat_id="feet")) == 3 and names(client, cat_id="ETHmn") == []
    assert names(client, q="door", tag=["wet", "dry"]) == []
    # filters hold for each of several groups
    assert names(client, q="door , rain", channels=2, dur_max=1) == ["Metal door, rusty"]


def test_sorting(client: httpx2.Client) -> None:
    by_length = names(client, sort="-duration")
    assert by_length[:2] == ["Heavy rain on a tin roof", "Door creak slow"]
    assert names(client, sort="name") == sorted(names(client), key=str.lower)


@pytest.mark.parametrize("sort", ["", "name", "-duration"])
def test_pages_show_every_sound_once(client: httpx2.Client, sort: str) -> None:
    whole = names(client, sort=sort)
    assert len(whole) == len(SOUNDS)
    paged: list[str] = []
    cursor = ""
    for _ in range(10):
        parameters = {"sort": sort, "limit": 3, **({"cursor": cursor} if cursor else {})}
        found = client.get("/v1/search", params=parameters).json()
        assert (found["total"], found["total_is_exact"]) == (len(SOUNDS), True)
        paged += [item["name"] for item in found["items"]]
        cursor = found["next_cursor"]
        if cursor is None:
            break
    assert paged == whole


def test_a_last_page_that_is_full_is_the_last(client: httpx2.Client) -> None:
    assert client.get("/v1/search", params={"limit": len(SOUNDS)}).json()["next_cursor"] is None
    assert client.get("/v1/search", params={"q": "gravel", "limit": 3}).json()["next_cursor"] is None


def test_a_cursor_belongs_to_its_search() -> None:
    asked = Asked(q="door", limit=10)
    cursor = encode_cursor(10, asked)
    assert decode_cursor(Asked(q="door", limit=20, cursor=cursor)) == 10  # a page may be of another length
    for other in (Asked(q="rain", cursor=cursor), Asked(q="door", sort="name", cursor=cursor)):
        with pytest.raises(SpressoError, match="bad_cursor"):
            decode_cursor(other)


def test_a_table_is_one_line_per_sound(client: httpx2.Client) -> None:
    answer = client.get("/v1/search", params={"q": "gravel", "format": "tsv", "sort": "name"})
    assert answer.headers["content-type"] == "text/tab-separated-values; charset=utf-8"
    head, *lines = answer.text.splitlines()
    assert tuple(head.split("\t")) == TSV
    rows = [dict(zip(TSV, line.split("\t"), strict=True)) for line in lines]
    assert [row["name"] for row in rows] == [f"Footstep gravel 0{n}" for n in (1, 2, 3)]
    assert rows[0]["duration_s"] == "0.3" and rows[0]["profiles"] and len(rows[0]["id"]) == 32


def test_a_table_has_no_other_tabs_and_lines(running_bridge: Running) -> None:
    from plugin_bridge.api.search import tsv

    found = {name: "a\tb\r\nc\u2028d\x0be" for name in TSV} | {"profiles": ["x", "y"], "category": None}
    _, line = tsv([found]).rstrip("\n").split("\n")
    cells = line.split("\t")
    assert len(cells) == len(TSV)
    assert cells[0] == "a b c d e" and cells[TSV.index("category")] == "" and cells[-1] == "x,y"


def test_what_is_in_a_file_name_stays_text(client: httpx2.Client) -> None:
    (item,) = client.get("/v1/search", params={"q": "höhle"}).json()["items"]
    assert "<b onmouseover=alert(1)>" in item["name"]
    answer = client.get("/v1/search", params={"q": "höhle"})
    assert answer.headers["content-type"] == "application/json"  # and nosniff, see test_hostile


TEXT = st.text(max_size=40) | st.text(alphabet='",:;.-=()%_*\\ ab1\x00\ud800ü', max_size=20)
NUMBER = st.integers().map(str) | st.floats().map(str) | TEXT


@settings(max_examples=150)
@given(
    q=TEXT | st.sampled_from(["duration:..", 'tag:""', "cat_id:=", "-", '"a', "kbps:1..x", "added:2026-13", "id:zz"]),
    category=TEXT,
    cat_id=TEXT,
    tag=st.lists(TEXT, max_size=3),
    profile=TEXT,
    sort=TEXT | st.sampled_from(["name", "-duration", "tag", "-", "peaks"]),
    numbers=st.dictionaries(st.sampled_from(["dur_min", "dur_max", "channels", "limit"]), NUMBER, max_size=4),
    cursor=st.just("") | TEXT,
    form=st.sampled_from(["json", "tsv", "xml"]),
)
def test_whatever_is_asked_gets_sounds_or_a_reason(
    running_bridge: Running,
    q: str,
    category: str,
    cat_id: str,
    tag: list[str],
    profile: str,
    sort: str,
    numbers: dict[str, str],
    cursor: str,
    form: str,
) -> None:
    texts = {"q": q, "category": category, "cat_id": cat_id, "profile": profile, "sort": sort, "cursor": cursor}
    texts["format"] = form
    parameters = [*texts.items(), *(("tag", one) for one in tag), *numbers.items()]
    # a client may send halves of characters
    raw = [(name, value.encode("utf-8", "surrogatepass")) for name, value in parameters]
    answer = running_bridge.client.get(f"/v1/search?{urlencode(raw)}")
    assert answer.status_code in (200, 400), answer.text
    if answer.status_code == 400:
        assert answer.json()["code"] in {"bad_request", "bad_query", "unknown_field", "bad_cursor"}, answer.text
