"""Lists of variations, without decoding one."""

from __future__ import annotations

import httpx2

from tests.plugin_bridge.running import FilledCatalog, Running


def test_seeds_follow_the_sounds_own_and_every_entry_keeps_its_word(
    running_bridge: Running, client: httpx2.Client, bridge_catalog: FilledCatalog
) -> None:
    base = f"/v1/sounds/{bridge_catalog.id_of('creak slow')}"
    before = running_bridge.bridge.renderer.decoded
    items = client.get(f"{base}/variations", params={"n": 5, "q": "preview", "bits": "16", "rate": 44_100}).json()[
        "items"
    ]
    assert running_bridge.bridge.renderer.decoded == before
    own = client.head(f"{base}/audio.wav").headers["x-spresso-seed"]
    assert [item["seed"] for item in items] == [int(own) + n for n in range(5)]
    assert len({item["filename"] for item in items}) == 5
    assert all(item["filename"].endswith(f"-s{item['seed']}.wav") for item in items)
    sounds = [client.get(item["audio_url"]) for item in items]
    assert [len(got.content) for got in sounds] == [item["bytes"] for item in items]
    assert len({got.content[4096:] for got in sounds}) == 5
    assert sounds[0].headers["content-disposition"] == f'inline; filename="{items[0]["filename"]}"'


def test_from_a_seed_on_and_around_the_end(client: httpx2.Client, bridge_catalog: FilledCatalog) -> None:
    url = f"/v1/sounds/{bridge_catalog.id_of('gravel 01')}/variations"
    items = client.get(url, params={"n": 3, "seed": 2**31 - 2}).json()["items"]
    assert [item["seed"] for item in items] == [2**31 - 2, 2**31 - 1, 0]
    assert len(client.get(url).json()["items"]) == 8
    assert client.get(url, params={"n": 0}).status_code == 400
    assert client.get(url, params={"n": 100_000}).status_code == 400
    assert client.get("/v1/sounds/ffffffff/variations").status_code == 404
