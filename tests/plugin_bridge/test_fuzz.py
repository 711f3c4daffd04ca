"""Junk at every address: an answer of the client's fault, or an honest one, never of the server's."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote, urlencode

from hypothesis import given, settings
from hypothesis import strategies as st

from plugin_bridge.render.takes import TakeParams
from tests.plugin_bridge.running import FilledCatalog, Running
from tests.plugin_bridge.test_api_page import ADDRESS, PAGE

# streams have no end
ADDRESSES = sorted(pair for pair in ADDRESS.findall(PAGE) if pair[1] != "/v1/events")
NAMES = sorted(
    {
        *TakeParams.model_fields,
        "group",
        "n",
        "take",
        "limit",
        "cursor",
        "q",
        "items",
        "ids",
        "id",
        "dir",
        "query",
        "code",
    }
    | {"name_style", "format", "zip", "variations", "position_s", "track"}
)
WORD = st.text(max_size=12) | st.sampled_from(
    ["0", "-1", "1e999", "NaN", "null", "24", "2147483648", "../..", "%00", "wav"]
)
VALUE = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | WORD,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES) | WORD, inner, max_size=3),
    max_leaves=8,
)
BODY = st.dictionaries(st.sampled_from(NAMES), VALUE, max_size=5) | VALUE


@settings(max_examples=120)
@given(
    address=st.sampled_from(ADDRESSES),
    fill=st.lists(WORD | st.just("a sound"), min_size=2, max_size=2),
    query=st.dictionaries(st.sampled_from(NAMES), WORD, max_size=3),
    body=BODY,
    headers=st.dictionaries(st.sampled_from(["Range", "If-Range", "If-None-Match", "Depth", "Last-Event-ID"]), WORD),
    head=st.booleans(),
)
def test_junk_is_never_the_servers_fault(
    running_bridge: Running,
    bridge_catalog: FilledCatalog,
    address: tuple[str, str],
    fill: list[str],
    query: dict[str, str],
    body: Any,
    headers: dict[str, str],
    head: bool,
) -> None:
    method, path = address
    if method == "GET" and head:
        method = "HEAD"
    uid = bridge_catalog.id_of("gravel 01")
    parts = [quote(uid if word == "a sound" else word, safe="") for word in fill]
    for number, name in enumerate(
        ("{id}", "{format}", "{job}", "{file}", "{name}", "{slot}", "{target}", "{dav_token}")
    ):
        path = path.replace(name, parts[number % 2])
    content = json.dumps(body).encode() if method in ("POST", "PUT") else None
    sent = {name: value.encode("utf-8", "replace") for name, value in headers.items() if value.isprintable()}
    answer = running_bridge.client.request(
        method,
        f"{path}?{urlencode(query, errors='replace')}",
        content=content,
        headers={**sent, **({"Content-Type": "application/json"} if content else {})},
    )
    assert answer.status_code < 500 or answer.status_code in (501, 503), (method, path, answer.text)
    if answer.status_code >= 400 and method != "HEAD":
        assert answer.json()["code"], answer.text
    assert running_bridge.client.get("/v1/health").status_code == 200
