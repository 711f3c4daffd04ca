"""Slots: a table that outlives the server, holds only sounds that exist, and is set aside when it is broken."""

from __future__ import annotations

import json
import logging
import stat
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from plugin_bridge.slots import Slot, Slots
from spresso_assets.errors import SpressoError
from tests.plugin_bridge.running import FilledCatalog, Running

UID = "0123456789abcdef" * 2


@pytest.fixture(autouse=True)
def emptied(request: pytest.FixtureRequest) -> Iterator[None]:
    """The shared bridge is left without slots."""
    yield
    if "running_bridge" in request.fixturenames:
        slots = request.getfixturevalue("running_bridge").bridge.slots
        for number in slots.all():
            slots.clear(number)


def test_sounds_on_a_slot_and_their_takes(client: httpx2.Client, bridge_catalog: FilledCatalog) -> None:
    ids = [bridge_catalog.id_of("gravel 01"), bridge_catalog.id_of("gravel 02")]
    made = client.put("/v1/slots/36", json={"ids": [ids[0][:8], ids[1]], "variations": 2, "q": "preview"}).json()
    assert made == client.get("/v1/slots/36").json() and made["ids"] == ids
    assert [(take["i"], take["id"]) for take in made["takes"]] == [(0, ids[0]), (1, ids[0]), (2, ids[1]), (3, ids[1])]
    seeds = [take["seed"] for take in made["takes"]]
    assert seeds[1] == seeds[0] + 1 and seeds[3] == seeds[2] + 1
    assert [slot["slot"] for slot in client.get("/v1/slots").json()["slots"]] == [36]
    for take in made["takes"]:
        served = client.get("/v1/slots/36/audio.wav", params={"take": take["i"]})
        assert served.headers["x-spresso-seed"] == str(take["seed"]) and len(served.content) == take["bytes"]
        assert served.content == client.get(take["audio_url"]).content, "the slot's quality is part of its addresses"
    first = client.get("/v1/slots/36/audio.wav").content
    assert "immutable" not in client.head("/v1/slots/36/audio.wav").headers["cache-control"], "slots change"
    assert client.get("/v1/slots/36/audio.wav", params={"take": 4}).content == first, "takes begin again"
    assert client.head("/v1/slots/36/audio.wav").headers["content-length"] == str(len(first))
    small = client.get("/v1/slots/36/audio.wav", params={"take": 1, "bits": "32f", "rate": 44_100})
    assert small.headers["x-spresso-seed"] == str(seeds[1]) and small.status_code == 200
    assert client.delete("/v1/slots/36").json() == {"slot": 36, "cleared": True}
    assert client.delete("/v1/slots/36").json() == {"slot": 36, "cleared": False}


def test_one_id_alone_will_do(client: httpx2.Client, bridge_catalog: FilledCatalog) -> None:
    made = client.put("/v1/slots/0", json={"id": bridge_catalog.id_of("rusty")}).json()
    assert len(made["takes"]) == 4 and made["ids"] == [bridge_catalog.id_of("rusty")]


@pytest.mark.parametrize(
    ("slot", "body", "status", "code"),
    [
        ("3", {"ids": ["ffffffff"]}, 404, "asset_not_found"),
        ("3", {}, 400, "bad_request"),
        ("3", {"ids": []}, 400, "bad_request"),
        ("3", {"ids": ["abc"], "id": "abc"}, 400, "bad_request"),
        ("3", {"id": "abc", "variations": 0}, 400, "bad_request"),
        ("3", {"id": "abc", "variations": 33}, 400, "bad_request"),
        ("128", {"id": "abc"}, 400, "bad_request"),
        ("-1", {"id": "abc"}, 400, "bad_request"),
        ("x", {"id": "abc"}, 400, "bad_request"),
    ],
)
def test_what_cannot_lie_on_a_slot(
    client: httpx2.Client, slot: str, body: dict[str, object], status: int, code: str
) -> None:
    answer = client.put(f"/v1/slots/{slot}", json=body)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert client.get("/v1/slots").json() == {"slots": []}


def test_an_empty_slot_says_how_to_fill_it(client: httpx2.Client) -> None:
    for path in ("/v1/slots/5", "/v1/slots/5/audio.wav"):
        answer = client.get(path)
        assert (answer.status_code, answer.json()["code"]) == (404, "empty_slot")
        assert "PUT /v1/slots/5" in answer.json()["hint"]


def test_a_sound_that_has_gone_leaves_the_others_in_their_places(
    client: httpx2.Client, running_bridge: Running, bridge_catalog: FilledCatalog
) -> None:
    uid = bridge_catalog.id_of("rusty")
    running_bridge.bridge.slots.put(7, Slot(ids=(UID, uid), variations=2))
    told = client.get("/v1/slots/7").json()
    assert [take["i"] for take in told["takes"]] == [2, 3] and told["ids"] == [UID, uid]
    assert client.get("/v1/slots/7/audio.wav", params={"take": 0}).json()["code"] == "asset_not_found"


# --- the file ---------------------------------------------------------------------------------------------------------


def test_the_table_outlives_the_server_and_is_its_owners(tmp_path: Path) -> None:
    file = tmp_path / "state" / "slots.json"
    slots = Slots(file)
    assert slots.all() == {} and not file.exists()
    slots.put(127, Slot(ids=(UID,), variations=3, q="preview", profile="5hz"))
    slots.put(0, Slot(ids=(UID,)))
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert Slots(file).all() == slots.all() and list(slots.all()) == [0, 127]
    slots.clear(0)
    assert list(Slots(file).all()) == [127] and [path.name for path in file.parent.iterdir()] == ["slots.json"]


@pytest.mark.parametrize(
    "content",
    [
        *("", "{", "[]", "null", '{"slots": []}', f'{{"slots": {{"128": {{"ids": ["{UID}"]}}}}}}'),
        *('{"slots": {"1": {"ids": ["../../x"]}}}', '{"slots": {"1": {"ids": []}}}', "[" * 100_000, "\xff"),
    ],
)
def test_a_broken_table_is_set_aside_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, content: str
) -> None:
    file = tmp_path / "slots.json"
    file.write_text(content, encoding="latin-1")
    with caplog.at_level(logging.WARNING, "spresso.bridge"):
        slots = Slots(file)
    (aside,) = tmp_path.glob("slots.broken-*.json")
    assert slots.all() == {} and aside.read_text(encoding="latin-1") == content and not file.exists()
    assert str(aside) in caplog.text
    slots.put(1, Slot(ids=(UID,)))
    assert list(Slots(file).all()) == [1]


def test_a_table_that_cannot_be_kept_stays_as_it_was(tmp_path: Path) -> None:
    file = tmp_path / "slots.json"
    slots = Slots(file)
    slots.put(1, Slot(ids=(UID,)))
    file.unlink()
    file.mkdir()
    (file / "in the way").touch()
    with pytest.raises(SpressoError) as caught:
        slots.put(2, Slot(ids=(UID,)))
    assert caught.value.code == "state_not_writable" and list(slots.all()) == [1]


def test_what_is_kept_is_plain_json(tmp_path: Path) -> None:
    file = tmp_path / "slots.json"
    Slots(file).put(3, Slot(ids=(UID,)))
    assert json.loads(file.read_text()) == {
        "slots": {"3": {"ids": [UID], "variations": 4, "q": "default", "profile": None}}
    }
