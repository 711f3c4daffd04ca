"""`GET /v1/events`: progress of batches and changes of the catalog, as they happen (server-sent events)."""

import asyncio
from typing import Annotated

from fastapi import APIRouter, Header, Query
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from plugin_bridge.bridge import Bridge
from plugin_bridge.events import Events, Listener, server_sent


class EventStream(Response):
    """Sends events until the batch ends, the client goes away or falls behind, or the server stops.

    Starlette's own streaming waits in `send` for a client that does not read, for ever; this one gives it up.
    """

    media_type = "text/event-stream"

    def __init__(self, events: Events, listener: Listener) -> None:
        super().__init__(headers={"cache-control": "no-store", "x-accel-buffering": "no"})
        del self.headers["content-length"]
        self._events = events
        self._listener = listener

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def pump() -> None:
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            async for piece in server_sent(self._events, self._listener):
                await send({"type": "http.response.body", "body": piece, "more_body": True})

        async def gone() -> None:
            while (await receive())["type"] != "http.disconnect":
                pass

        tasks = [asyncio.ensure_future(task) for task in (pump(), gone(), self._listener.lost.wait())]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._events.leave(self._listener)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        await _end(send)


async def _end(send: Send) -> None:
    """Close the body properly where the client reads; one that does not is not waited for."""
    try:
        async with asyncio.timeout(1):
            await send({"type": "http.response.body", "body": b"", "more_body": False})
    except TimeoutError:
        pass


def router(bridge: Bridge) -> APIRouter:
    """The endpoint of a bridge."""
    routes = APIRouter(tags=["events"])

    @routes.get("/v1/events", response_class=EventStream, status_code=200)  # the schema asks the class for it
    async def events(
        job: Annotated[str, Query(max_length=64, description="Only events of this batch.")] = "",
        last_event_id: Annotated[str, Header(max_length=64)] = "",
    ) -> EventStream:
        """Listen: `progress`, `done`, `error`, `catalog-changed`; the header Last-Event-ID replays what was missed.

        With `job`, everything from the batch's beginning to its end, and then the stream ends."""
        return EventStream(bridge.events, bridge.events.join(job, last_event_id))

    return routes
