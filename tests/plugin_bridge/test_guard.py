"""What the guard does besides refusing; test_hostile.py has the refusals."""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Callable, Iterator

import httpx2
import pytest

from plugin_bridge import guard
from tests.plugin_bridge.running import Running
from tests.plugin_bridge.test_hostile import PATIENCE_S, Attack, exchange


@pytest.fixture
def logged(caplog: pytest.LogCaptureFixture) -> Iterator[Callable[[], str]]:
    caplog.set_level(logging.DEBUG)
    yield lambda: "\n".join(caplog.handler.format(record) for record in caplog.records)


def test_every_answer_has_the_security_headers(client: httpx2.Client) -> None:
    for path in ("/v1/health", "/v1/info", "/v1/search", "/", "/v1/nothing"):
        headers = client.get(path).headers
        for name in ("x-content-type-options", "referrer-policy", "content-security-policy", "cache-control"):
            assert headers[name], (path, name)
        assert "default-src 'self'" in headers["content-security-policy"]
        assert not [name for name in headers if name.startswith("access-control-")]
        assert "set-cookie" not in headers and "server" not in headers


def test_a_body_of_just_the_size_arrives(client: httpx2.Client) -> None:
    code = '{"code": "x"' + " " * (guard.MAX_BODY - 13) + "}"
    assert len(code) == guard.MAX_BODY
    kind = {"Content-Type": "application/json; charset=utf-8"}
    assert client.post("/v1/session", content=code, headers=kind).json()["code"] == "bad_code"
    assert client.post("/v1/session", content=code + " ", headers=kind).status_code == 413
    pieces = (code[at : at + 1000].encode() for at in range(0, len(code), 1000))
    assert client.post("/v1/session", content=pieces, headers=kind).json()["code"] == "bad_code"  # chunked


def test_a_body_that_does_not_come_is_not_waited_for(running_bridge: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "BODY_S", 0.2)
    attack = Attack(running_bridge)
    answer = exchange(running_bridge.port, attack.post("/v1/session", b'{"code": "half')[:-5])
    assert answer.status == 408 and b"body_too_slow" in answer.body


def test_many_who_send_nothing_hold_nobody_up(running_bridge: Running) -> None:
    silent = [socket.create_connection(("127.0.0.1", running_bridge.port)) for _ in range(50)]
    try:
        for one in silent:
            one.sendall(b"GET /v1/info HTTP/1.1\r\nHost: ")
        assert running_bridge.client.get("/v1/health").status_code == 200
    finally:
        for one in silent:
            one.close()


def test_connections_are_kept_for_the_next_request(running_bridge: Running) -> None:
    request = Attack(running_bridge)("/v1/health")
    with socket.create_connection(("127.0.0.1", running_bridge.port), timeout=PATIENCE_S) as connection:
        connection.sendall(request * 3)
        received = b""
        while received.count(b'{"ok":true,"api":1}') < 3:
            piece = connection.recv(65536)
            assert piece
            received += piece


def test_a_defect_is_a_problem_and_tells_no_secret(
    running_bridge: Running, monkeypatch: pytest.MonkeyPatch, logged: Callable[[], str]
) -> None:
    def broken() -> None:
        raise RuntimeError(f"could not use {running_bridge.token}")

    monkeypatch.setattr(running_bridge.bridge.renderer, "counts", broken)
    answer = running_bridge.client.get("/v1/info")
    assert (answer.status_code, answer.json()["code"]) == (500, "internal")
    assert answer.headers["content-type"] == "application/problem+json"
    assert "RuntimeError" not in answer.text
    assert "RuntimeError" in logged() and running_bridge.token not in logged() + answer.text


def test_searching_goes_on_while_many_search(running_bridge: Running) -> None:
    results: list[int] = []

    def search() -> None:
        headers = {"Authorization": f"Bearer {running_bridge.token}"}
        with httpx2.Client(base_url=running_bridge.url, headers=headers, trust_env=False, timeout=PATIENCE_S) as own:
            results.extend(own.get("/v1/search", params={"q": "door"}).status_code for _ in range(5))

    threads = [threading.Thread(target=search) for _ in range(24)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [200] * 120
