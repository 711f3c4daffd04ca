"""Who may talk to the bridge, checked before any endpoint sees a request.

The server listens on 127.0.0.1 alone, but web pages of strangers run on the same machine: a page can send requests to
local addresses, and can make its own name point to 127.0.0.1. So every request must (1) name this server as its Host,
literally, (2) come from the bridge's own page or from a program, not from another site, (3) carry the token. Nothing
is ever allowed by CORS. Only what gives nothing away is open: `GET /v1/health`, the page with its files below
``/page/``, the exchange of a one-time code, and ``/dav/``, which checks a token in its path itself.
"""

import asyncio
import contextlib
from collections.abc import Iterable
from typing import TYPE_CHECKING

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from plugin_bridge.problems import encode_problem
from spresso_assets.errors import SpressoError

if TYPE_CHECKING:
    from plugin_bridge.bridge import Bridge

MAX_BODY = 64_000
MAX_TARGET = 8_000  # bytes of path and query
BODY_S = 15.0  # in which a body must have arrived
DRAINED = 16_000_000  # bytes that are read and dropped, so that a client that still sends sees why it was refused
DRAIN_S = 2.0
OPEN = {("GET", "/"), ("HEAD", "/"), ("GET", "/v1/health"), ("HEAD", "/v1/health"), ("POST", "/v1/session")}
OPEN_BELOW = ("/page/", "/dav/")
WITH_JSON = ("POST", "PUT", "PATCH")

SECURITY_HEADERS = {
    "cache-control": "no-store",  # unless an answer says otherwise
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    # blob: what the page fetched with its token and plays or shows
    "content-security-policy": "default-src 'self'; img-src 'self' blob: data:; media-src 'self' blob:; "
    "object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
}
_SECURITY = [(name.encode(), value.encode()) for name, value in SECURITY_HEADERS.items()]

Headers = Iterable[tuple[bytes, bytes]]


class Guard:
    """ASGI middleware around the whole application."""

    def __init__(self, app: ASGIApp, bridge: "Bridge") -> None:
        self.app = app
        self.bridge = bridge

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        send = _with_security(send)
        try:
            self._check(scope)
            receive = await _whole_body(scope, receive)
        except SpressoError as error:
            await _refuse(error, receive, send)
            return
        # cancelled when the server stops and has waited long enough: the connection breaks, and nothing went wrong
        with contextlib.suppress(asyncio.CancelledError):
            await self.app(scope, receive, send)

    def _check(self, scope: Scope) -> None:
        headers: list[tuple[bytes, bytes]] = scope["headers"]
        _check_host(headers, self.bridge.port)
        _check_target(scope)
        _check_origin(headers, self.bridge.port)
        method, path = scope["method"], scope["path"]
        if (method, path) not in OPEN and not path.startswith(OPEN_BELOW):
            self._check_token(headers)
        if method in WITH_JSON and not path.startswith("/dav/"):
            _check_json(headers)

    def _check_token(self, headers: Headers) -> None:
        given = _values(headers, b"authorization")
        scheme, _, token = (given[0] if len(given) == 1 else "").partition(" ")
        if scheme.lower() != "bearer" or not self.bridge.tokens.admits(token.strip()):
            raise SpressoError(
                "this address needs the token of the bridge in the header Authorization: Bearer …",
                code="token_missing",
                hint="Programs find it in the discovery file ('spresso bridge status' names it); "
                "for the page: spresso bridge open.",
            )


def _check_host(headers: Headers, port: int) -> None:
    """A web page may reach this server under a name of its own (DNS rebinding); its Host gives it away."""
    hosts = _values(headers, b"host")
    if len(hosts) != 1 or hosts[0].lower() not in _own_names(port):
        raise SpressoError(
            "the Host header does not name this server",
            code="bad_host",
            hint=f"Ask for http://127.0.0.1:{port}/, not for another name.",
        )


