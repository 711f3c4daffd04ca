"""`POST /v1/place`: takes become files in a folder that the user allowed."""

import asyncio
from dataclasses import asdict
from typing import Any, Literal

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from plugin_bridge.bridge import Bridge
from plugin_bridge.placing import place
from plugin_bridge.wanted import Item, takes_of

MAX_ITEMS = 200


class PlaceRequest(BaseModel):
    """What to place, and where."""

    model_config = ConfigDict(extra="forbid")

    items: list[Item] = Field(min_length=1, max_length=MAX_ITEMS)
    dir: str = Field(min_length=1, max_length=4000, description="Absolute path of an allowed folder, or below one.")
    name_style: Literal["ucs", "safe"] = Field("ucs", description="safe: names without spaces.")
    format: Literal["wav", "flac"] = "wav"


def router(bridge: Bridge) -> APIRouter:
    """POST /v1/place."""
    routes = APIRouter(tags=["place"])

    @routes.post("/v1/place")
    async def place_files(request: PlaceRequest) -> dict[str, Any]:
        """Write real files, named by the server. What is there with the same bytes is left and said to be skipped;
        other bytes under the same name get a number. All of them stand in the folder's spresso-manifest.csv."""
        takes = await asyncio.to_thread(takes_of, bridge, request.items, request.format)
        files, manifest = await place(bridge, takes, request.dir, style=request.name_style, form=request.format)
        return {"files": [asdict(file) for file in files], "manifest": str(manifest)}

    return routes
