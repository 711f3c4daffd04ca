"""`GET /` and the page's files below ``/page/``: open without a token, since they say nothing of a catalog."""

import hashlib
from pathlib import Path

from fastapi import APIRouter, Request
from fastapi.responses import Response

from plugin_bridge.bridge import Bridge
from spresso_assets.errors import SpressoError

FOLDER = Path(__file__).parent
TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
}


def router(bridge: Bridge) -> APIRouter:
    """The page. Only names that lie in the folder now are answered, so no path can lead out of it."""
    routes = APIRouter(include_in_schema=False)
    files = {path.name: (path.read_bytes(), TYPES[path.suffix]) for path in FOLDER.iterdir() if path.suffix in TYPES}

    @routes.api_route("/", methods=["GET", "HEAD"])
    async def page(request: Request) -> Response:
        return _answer(request, *files["index.html"])

    @routes.api_route("/page/{name}", methods=["GET", "HEAD"])
    async def file(request: Request, name: str) -> Response:
        if name not in files:
            raise SpressoError(f"the page has no file {name[:80]!r}", code="not_found")
        return _answer(request, *files[name])

    return routes


def _answer(request: Request, body: bytes, kind: str) -> Response:
    # Asked for anew each time, answered with 304: a newer bridge must not meet an older page.
    tag = f'"{hashlib.blake2b(body, digest_size=8).hexdigest()}"'
    headers = {"etag": tag, "cache-control": "no-cache"}
    if request.headers.get("if-none-match") == tag:
        return Response(status_code=304, headers=headers)
    return Response(body, media_type=kind, headers=headers)
