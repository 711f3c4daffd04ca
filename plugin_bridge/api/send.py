"""`POST /v1/send/{target}`: put takes straight into a program that runs and can be told to import files."""

import asyncio
import shutil
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from plugin_bridge.bridge import Bridge
from plugin_bridge.render import encode
from plugin_bridge.render.renderer import Priority
from plugin_bridge.render.takes import Take
from plugin_bridge.wanted import Item, sound_of, takes_of
from spresso_assets.errors import SpressoError

MAX_ITEMS = 64
ABANDONED_S = 86_400.0
Send = Callable[[list[Path], float | None, str | None], list[dict[str, Any]]]


class SendRequest(BaseModel):
    """What to send, and where it goes in the program's project."""

    model_config = ConfigDict(extra="forbid")

    items: list[Item] = Field(min_length=1, max_length=MAX_ITEMS)
    position_s: float | None = Field(None, ge=0, le=1e6, allow_inf_nan=False, description="Seconds on its time line.")
    track: str | None = Field(None, max_length=200, description="Name of the track; a new one by default.")


def to_audacity(files: list[Path], position_s: float | None, track: str | None) -> list[dict[str, Any]]:
    """Import files into the Audacity that runs; it copies the samples, so the files may go afterwards.

    Raises:
        SpressoError: ``target_not_running``.
    """
    from plugin_bridge.clients.audacity.pipe import send

    return list(send(files, position_s, track))


TARGETS: dict[str, Send] = {"audacity": to_audacity}


def send_targets() -> list[str]:
    """Programs that can be sent to."""
    return sorted(TARGETS)


def router(bridge: Bridge) -> APIRouter:
    """POST /v1/send/{target}."""
    routes = APIRouter(tags=["send"])

    @routes.post("/v1/send/{target}")
    async def send(target: str, request: SendRequest) -> dict[str, Any]:
        """Import takes into a running program; what it says of each is returned."""
        if target not in TARGETS:
            raise SpressoError(
                "the bridge cannot send to this program",
                code="not_supported",
                hint=f"It can send to {', '.join(send_targets())}; for all others place the files, "
                "drag them from the shelf, or use the program's own client: docs/how-to.",
            )
        takes = await asyncio.to_thread(takes_of, bridge, request.items)
        folder = bridge.settings.cache_dir / "send"
        await asyncio.to_thread(_swept, folder)
        with tempfile.TemporaryDirectory(dir=folder, ignore_cleanup_errors=True) as name:
            files = [await _written(bridge, Path(name), take) for take in takes]
            told = await asyncio.to_thread(TARGETS[target], files, request.position_s, request.track)
        # the files are gone by now, so their paths would lead nowhere
        placed = [{name: value for name, value in one.items() if name != "path"} for one in told]
        about = [
            {"id": take.asset_uid, "seed": take.seed, "file": file.name}
            for take, file in zip(takes, files, strict=True)
        ]
        return {"placed": [{**known, **one} for known, one in zip(about, placed, strict=True)]}

    return routes


def _swept(folder: Path) -> None:
    """Make the folder, and remove what a killed bridge left in it a day ago or earlier."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for former in folder.iterdir():
        with suppress(OSError):
            if time.time() - former.stat().st_mtime > ABANDONED_S:
                shutil.rmtree(former)


async def _written(bridge: Bridge, folder: Path, take: Take) -> Path:
    """A take as a file of its own folder: two takes may have one name, which tracks are then called by."""
    samples = await sound_of(bridge.renderer, take, Priority.FILE)
    content = await asyncio.to_thread(encode.file, take, samples, "wav")
    own = Path(tempfile.mkdtemp(dir=folder))
    file = own / take.filename()
    await asyncio.to_thread(file.write_bytes, content)
    return file
