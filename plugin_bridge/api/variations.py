"""GET /v1/sounds/{id}/variations: a list of seeds, each a new take of the same sound; nothing is decoded for it."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import Field

from plugin_bridge.api.audio import audio_url
from plugin_bridge.bridge import Bridge
from plugin_bridge.render.takes import Take, TakeParams, described
from spresso_assets.export.decode import SEEDS

MOST = 256


class VariationParams(TakeParams):
    """A take, and how many variations of it."""

    n: int = Field(default=8, ge=1, le=MOST, description="How many.")


def router(bridge: Bridge) -> APIRouter:
    """GET /v1/sounds/{id}/variations."""
    routes = APIRouter(tags=["variations"])

    @routes.get("/v1/sounds/{id}/variations")
    def variations(id: str, params: Annotated[VariationParams, Query()]) -> dict[str, Any]:
        """`n` variations from a seed on; the first one is what everybody hears first."""
        take = bridge.renderer.take(id, params)
        return {"items": [item(one, params) for one in takes_from(take, params.n)]}

    return routes


def takes_from(take: Take, number: int) -> list[Take]:
    """So many variations of a take, itself the first of them."""
    return [replace(take, seed=(take.seed + n) % SEEDS) for n in range(number)]


def item(take: Take, params: TakeParams) -> dict[str, Any]:
    """One variation in a list."""
    return {**described(take), "audio_url": audio_url(take, params)}