def _check_target(scope: Scope) -> None:
    raw: bytes = scope.get("raw_path") or scope["path"].encode()
    path: str = scope["path"]
    if len(raw) + len(scope["query_string"]) > MAX_TARGET:
        raise SpressoError(f"the address is longer than {MAX_TARGET} bytes", code="target_too_long")
    parts = path.split("/")
    if not path.startswith("/") or any(c < " " or c in "\x7f\\\ufffd" for c in path) or {".", ".."} & set(parts):
        raise SpressoError("this is no address of this server", code="bad_request")


def _check_origin(headers: Headers, port: int) -> None:
    """Browsers say which page a request comes from; programs say nothing."""
    origins, sites = _values(headers, b"origin"), _values(headers, b"sec-fetch-site")
    own = {f"http://{name}" for name in _own_names(port)}
    if not (set(origins) <= own and len(origins) <= 1 and set(sites) <= {"same-origin", "none"}):
        raise SpressoError("requests of other web sites are not answered", code="foreign_origin")


def _check_json(headers: Headers) -> None:
    """A foreign page can send forms and plain text without asking; JSON it cannot."""
    types = _values(headers, b"content-type")
    kind, _, parameter = (types[0] if len(types) == 1 else "").lower().partition(";")
    if kind.strip() != "application/json" or parameter.strip() not in ("", "charset=utf-8"):
        raise SpressoError("the body must be JSON", code="not_json", hint="Send Content-Type: application/json.")


def _own_names(port: int) -> set[str]:
    names = ("127.0.0.1", "localhost", "[::1]")
    return {f"{name}:{port}" for name in names} | (set(names) if port == 80 else set())


def _values(headers: Headers, name: bytes) -> list[str]:
    return [value.decode("latin-1").strip() for key, value in headers if key == name]


def _with_security(send: Send) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = list(message.get("headers", []))
            known = {name.lower() for name, _ in headers}
            message = {**message, "headers": headers + [item for item in _SECURITY if item[0] not in known]}
        await send(message)

    return sending


async def _whole_body(scope: Scope, receive: Receive) -> Receive:
    """Read the body here, where it is bounded in size and time; what comes after it is the client's going away."""
    names = {name for name, _ in scope["headers"]}
    if not names & {b"content-length", b"transfer-encoding"}:
        return receive
    declared = _values(scope["headers"], b"content-length")
    if declared and (not declared[0].isdigit() or int(declared[0]) > MAX_BODY):
        raise _too_large()
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_S):
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    break
                body += message.get("body", b"")
                if len(body) > MAX_BODY:
                    raise _too_large()
                if not message.get("more_body", False):
                    break
    except TimeoutError:
        raise SpressoError(f"the body did not arrive within {BODY_S:.0f} s", code="body_too_slow") from None
    first: list[Message] = [{"type": "http.request", "body": bytes(body), "more_body": False}]

    async def again() -> Message:
        return first.pop() if first else await receive()

    return again


def _too_large() -> SpressoError:
    return SpressoError(f"the body is larger than {MAX_BODY} bytes", code="body_too_large", hint="Send fewer items.")


async def _refuse(error: SpressoError, receive: Receive, send: Send) -> None:
    """Answer, and close: what the client may still send is no request.

    It is read for a moment first: closing a connection with unread bytes makes the system drop the answer as well.
    """
    status, headers, body = encode_problem(error)
    headers |= {"content-length": str(len(body)), "connection": "close"}
    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": status, "headers": raw})
    await send({"type": "http.response.body", "body": body, "more_body": True})
    left = DRAINED
    try:
        async with asyncio.timeout(DRAIN_S):
            while left > 0:
                message = await receive()
                left -= len(message.get("body", b""))
                if message["type"] == "http.disconnect" or not message.get("more_body", False):
                    break
    except TimeoutError:
        pass
    await send({"type": "http.response.body", "body": b"", "more_body": False})
