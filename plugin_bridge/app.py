"""The application: every group of endpoints behind one guard."""

import importlib
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio.to_thread
from fastapi import FastAPI
from starlette.types import ASGIApp

from plugin_bridge import problems
from plugin_bridge.bridge import Bridge
from plugin_bridge.guard import Guard
from spresso_assets import __version__

# Each has `router(bridge)`. What reads the catalog is a plain function there, so that it runs in a thread.
ROUTERS = (
    *("plugin_bridge.api.session", "plugin_bridge.api.info", "plugin_bridge.api.search", "plugin_bridge.api.sounds"),
    *("plugin_bridge.api.original", "plugin_bridge.api.audio", "plugin_bridge.api.variations"),
    *("plugin_bridge.api.groups", "plugin_bridge.api.place", "plugin_bridge.api.jobs", "plugin_bridge.api.events"),
    *("plugin_bridge.api.slots", "plugin_bridge.api.send", "plugin_bridge.dav.routes", "plugin_bridge.page.routes"),
)
THREADS = 12  # fewer than the catalog has connections, so that no request waits for one in vain


def create_app(bridge: Bridge) -> ASGIApp:
    """The ASGI application of a bridge; its lifespan ends what the bridge started."""
    app = FastAPI(
        title="spresso bridge",
        version=__version__,
        docs_url=None,  # their scripts come from elsewhere
        redoc_url=None,
        redirect_slashes=False,
        lifespan=_lifespan(bridge),
    )
    for name in ROUTERS:
        try:
            app.include_router(importlib.import_module(name).router(bridge))
        except Exception as error:  # for the time until every room is there
            logging.getLogger("spresso.bridge").warning("%s is not there yet: %r", name, error)
    problems.install(app, bridge)
    return Guard(app, bridge)


def _lifespan(bridge: Bridge) -> Any:
    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        anyio.to_thread.current_default_thread_limiter().total_tokens = THREADS
        try:
            if bridge.renderer is not None:
                await bridge.renderer.start()
            yield
        finally:
            await bridge.close()

    return lifespan
