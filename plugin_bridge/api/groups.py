"""POST /v1/groups/{name}/next: footsteps and the like, where no two neighbours may sound the same.

A group is a bag of takes: sounds times seeds. One after the other is drawn until the bag is empty, then it is filled
and shaken again; the last one of a bag is never the first one of the next. Groups live in memory, the latest ones only.
"""

from __future__ import annotations

import random
import threading
from collections import OrderedDict
from typing import Annotated, Any

from fastapi import APIRouter, Path
from pydantic import BaseModel, ConfigDict, Field

from plugin_bridge.api.variations import item
from plugin_bridge.bridge import Bridge
from plugin_bridge.render.takes import TakeParams
from spresso_assets.catalog.search import search
from spresso_assets.errors import ExitCode, SpressoError

MOST_GROUPS = 256
MOST_SOUNDS = 200
MOST_VARIATIONS = 64


class GroupRequest(TakeParams):
    """What is in a group, and the form in which it is wanted."""

    ids: list[Annotated[str, Field(min_length=1, max_length=64)]] | None = Field(
        default=None, min_length=1, max_length=MOST_SOUNDS, description="Sounds; or say a query."
    )
    query: str | None = Field(default=None, max_length=1000, description="A search; its first 200 sounds are meant.")
    variations: int = Field(default=4, ge=1, le=MOST_VARIATIONS, description="Seeds of each sound.")


class Drawn(BaseModel):
    """A take out of a group: a sound, and which of its variations."""

    model_config = ConfigDict(frozen=True)

    id: str
    variation: int


class Groups:
    """Bags by name; those not drawn from for longest are forgotten. Threads may share it."""

    def __init__(self, most: int = MOST_GROUPS, rng: random.Random | None = None) -> None:
        self._most, self._rng = most, rng or random.Random()
        self._lock = threading.Lock()
        self._bags: OrderedDict[str, tuple[tuple[Drawn, ...], list[Drawn], Drawn | None]] = OrderedDict()

    def draw(self, name: str, members: list[Drawn]) -> Drawn:
        """The next one. Other members than before begin a new bag."""
        given = tuple(dict.fromkeys(members))
        with self._lock:
            known, bag, last = self._bags.pop(name, (given, [], None))
            if known != given:
                bag = []
            if not bag:
                bag = list(given)
                self._rng.shuffle(bag)
                if len(bag) > 1 and bag[-1] == last:
                    other = self._rng.randrange(len(bag) - 1)
                    bag[-1], bag[other] = bag[other], bag[-1]
            drawn = bag.pop()
            self._bags[name] = (given, bag, drawn)
            while len(self._bags) > self._most:
                self._bags.popitem(last=False)
            return drawn

    def __len__(self) -> int:
        with self._lock:
            return len(self._bags)


def router(bridge: Bridge) -> APIRouter:
    """POST /v1/groups/{name}/next."""
    routes = APIRouter(tags=["variations"])
    groups = Groups()

    @routes.post("/v1/groups/{name}/next")
    def draw(name: Annotated[str, Path(max_length=100)], asked: GroupRequest) -> dict[str, Any]:
        """The next take of a group: every sound in every variation once, shuffled, never the same twice in a row."""
        ids = _ids(bridge, asked)
        drawn = groups.draw(name, [Drawn(id=id, variation=n) for n in range(asked.variations) for id in ids])
        params = TakeParams(
            **asked.model_dump(include=set(TakeParams.model_fields) - {"variation"}),
            variation=asked.variation + drawn.variation,
        )
        return item(bridge.renderer.take(drawn.id, params), params)

    return routes


def _ids(bridge: Bridge, asked: GroupRequest) -> list[str]:
    if (asked.ids is None) == (asked.query is None):
        raise SpressoError(
            "a group is made of either ids or a query",
            code="bad_request",
            hint='Send {"ids": [...]} or {"query": "..."}.',
            exit_code=ExitCode.USAGE,
        )
    if asked.ids is not None:
        return asked.ids
    assert asked.query is not None
    with bridge.catalog.read() as session:
        found = [hit.uid for hit in search(session, asked.query, MOST_SOUNDS) if hit.profiles]
    if not found:
        raise SpressoError(
            f"no encoded sound matches '{asked.query}'",
            code="no_match",
            hint="Use fewer words.",
            exit_code=ExitCode.NOT_FOUND,
        )
    return found
