"""The application: every group of endpoints behind one guard."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio.to_thread
from fastapi import FastAPI
from starlette.types import ASGIApp

from plugin_bridge import problems
from plugin_bridge.api import (
    audio,
    events,
    groups,
    info,
    jobs,
    original,
    place,
    search,
    send,
    session,
    slots,
    sounds,
    variations,
)
from plugin_bridge.bridge import Bridge
from plugin_bridge.dav import routes as dav
from plugin_bridge.guard import Guard
from plugin_bridge.page import routes as page
from spresso_assets import __version__

ROOMS = (
    *(session, info, search, sounds, original, audio, variations, groups, place, jobs, events, slots, send),
    *(dav, page),
)
THREADS = 12  # fewer than the catalog has connections, so that no request waits for one in vain


def create_app(bridge: Bridge) -> ASGIApp:
    """The ASGI application of a bridge; its lifespan ends what the bridge started.

    Endpoints that only read the catalog are plain functions, which run in threads: the event loop is for those who
    wait.
    """
    app = FastAPI(
        title="spresso bridge",
        version=__version__,
        docs_url=None,  # their scripts come from elsewhere
        redoc_url=None,
        redirect_slashes=False,
        lifespan=lambda app: _alive(bridge),
    )
    for room in ROOMS:
        app.include_router(room.router(bridge))
    problems.install(app, bridge)
    return Guard(app, bridge)


@asynccontextmanager
async def _alive(bridge: Bridge) -> AsyncIterator[None]:
    anyio.to_thread.current_default_thread_limiter().total_tokens = THREADS
    try:
        await bridge.renderer.start()
        yield
    finally:
        await bridge.close()
