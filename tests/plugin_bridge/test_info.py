"""What a bridge says of itself."""

from __future__ import annotations

import httpx2

from plugin_bridge.render.takes import WORD_BYTES, TakeParams
from tests.plugin_bridge.running import SOUNDS, Running


def test_info_is_what_takes_understand(client: httpx2.Client, running_bridge: Running) -> None:
    told = client.get("/v1/info").json()
    assert (told["api"], told["sounds"]) == (1, len(SOUNDS))
    assert told["formats"]["wav"]["bits"] == list(WORD_BYTES)
    for rate in told["rates"]:
        assert TakeParams(rate=rate).rate == rate
    for quality in told["qualities"]:
        assert TakeParams(q=quality).q == quality
    assert told["place_folders"] == [str(running_bridge.place_folder)]
    assert told["model"]["name"] and len(told["model"]["weights_sha256"]) == 64
    assert "audacity" in told["capabilities"]["send"]
    assert told["dav_url"] == running_bridge.dav_url
    assert running_bridge.token not in str(told)


def test_the_profiles_are_those_that_sounds_have(client: httpx2.Client) -> None:
    told = client.get("/v1/info").json()
    items = client.get("/v1/search").json()["items"]
    assert {profile for item in items for profile in item["profiles"]} <= set(told["profiles"])


def test_work_of_the_catalog(client: httpx2.Client) -> None:
    told = client.get("/v1/work").json()
    assert (told["queued"], told["running"], told["failed"], told["eta_s"]) == (0, 0, 0, None)
    assert told["kinds"]["encode"]["succeeded"] == len(SOUNDS)


def test_health_says_nothing_else(running_bridge: Running) -> None:
    answer = httpx2.get(f"{running_bridge.url}/v1/health", trust_env=False)
    assert answer.json() == {"ok": True, "api": 1}
