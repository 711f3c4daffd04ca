"""Round robin: everything once, shuffled, never the same twice in a row."""

from __future__ import annotations

import random
from itertools import pairwise

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from plugin_bridge.api.groups import Drawn, Groups
from tests.plugin_bridge.running import FilledCatalog


def members(number: int) -> list[Drawn]:
    return [Drawn(id=str(n), variation=0) for n in range(number)]


@given(st.integers(1, 9), st.integers(0, 1000))
def test_every_bag_holds_each_once_and_no_two_neighbours_are_the_same(number: int, seed: int) -> None:
    groups = Groups(rng=random.Random(seed))
    drawn = [groups.draw("steps", members(number)) for _ in range(6 * number)]
    for bag in range(6):
        assert {one.id for one in drawn[bag * number : (bag + 1) * number]} == {str(n) for n in range(number)}
    assert number == 1 or all(one != other for one, other in pairwise(drawn))


def test_the_order_is_not_always_the_same() -> None:
    groups = Groups(rng=random.Random(1))
    bags = {tuple(groups.draw("steps", members(5)).id for _ in range(5)) for _ in range(20)}
    assert len(bags) > 10


def test_groups_do_not_disturb_each_other_and_new_members_begin_anew() -> None:
    groups = Groups(rng=random.Random(1))
    first = {groups.draw("a", members(4)).id for _ in range(2)} | {groups.draw("b", members(4)).id for _ in range(2)}
    assert first <= {"0", "1", "2", "3"}
    assert {groups.draw("a", members(3)).id for _ in range(3)} == {"0", "1", "2"}


def test_the_number_of_groups_is_bounded() -> None:
    groups = Groups(most=10)
    for n in range(100):
        groups.draw(str(n), members(3))
    assert len(groups) == 10


def test_over_http_by_ids_and_by_query(client: httpx2.Client, bridge_catalog: FilledCatalog) -> None:
    ids = [uid for name, uid in bridge_catalog.ids.items() if "gravel" in name]
    body = {"ids": ids, "variations": 2, "q": "preview", "bits": "16"}
    drawn = [client.post("/v1/groups/steps/next", json=body).json() for _ in range(12)]
    for bag in (drawn[:6], drawn[6:]):
        assert len({(one["id"], one["seed"]) for one in bag}) == 6 and {one["id"] for one in bag} == set(ids)
    assert all(a["audio_url"] != b["audio_url"] for a, b in pairwise(drawn))
    got = client.get(drawn[0]["audio_url"])
    assert len(got.content) == drawn[0]["bytes"] and got.headers["x-spresso-seed"] == str(drawn[0]["seed"])
    found = {client.post("/v1/groups/q/next", json={"query": "gravel", "variations": 1}).json()["id"] for _ in range(3)}
    assert found == set(ids)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({}, 400), ({"ids": [], "variations": 2}, 400), ({"ids": ["ffffffff"]}, 404), ({"query": "zzzzzz"}, 404),
        ({"ids": ["aaa"], "query": "x"}, 400), ({"query": "gravel", "variations": 1000}, 400),
        ({"query": "gravel", "speed": 2}, 400), ({"query": "gravel", "rate": 5}, 400),
    ],
)  # fmt: skip
def test_bad_groups(client: httpx2.Client, body: dict[str, object], status: int) -> None:
    got = client.post("/v1/groups/bad/next", json=body)
    assert got.status_code == status and got.headers["content-type"] == "application/problem+json"
