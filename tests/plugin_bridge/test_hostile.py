"""Requests that no honest client sends, over a real socket: each gets its status and a problem, and changes nothing."""

from __future__ import annotations

import contextlib
import json
import logging
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from tests.plugin_bridge.running import Running

PATIENCE_S = 30.0
MIB = 1 << 20


@dataclass(frozen=True)
class Answer:
    """What came back over the socket."""

    status: int
    headers: dict[str, str]
    body: bytes


def exchange(port: int, request: bytes) -> Answer:
    """Send bytes as they are, read one answer."""
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S) as connection:
        with contextlib.suppress(OSError):  # the server may have answered and hung up before the end of a body
            connection.sendall(request)
        received = b""
        while b"\r\n\r\n" not in received and (piece := connection.recv(65536)):
            received += piece
        head, _, body = received.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
        while len(body) < int(headers.get("content-length", 0)) and (piece := connection.recv(65536)):
            body += piece
    return Answer(int(first.split()[1]), headers, body)


class Attack:
    """Bytes of one request to a running bridge. The token, where it is right, is not what the test is about."""

    def __init__(self, served: Running) -> None:
        self.host = f"127.0.0.1:{served.port}"
        self.port = served.port
        self.token, self.dav = served.token, served.bridge.tokens.dav_token

    def __call__(
        self, target: str, *lines: str, method: str = "GET", host: str | None = "", token: str = "", body: bytes = b""
    ) -> bytes:
        head = [f"{method} {target} HTTP/1.1", f"Authorization: Bearer {token or self.token}", *lines]
        if host is not None:
            head.insert(1, f"Host: {host or self.host}")
        return "\r\n".join([*head, "", ""]).encode("latin-1") + body

    def post(self, target: str, content: bytes, *lines: str, kind: str = "application/json") -> bytes:
        told = (f"Content-Type: {kind}", f"Content-Length: {len(content)}", *lines)
        return self(target, *told, method="POST", body=content)

    def chunked(self, target: str, size: int) -> bytes:
        piece = b"8000\r\n" + b" " * 0x8000 + b"\r\n"
        told = ("Content-Type: application/json", "Transfer-Encoding: chunked")
        return self(target, *told, method="POST", body=piece * (size // 0x8000) + b"0\r\n\r\n")


Case = tuple[str, int, str, Callable[[Attack], bytes]]
INFO = "/v1/info"
CASES: list[Case] = [
    # who is asked
    ("a name of the attacker", 421, "bad_host", lambda a: a(INFO, host="evil.example")),
    ("that name with our port", 421, "bad_host", lambda a: a(INFO, host=f"evil.example:{a.port}")),
    ("our name with another port", 421, "bad_host", lambda a: a(INFO, host="127.0.0.1:1")),
    ("our name without a port", 421, "bad_host", lambda a: a(INFO, host="127.0.0.1")),
    ("another address of this machine", 421, "bad_host", lambda a: a(INFO, host=f"127.0.0.2:{a.port}")),
    ("a name that begins like ours", 421, "bad_host", lambda a: a(INFO, host=f"127.0.0.1.evil.example:{a.port}")),
    ("our name as a user", 421, "bad_host", lambda a: a(INFO, host=f"127.0.0.1:{a.port}@evil.example")),
    ("the address as a number", 421, "bad_host", lambda a: a(INFO, host=f"2130706433:{a.port}")),
    ("an empty Host", 421, "bad_host", lambda a: a(INFO, "Host:", host=None)),
    ("no Host", 400, "bad_request", lambda a: a(INFO, host=None)),
    ("no Host in HTTP/1.0", 421, "bad_host", lambda a: a(INFO, host=None).replace(b"HTTP/1.1", b"HTTP/1.0")),
    ("two Hosts", 400, "bad_request", lambda a: a(INFO, "Host: evil.example")),
    ("a forged Host even for health", 421, "bad_host", lambda a: a("/v1/health", host="evil.example")),
    ("a forged Host even for the page", 421, "bad_host", lambda a: a("/", host="evil.example")),
    ("a forged Host even for the folder", 421, "bad_host", lambda a: a(f"/dav/{a.dav}/", host="evil.example")),
    ("a forwarded Host", 421, "bad_host", lambda a: a(INFO, f"X-Forwarded-Host: {a.host}", host="evil.example")),
    # who asks
    ("another site", 403, "foreign_origin", lambda a: a(INFO, "Origin: http://evil.example")),
    ("a page without an origin", 403, "foreign_origin", lambda a: a(INFO, "Origin: null")),
    ("ours over https", 403, "foreign_origin", lambda a: a(INFO, f"Origin: https://{a.host}")),
    ("another server of this machine", 403, "foreign_origin", lambda a: a(INFO, "Origin: http://127.0.0.1:3000")),
    ("two origins", 403, "foreign_origin", lambda a: a(INFO, f"Origin: http://{a.host}", "Origin: http://evil")),
    ("an empty origin", 403, "foreign_origin", lambda a: a(INFO, "Origin:")),
    ("a fetch across sites", 403, "foreign_origin", lambda a: a(INFO, "Sec-Fetch-Site: cross-site")),
    ("a fetch from the same site", 403, "foreign_origin", lambda a: a(INFO, "Sec-Fetch-Site: same-site")),
    ("an image across sites", 403, "foreign_origin", lambda a: a("/", "Sec-Fetch-Site: cross-site")),
    (
        "a question before a request (CORS)", 403, "foreign_origin",
        lambda a: a(INFO, "Origin: http://evil.example", "Access-Control-Request-Method: PUT", method="OPTIONS"),
    ),
    # with which key
    ("a wrong token", 401, "token_missing", lambda a: a(INFO, token="A" * 43)),
    ("a token that is cut", 401, "token_missing", lambda a: a(INFO, token=a.token[:-1])),
    ("a token that goes on", 401, "token_missing", lambda a: a(INFO, token=a.token + "A")),
    ("the token of the folder", 401, "token_missing", lambda a: a(INFO, token=a.dav)),
    ("a token with letters of no alphabet", 401, "token_missing", lambda a: a(INFO, token="\xe9" * 43)),
    ("two tokens", 401, "token_missing", lambda a: a(INFO, "Authorization: Bearer x")),
    ("another scheme", 401, "token_missing", lambda a: a(INFO).replace(b"Bearer ", b"Basic ")),
    (
        "the token in the query", 401, "token_missing",
        lambda a: a(f"{INFO}?token={a.token}&access_token={a.token}", token="x"),
    ),
    ("the token as a cookie", 401, "token_missing", lambda a: a(INFO, f"Cookie: token={a.token}", token="x")),
    ("the schema without a token", 401, "token_missing", lambda a: a("/openapi.json", token="x")),
    ("a place that is not there, without a token", 401, "token_missing", lambda a: a("/nothing", token="x")),
    ("a wrong token of the folder", 404, "not_found", lambda a: a(f"/dav/{a.token}/")),
    ("a code that was never given out", 403, "bad_code", lambda a: a.post("/v1/session", b'{"code": "guess"}')),
    # which place
    ("an absolute target", 400, "bad_request", lambda a: a(f"http://{a.host}{INFO}")),
    ("an absolute target elsewhere", 400, "bad_request", lambda a: a("http://evil.example/v1/info")),
    ("a proxy's target", 400, "bad_request", lambda a: a("evil.example:443", method="CONNECT")),
    ("up", 400, "bad_request", lambda a: a("/v1/sounds/../info")),
    ("up, in disguise", 400, "bad_request", lambda a: a("/page/%2e%2e/%2e%2e/etc/passwd")),
    ("up, with a slash in disguise", 400, "bad_request", lambda a: a("/page/..%2f..%2fetc%2fpasswd")),
    ("up, as on Windows", 400, "bad_request", lambda a: a("/page/..%5c..%5cwindows")),
    ("up, past the token", 400, "bad_request", lambda a: a("/page/../v1/info", token="x")),
    ("up, twice in disguise", 404, "not_found", lambda a: a("/page/%252e%252e%252fetc%252fpasswd")),
    ("a NUL", 400, "bad_request", lambda a: a("/v1/sounds/%00")),
    ("a line feed", 400, "bad_request", lambda a: a("/v1/sounds/%0d%0aSet-Cookie:%20a=b")),
    ("no UTF-8", 400, "bad_request", lambda a: a("/v1/sounds/%ff%fe")),
    ("an overlong slash", 400, "bad_request", lambda a: a("/page/%c0%af%c0%afetc")),
    ("a very long id", 414, "target_too_long", lambda a: a("/v1/sounds/" + "a" * 20_000)),
    ("a very long query", 414, "target_too_long", lambda a: a("/v1/search?q=" + "a" * 20_000)),
    ("a place that is not there", 404, "not_found", lambda a: a("/v1/nothing")),
    ("a place with a slash too many", 404, "not_found", lambda a: a("//v1/info")),
    ("a method that is not there", 405, "method_not_allowed", lambda a: a(INFO, method="DELETE")),
    ("a method that nobody knows", 405, "method_not_allowed", lambda a: a(INFO, method="BREW")),
    # which sound
    ("an id of another world", 404, "asset_not_found", lambda a: a("/v1/sounds/" + "0" * 32)),
    ("an id of three thousand digits", 404, "asset_not_found", lambda a: a("/v1/sounds/" + "f" * 3000)),
    ("an id with a joker", 404, "asset_not_found", lambda a: a("/v1/sounds/%25%25%25%25")),
    ("an id with a quote", 404, "asset_not_found", lambda a: a("/v1/sounds/abc'%20OR%201=1--")),
    ("a short id", 400, "id_too_short", lambda a: a("/v1/sounds/a")),
    # how much of it
    ("no peaks", 400, "bad_request", lambda a: a("/v1/sounds/abcd/peaks?n=0")),
    ("a billion peaks", 400, "bad_request", lambda a: a("/v1/sounds/abcd/peaks?n=1000000000")),
    ("no number of peaks", 400, "bad_request", lambda a: a("/v1/sounds/abcd/peaks?n=NaN")),
    ("a page of a million", 400, "bad_request", lambda a: a("/v1/search?limit=1000000")),
    ("a page of minus one", 400, "bad_request", lambda a: a("/v1/search?limit=-1")),
    ("an endless duration", 400, "bad_request", lambda a: a("/v1/search?dur_min=inf")),
    ("a filter that is not there", 400, "bad_request", lambda a: a("/v1/search?licence=cc0")),
    ("a cursor of somebody's own", 400, "bad_cursor", lambda a: a("/v1/search?cursor=WzUwLCAiYSJd")),
    ("an open quote", 400, "bad_query", lambda a: a("/v1/search?q=%22open")),
    ("a field that is not there", 400, "unknown_field", lambda a: a("/v1/search?q=passwd:x")),
    ("sorting by SQL", 400, "bad_query", lambda a: a("/v1/search?sort=1;DROP%20TABLE%20asset")),
    # with which body
    ("a form", 415, "not_json", lambda a: a.post("/v1/place", b"a=b", kind="application/x-www-form-urlencoded")),
    ("plain text that is JSON", 415, "not_json", lambda a: a.post("/v1/place", b"{}", kind="text/plain")),
    ("no type", 415, "not_json", lambda a: a("/v1/place", "Content-Length: 0", method="POST")),
    (
        "a type with JSON in it", 415, "not_json",
        lambda a: a.post("/v1/place", b"{}", kind="text/plain;application/json"),
    ),
    ("two types", 415, "not_json", lambda a: a.post("/v1/place", b"{}", "Content-Type: text/plain")),
    ("a body of a mebibyte", 413, "body_too_large", lambda a: a.post("/v1/place", b" " * MIB)),
    (
        "a body that claims to be huge", 413, "body_too_large",
        lambda a: a("/v1/place", "Content-Type: application/json", f"Content-Length: {1 << 60}", method="POST"),
    ),
    ("a body in pieces, without an end", 413, "body_too_large", lambda a: a.chunked("/v1/place", MIB)),
    ("a body where none belongs", 413, "body_too_large", lambda a: a(INFO, f"Content-Length: {MIB}", body=b" " * MIB)),
    ("no JSON", 400, "bad_request", lambda a: a.post("/v1/session", b"{")),
    ("JSON that is no object", 400, "bad_request", lambda a: a.post("/v1/session", b"[1]")),
    ("JSON of depth", 400, "bad_request", lambda a: a.post("/v1/session", b"[" * 30_000)),
    ("JSON that is no text", 400, "bad_request", lambda a: a.post("/v1/session", b'{"code": "\xff"}')),
    ("a number as a code", 400, "bad_request", lambda a: a.post("/v1/session", b'{"code": 1}')),
    ("a length that is none", 400, "bad_request", lambda a: a(INFO, "Content-Length: -1")),
    ("two lengths", 400, "bad_request", lambda a: a(INFO, "Content-Length: 1", "Content-Length: 2")),
    ("headers of a mebibyte", 400, "bad_request", lambda a: a(INFO, "X-Junk: " + "a" * MIB)),
    ("a header that is none", 400, "bad_request", lambda a: a(INFO, "no colon")),
    ("no HTTP", 400, "bad_request", lambda a: b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n"),
    ("HTTP of another age", 400, "bad_request", lambda a: b"GET /\r\n\r\n"),
]  # fmt: skip


@pytest.fixture
def logged(caplog: pytest.LogCaptureFixture) -> Iterator[Callable[[], str]]:
    """Everything that any logger has said, at the lowest level."""
    caplog.set_level(logging.DEBUG)
    yield lambda: "\n".join(caplog.handler.format(record) for record in caplog.records)


@pytest.mark.parametrize(("status", "code", "request_of"), [case[1:] for case in CASES], ids=[c[0] for c in CASES])
def test_bad_requests_are_refused(
    running_bridge: Running, status: int, code: str, request_of: Callable[[Attack], bytes], logged: Callable[[], str]
) -> None:
    answer = exchange(running_bridge.port, request_of(Attack(running_bridge)))

    assert answer.status == status, answer.body
    assert answer.headers["content-type"] == "application/problem+json"
    told = json.loads(answer.body)
    assert (told["status"], told["code"]) == (status, code)
    assert told["detail"] and told["title"] and told["type"] == f"urn:spresso:problem:{code}"
    assert "access-control-allow-origin" not in answer.headers
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
    said = answer.body.decode() + str(answer.headers) + logged()
    assert running_bridge.token not in said and running_bridge.bridge.tokens.dav_token not in said
    # and the next honest client is served
    assert running_bridge.client.get("/v1/health").json() == {"ok": True, "api": 1}


def test_an_honest_request_in_the_same_words_is_answered(running_bridge: Running) -> None:
    attack = Attack(running_bridge)
    for host in ("127.0.0.1", "localhost", "LOCALHOST", "[::1]"):
        name = f"{host}:{running_bridge.port}"
        origin = f"Origin: http://{name.lower()}"
        assert exchange(running_bridge.port, attack(INFO, origin, host=name)).status == 200
    assert exchange(running_bridge.port, attack(INFO, "Sec-Fetch-Site: same-origin")).status == 200
    assert exchange(running_bridge.port, attack("/v1/health", token="none")).status == 200
    assert exchange(running_bridge.port, attack.post("/v1/session/code", b"{}")).status == 200


def test_a_request_smuggled_into_a_refused_body_is_not_answered(running_bridge: Running) -> None:
    attack = Attack(running_bridge)
    inner = attack(INFO)
    outer = attack.post("/v1/place", inner, kind="text/plain")
    with socket.create_connection(("127.0.0.1", running_bridge.port), timeout=PATIENCE_S) as connection:
        connection.sendall(outer)
        received = b""
        while piece := connection.recv(65536):
            received += piece
    assert received.count(b"HTTP/1.1") == 1 and received.startswith(b"HTTP/1.1 415")
