"""`/dav/{token}/…`: WebDAV of class 1, read-only (RFC 4918), by its own token, since mounts cannot send headers.

Every file is a WAV file that does not exist until it is read. Its size is exact and costs nothing; reading any of its
samples decodes it, at the priority of files, behind people who listen.
"""

from collections.abc import Iterator

from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import PlainTextResponse, Response

from plugin_bridge.api.audio import sound_response
from plugin_bridge.bridge import Bridge
from plugin_bridge.dav.entries import FileEntry
from plugin_bridge.dav.tree import Folder, Tree
from plugin_bridge.dav.xml import FINITE_DEPTH, Resource, multistatus, quoted
from plugin_bridge.problems import response
from plugin_bridge.render.renderer import Priority
from spresso_assets.errors import ExitCode, SpressoError

ANSWERED = ("OPTIONS", "PROPFIND", "GET", "HEAD")
REFUSED = ("PUT", "POST", "PATCH", "DELETE", "MKCOL", "COPY", "MOVE", "LOCK", "UNLOCK", "PROPPATCH")
ALLOW = {"allow": ", ".join(ANSWERED)}
ASK_AGAIN = {"cache-control": "private, no-cache"}
XML = 'application/xml; charset="utf-8"'


def router(bridge: Bridge) -> APIRouter:
    """The read-only folder."""
    routes = APIRouter()
    tree = Tree(bridge.catalog, bridge.events.watch, bridge.settings.max_seconds)
    every = [*ANSWERED, *REFUSED]

    @routes.api_route("/dav/{token}", methods=every, include_in_schema=False)
    async def top(token: str, request: Request) -> Response:
        return await below(token, "", request)

    @routes.api_route("/dav/{token}/{path:path}", methods=every, include_in_schema=False)
    async def below(token: str, path: str, request: Request) -> Response:
        if not bridge.tokens.admits_dav(token):
            raise _nothing_there()
        if request.method not in ANSWERED:
            fault = SpressoError(
                "this folder is read-only",
                code="method_not_allowed",
                hint="To have files in a project, place them: POST /v1/place.",
            )
            return response(fault, 405, ALLOW)
        if request.method == "OPTIONS":
            return Response(headers={"dav": "1", "ms-author-via": "DAV", **ALLOW})
        depth = request.headers.get("depth", "infinity").strip().lower()
        if request.method == "PROPFIND" and depth not in ("0", "1"):
            return Response(FINITE_DEPTH, 403, media_type=XML)
        found = await run_in_threadpool(tree.find, path)
        if found is None:
            raise _nothing_there()
        if request.method == "PROPFIND":
            base = "/".join(map(quoted, f"/dav/{token}/{path}".rstrip("/").split("/")))
            body = await run_in_threadpool(multistatus, _resources(base, found, deep=depth == "1"))
            return Response(body, 207, ASK_AGAIN, media_type=XML)
        if isinstance(found, Folder):
            return _listing(found)
        answer = sound_response(request, bridge.renderer, found.take, priority=Priority.FILE)
        answer.headers.update(ASK_AGAIN)  # the address stays, the sound may be encoded anew
        return answer

    return routes


def _resources(base: str, found: Folder | FileEntry, *, deep: bool) -> Iterator[Resource]:
    """What is there, and with ``deep`` what is in it."""
    if isinstance(found, FileEntry):
        yield _of_file(base, found)
        return
    yield Resource(f"{base}/")
    if deep:
        yield from (Resource(f"{base}/{quoted(name)}/") for name in found.folders)
        yield from (_of_file(f"{base}/{quoted(entry.name)}", entry) for entry in found.files)


def _of_file(href: str, entry: FileEntry) -> Resource:
    return Resource(href, entry.take.wav_bytes, entry.etag, entry.changed_us // 1_000_000)


def _listing(folder: Folder) -> Response:
    """A folder for programs that speak no WebDAV: one name a line, ready to be put behind the folder's address."""
    names = [*(f"{quoted(name)}/" for name in folder.folders), *(quoted(entry.name) for entry in folder.files)]
    return PlainTextResponse("".join(f"{name}\n" for name in names), headers=ASK_AGAIN)


def _nothing_there() -> SpressoError:
    return SpressoError("there is nothing at this address", code="not_found", exit_code=ExitCode.NOT_FOUND)
