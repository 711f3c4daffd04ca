"""A sound as a file: GET and HEAD /v1/sounds/{id}/audio.{wav|flac|ogg}.

The length of a WAV file is told before anything is decoded, and its samples follow as they are. If that fails on the
way, the connection breaks off: a body that is too short is the sign of an error, silence never stands in for sound.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import Annotated
from urllib.parse import quote

from fastapi import APIRouter, Query, Request
from pydantic import Field
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from plugin_bridge import problems
from plugin_bridge.bridge import Bridge
from plugin_bridge.render.encode import MEDIA_TYPES, WavEncoder, check_format, frames_of, wav_part
from plugin_bridge.render.ranges import byte_range, names_tag, still_same
from plugin_bridge.render.renderer import Priority, Renderer
from plugin_bridge.render.sounds import Samples
from plugin_bridge.render.takes import FORMATS, HEADER_BYTES, Take, TakeParams
from plugin_bridge.render.wave_header import header
from spresso_assets.errors import SpressoError

PIECE_FRAMES = 1 << 15  # that are encoded and sent at once
FIRST_FRAMES = 1 << 12  # of the first piece, which somebody waits for
CACHE_CONTROL = "private, immutable, max-age=31536000"

FORM = set(TakeParams.model_fields) - {"seed", "variation"}

log = logging.getLogger("spresso.bridge")


class _BrokenOff(logging.Filter):
    """An answer that is broken off on purpose needs no line from the server: it is no error, or was told already."""

    def filter(self, record: logging.LogRecord) -> bool:
        told = record.getMessage()
        return "without completing response" not in told and "graceful shutdown exceeded" not in told


_broken_off = _BrokenOff()


class AuditionParams(TakeParams):
    """A take, and who listens."""

    group: str | None = Field(
        default=None, max_length=100, description="The newest audition of a group ends the older ones."
    )


def router(bridge: Bridge) -> APIRouter:
    """GET, HEAD /v1/sounds/{id}/audio.{format}."""
    routes = APIRouter(tags=["sounds"])
    logging.getLogger("uvicorn.error").addFilter(_broken_off)

    @routes.head("/v1/sounds/{id}/audio.{format}", include_in_schema=False)
    @routes.get("/v1/sounds/{id}/audio.{format}", response_class=Response)
    async def audio(id: str, format: str, request: Request, params: Annotated[AuditionParams, Query()]) -> Response:
        """A decoded sound as WAV, FLAC or Ogg Vorbis; WAV with its exact length at once, and in parts."""
        if format not in FORMATS:
            raise SpressoError(
                f"sounds are not given out as '{format}'", code="not_acceptable", hint=f"Use {', '.join(FORMATS)}."
            )
        take = await run_in_threadpool(bridge.renderer.take, id, params)
        return sound_response(request, bridge.renderer, take, format, group=params.group)

    return routes


def audio_url(take: Take, params: TakeParams | None = None) -> str:
    """Address of a take, below that of the server; everything that is not as by default stands in it."""
    told = {} if params is None else params.model_dump(include=FORM, exclude_defaults=True)
    query = "&".join(f"{name}={quote(str(value))}" for name, value in {"seed": take.seed, **told}.items())
    return f"/v1/sounds/{take.asset_uid}/audio.wav?{query}"


def sound_response(
    request: Request,
    renderer: Renderer,
    take: Take,
    format: str = "wav",
    *,
    priority: Priority = Priority.AUDITION,
    group: str | None = None,
) -> Response:
    """The answer to GET or HEAD of a take, with Range, If-Range and If-None-Match; nothing is decoded for HEAD.

    Raises:
        SpressoError: ``bad_format``.
    """
    check_format(take, format)
    etag = take.etag(format)
    headers = {
        "etag": etag,
        "cache-control": CACHE_CONTROL,
        "accept-ranges": "bytes" if format == "wav" else "none",
        "x-spresso-seed": str(take.seed),
        "x-spresso-profile": quote(take.profile, safe=" ."),
        "x-spresso-model": f"{quote(take.model, safe=' .')} {take.weights_sha256[:12]}",
        "content-type": MEDIA_TYPES[format],
        "content-disposition": f'inline; filename="{take.filename("ucs", f".{format}")}"',
    }
    if names_tag(request.headers.get("if-none-match"), etag):
        del headers["content-type"], headers["content-disposition"]
        return Response(status_code=304, headers=headers)
    if format != "wav":
        return _FileResponse(renderer, take, format, priority, group, headers)
    status, part, size = 200, (0, take.wav_bytes), take.wav_bytes
    if request.method == "GET" and still_same(request.headers.get("if-range"), etag):
        try:
            asked = byte_range(request.headers.get("range"), size)
        except ValueError:
            fault = SpressoError(
                f"the file has {size} bytes, none of them is in the range", code="range_not_satisfiable"
            )
            return problems.response(fault, headers={"content-range": f"bytes */{size}"})
        if asked is not None:
            status, part = 206, asked
            headers["content-range"] = f"bytes {part[0]}-{part[1] - 1}/{size}"
    headers["content-length"] = str(part[1] - part[0])
    return _WavResponse(renderer, take, part, priority, group, headers, status)


class _SoundResponse(Response):
    """An answer whose body is made while the client waits, and given up when the client goes away."""

    def __init__(
        self,
        renderer: Renderer,
        take: Take,
        priority: Priority,
        group: str | None,
        headers: dict[str, str],
        status: int,
    ) -> None:
        super().__init__(status_code=status, headers=headers)
        if "content-length" not in headers:  # the base class counts a body that is not there yet
            del self.headers["content-length"]
        self._renderer, self._take, self._priority, self._group = renderer, take, priority, group

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] == "HEAD":
            await self._head(send)
            return
        answering = asyncio.ensure_future(self._answer(send))
        leaving = asyncio.ensure_future(_gone(receive))
        try:
            await asyncio.wait((answering, leaving), return_when=asyncio.FIRST_COMPLETED)
            if answering.done():
                answering.result()
        finally:
            for task in (answering, leaving):
                task.cancel()
            await asyncio.gather(answering, leaving, return_exceptions=True)

    async def _head(self, send: Send) -> None:
        await self._begin(send)
        await send({"type": "http.response.body", "body": b""})

    async def _begin(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})

    async def _answer(self, send: Send) -> None:
        raise NotImplementedError


class _WavResponse(_SoundResponse):
    """Bytes ``part`` of a WAV file."""

    def __init__(
        self,
        renderer: Renderer,
        take: Take,
        part: tuple[int, int],
        priority: Priority,
        group: str | None,
        headers: dict[str, str],
        status: int,
    ) -> None:
        super().__init__(renderer, take, priority, group, headers, status)
        self._part = part

    async def _answer(self, send: Send) -> None:
        take, (start, stop) = self._take, self._part
        first, last = frames_of(take, start, stop)
        head = header(take)[start : min(stop, HEADER_BYTES)]
        if first == last:  # nothing but the header and the pad byte
            await self._begin(send)
            await send({"type": "http.response.body", "body": head + b"\0" * (stop - start - len(head))})
            return
        async with self._renderer.reading(take, self._priority, self._group) as reader:
            if not reader.flight.ended:
                await self._renderer.ready()  # a model that cannot be loaded is an answer, not a broken connection
            await self._begin(send)
            if head and reader.flight.front <= first:  # where there are samples, it goes with the first of them
                await send({"type": "http.response.body", "body": head, "more_body": True})
                head = b""
            try:
                blocks = reader.pieces(first, last, PIECE_FRAMES, FIRST_FRAMES)
                async for piece in _pieces(take, blocks, start, stop):
                    await send({"type": "http.response.body", "body": head + piece, "more_body": True})
                    head = b""
            except SpressoError as error:
                # the length was promised: only an end before it tells the client
                if error.code != "superseded":
                    log.warning("%s broke off: %s", take.asset_uid[:8], error)
                return
            await send({"type": "http.response.body", "body": b""})


class _FileResponse(_SoundResponse):
    """A file whose length is known only when it is made."""

    def __init__(
        self,
        renderer: Renderer,
        take: Take,
        format: str,
        priority: Priority,
        group: str | None,
        headers: dict[str, str],
    ) -> None:
        super().__init__(renderer, take, priority, group, headers, 200)
        self._format = format

    async def _head(self, send: Send) -> None:
        if (made := self._renderer.made_file(self._take, self._format)) is not None:
            self.headers["content-length"] = str(len(made))
        await super()._head(send)

    async def _answer(self, send: Send) -> None:
        made = await self._renderer.file(self._take, self._format, self._priority, self._group)
        self.headers["content-length"] = str(len(made))
        await self._begin(send)
        await send({"type": "http.response.body", "body": made})


async def _pieces(
    take: Take, blocks: AsyncIterator[tuple[int, Samples]], start: int, stop: int
) -> AsyncIterator[bytes]:
    """Bytes ``start`` .. ``stop`` of the file out of blocks (first frame, samples)."""
    encoder = WavEncoder(take)
    async for at, samples_NC in blocks:
        if len(samples_NC) <= FIRST_FRAMES:  # quicker than another thread could begin
            raw = wav_part(take, encoder, at, samples_NC)
        else:
            raw = await asyncio.to_thread(wav_part, take, encoder, at, samples_NC)
        base = HEADER_BYTES + at * take.frame_bytes
        yield raw[max(0, start - base) : stop - base]


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
