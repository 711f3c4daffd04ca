"""A stranger's web page, open in the same browser while the bridge runs, gets nothing and changes nothing.

The page (`hostile_page.html`) tries all it can: reading, blind writing, embedding, forms, streams, sockets. It comes
from another port of this machine, from a name that was made to point here (DNS rebinding), and out of a sandbox.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from starlette.types import Message, Receive, Scope, Send

from plugin_bridge.guard import Guard
from tests.hosts.browser import chromium, needs_chromium
from tests.hosts.desktop import wait_for
from tests.plugin_bridge.running import FilledCatalog, Running

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext

needs_chromium()

EVIL = "evil.test"
HERE = Path(__file__).parent


class Quiet(SimpleHTTPRequestHandler):
    """Serves the hostile page, and says nothing of it."""

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture(scope="module")
def stranger() -> Iterator[int]:
    """Port of a server that has nothing to do with the bridge."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(HERE))) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium(f"--host-resolver-rules=MAP {EVIL} 127.0.0.1") as started:
        yield started


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    context = browser.new_context()
    yield context
    context.close()


def state(served: Running) -> dict[str, Any]:
    """Whatever an attack might have changed."""
    return {
        "slots": served.client.get("/v1/slots").json(),
        "folders": served.client.get("/v1/info").json()["place_folders"],
        "placed": sorted(str(path) for path in served.place_folder.rglob("*")),
        "exports": sorted(str(path) for path in (served.bridge.settings.cache_dir / "exports").rglob("*.zip")),
        "codes": len(served.bridge.tokens._codes),
    }


@dataclass(frozen=True)
class Answer:
    """What the bridge said to a request, whatever the browser let the page see of it."""

    request: str
    status: int
    headers: frozenset[str]


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> list[Answer]:
    """Every answer that a bridge of this process gives from now on."""
    found: list[Answer] = []
    guarded = Guard.__call__

    async def noted(self: Guard, scope: Scope, receive: Receive, send: Send) -> None:
        async def noting(message: Message) -> None:
            if message["type"] == "http.response.start":
                names = frozenset(name.decode().lower() for name, _ in message["headers"])
                found.append(Answer(f"{scope['method']} {scope['path']}", message["status"], names))
            await send(message)

        await guarded(self, scope, receive, noting)

    monkeypatch.setattr(Guard, "__call__", noted)
    return found


@pytest.mark.parametrize("host, fragment", [("127.0.0.1", ""), ("localhost", ""), (EVIL, ""), ("127.0.0.1", "#box")])
def test_a_foreign_page_gets_nothing_and_changes_nothing(
    context: BrowserContext,
    running_bridge: Running,
    bridge_catalog: FilledCatalog,
    stranger: int,
    answers: list[Answer],
    host: str,
    fragment: str,
) -> None:
    before = state(running_bridge)
    answers.clear()
    page = context.new_page()
    query = f"port={running_bridge.port}&sound={bridge_catalog.id_of('slams')}"
    url = f"http://{host}:{stranger}/hostile_page.html?{query}{fragment}"
    page.goto(url)
    loot = wait_for("the attacks", lambda: page.evaluate("window.loot"), 120)

    assert len(loot) > 25  # they were all tried
    assert {name: got for name, got in loot.items() if got} == {}
    assert len({answer.request for answer in answers}) > 12  # and came to the bridge
    assert {answer.status for answer in answers} == {403}
    assert not [name for answer in answers for name in answer.headers if name.startswith("access-control")]
    assert state(running_bridge) == before


def test_a_name_that_was_made_to_point_here_is_not_served(context: BrowserContext, running_bridge: Running) -> None:
    page = context.new_page()
    for path in ("/", "/?code=guess", "/v1/health", "/v1/info", "/page/app.js"):
        answer = page.goto(f"http://{EVIL}:{running_bridge.port}{path}")
        assert answer is not None
        assert answer.status == 421, path
    got = page.evaluate("fetch('/v1/info', { credentials: 'include' }).then((answer) => answer.status)")
    assert got == 421  # same origin for the browser, yet not for the bridge


def test_a_window_that_a_foreign_page_opens_is_out_of_its_reach(
    context: BrowserContext, running_bridge: Running, stranger: int
) -> None:
    page = context.new_page()
    page.goto(f"http://{EVIL}:{stranger}/hostile_page.html?port=1&sound=x")
    with context.expect_page() as opened:
        page.evaluate("url => { window.opened = window.open(url); }", f"{running_bridge.url}/")
    opened.value.wait_for_load_state()
    assert "requests of other web sites" in opened.value.inner_text("body")
    assert opened.value.locator("#app").count() == 0


def test_another_port_of_this_machine_does_not_see_the_token(
    context: BrowserContext, running_bridge: Running, stranger: int
) -> None:
    """Cookies are shared between ports, session storage is not; so there must be no cookie."""
    page = context.new_page()
    page.goto(running_bridge.client.post("/v1/session/code", json={}).json()["url"])
    page.wait_for_selector(".row")
    assert page.evaluate("sessionStorage.getItem('spresso.token')") == running_bridge.token
    assert context.cookies() == []
    page.goto(f"http://127.0.0.1:{stranger}/hostile_page.html?port=1&sound=x")
    assert page.evaluate("[sessionStorage.length, localStorage.length, document.cookie]") == [0, 0, ""]
