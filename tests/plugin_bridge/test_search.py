"""Search as clients see it."""

from __future__ import annotations

import httpx2


def test_words_find_sounds(client: httpx2.Client) -> None:
    found = client.get("/v1/search", params={"q": "rain tin"}).json()
    assert [item["name"] for item in found["items"]] == ["Heavy rain on a tin roof"]
