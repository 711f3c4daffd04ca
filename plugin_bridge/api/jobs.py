"""`/v1/jobs`: many takes at once, made in the background, fetched as one archive or one by one."""

import asyncio
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import FileResponse

from plugin_bridge.bridge import Bridge
from plugin_bridge.exports import RESULT
from plugin_bridge.render.encode import MEDIA_TYPES
from plugin_bridge.wanted import Item, takes_of

MAX_ITEMS = 1000
Job = Annotated[str, Path(max_length=64)]


class JobRequest(BaseModel):
    """What a batch makes."""

    model_config = ConfigDict(extra="forbid")

    items: list[Item] = Field(min_length=1, max_length=MAX_ITEMS)
    format: Literal["wav", "flac", "ogg"] = "wav"
    zip: bool = Field(True, description="One archive; else single files.")
    name_style: Literal["ucs", "safe"] = "ucs"


def router(bridge: Bridge) -> APIRouter:
    """POST /v1/jobs; GET, DELETE /v1/jobs/{job}; its results."""
    routes = APIRouter(tags=["jobs"])

    @routes.post("/v1/jobs", status_code=202)
    async def begin(request: JobRequest) -> dict[str, Any]:
        """Start a batch; events and `GET /v1/jobs/{job}` tell how far it is."""
        takes = await asyncio.to_thread(takes_of, bridge, request.items, request.format)
        return bridge.exports.begin(takes, request.format, zipped=request.zip, style=request.name_style).record()

    @routes.get("/v1/jobs/{job}")
    async def show(job: Job) -> dict[str, Any]:
        """State, progress, and what could not be had."""
        return bridge.exports.get(job).record()

    @routes.delete("/v1/jobs/{job}")
    async def cancel(job: Job) -> dict[str, Any]:
        """End a batch, or give back the room that its result takes."""
        return (await bridge.exports.cancel(job)).record()

    @routes.head(f"/v1/jobs/{{job}}/{RESULT}", include_in_schema=False)
    @routes.get(f"/v1/jobs/{{job}}/{RESULT}", response_class=FileResponse)
    async def archive(job: Job) -> FileResponse:
        """The archive of a batch that is done, with a manifest in it; ranges are answered."""
        return _file(bridge, job, RESULT, "application/zip", f"spresso-{job}.zip")

    @routes.head("/v1/jobs/{job}/files/{file}", include_in_schema=False)
    @routes.get("/v1/jobs/{job}/files/{file}", response_class=FileResponse)
    async def file(job: Job, file: Annotated[str, Path(max_length=200)]) -> FileResponse:
        """One file of a batch that is done and was to have no archive."""
        return _file(bridge, job, file, MEDIA_TYPES[bridge.exports.get(job).form], file)

    return routes


def _file(bridge: Bridge, job: str, file: str, media_type: str, name: str) -> FileResponse:
    path = bridge.exports.result(job, file)
    return FileResponse(path, media_type=media_type, filename=name, headers={"cache-control": "private, no-store"})
