"""docs/reference/bridge-api.md against the server."""

from __future__ import annotations

import re
from pathlib import Path

import httpx2
import pytest

from plugin_bridge.api.search import Asked
from plugin_bridge.render.takes import TakeParams
from tests.plugin_bridge.running import Running

PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "bridge-api.md").read_text(encoding="utf-8")
ADDRESS = re.compile(r"^\| `(GET|POST|PUT|DELETE) (\S+)` \|", re.MULTILINE)
# not part of the schema: what a person opens, and what has a protocol of its own
BESIDES = {("GET", "/openapi.json"), ("GET", "/"), ("GET", "/dav/{dav_token}/")}


def parameters(heading: str) -> set[str]:
    """First column of the first table of parameters behind a heading."""
    table = PAGE.split(f"\n{heading}\n", 1)[1].split("| parameter |", 1)[1].split("\n\n", 1)[0]
    return {name for row in re.findall(r"^\| (`.*?) \|", table, re.MULTILINE) for name in re.findall(r"`(\w+)`", row)}


@pytest.mark.filterwarnings("error")  # of two addresses with one name
def test_every_address_is_documented_and_exists(client: httpx2.Client) -> None:
    schema = client.get("/openapi.json").json()
    found = {(method.upper(), path) for path, known in schema["paths"].items() for method in known}
    assert set(ADDRESS.findall(PAGE)) == found | BESIDES


def test_every_parameter_is_documented() -> None:
    assert parameters("## Search") == set(Asked.model_fields)
    assert parameters("### Takes") == set(TakeParams.model_fields) | {"group"}


def test_what_needs_no_token_is_what_the_page_says(running_bridge: Running) -> None:
    with httpx2.Client(base_url=running_bridge.url, trust_env=False) as stranger:
        open_to_all = {
            (method, path)
            for method, path in ADDRESS.findall(PAGE)
            if stranger.request(method, path, json={} if method in ("POST", "PUT") else None).status_code != 401
        }
    assert open_to_all == {("GET", "/v1/health"), ("POST", "/v1/session"), ("GET", "/"), ("GET", "/dav/{dav_token}/")}
