"""Events: in order, again after a lost connection, never waiting for anybody, and quiet when nothing happens."""

from __future__ import annotations

import asyncio
import json
import shutil
import socket
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest

from plugin_bridge import events as events_module
from plugin_bridge.events import KEPT, MAX_LISTENERS, CatalogWatch, Events, server_sent
from spresso_assets.catalog.engine import Catalog, open_catalog
from spresso_assets.errors import SpressoError
from tests.plugin_bridge.running import FilledCatalog, Running

PATIENCE_S = 60.0


@pytest.fixture
def catalog(bridge_catalog: FilledCatalog, tmp_path: Path) -> Iterator[Catalog]:
    opened = open_catalog(Path(shutil.copy(bridge_catalog.file, tmp_path / "catalog.db")))
    yield opened
    opened.close()


class Stream:
    """Reads server-sent events as they come."""

    def __init__(self, answer: httpx2.Response) -> None:
        self.lines = answer.iter_lines()

    def next(self) -> dict[str, Any]:
        event: dict[str, Any] = {}
        for line in self.lines:
            if not line and "event" in event:
                return event
            name, _, value = line.partition(": ")
            if name in ("id", "event"):
                event[name] = value
            elif name == "data":
                event["data"] = json.loads(value)
        raise AssertionError("the stream ended")


@contextmanager
def listening(client: httpx2.Client, job: str = "", last_id: str = "") -> Iterator[Stream]:
    headers = {"Last-Event-ID": last_id} if last_id else {}
    with client.stream("GET", "/v1/events", params={"job": job} if job else {}, headers=headers) as answer:
        assert answer.status_code == 200 and answer.headers["content-type"].startswith("text/event-stream")
        yield Stream(answer)


def wait_for(condition: Any) -> None:
    end = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_a_batch_is_told_of_as_it_goes(client: httpx2.Client, bridge_catalog: FilledCatalog) -> None:
    ids = [bridge_catalog.id_of("gravel 01"), bridge_catalog.id_of("gravel 02")]
    with listening(client) as stream:
        job = client.post("/v1/jobs", json={"items": [{"id": uid, "q": "preview"} for uid in ids]}).json()["job"]
        told = []
        while not told or told[-1]["event"] != "done":
            event = stream.next()
            if event["data"].get("job") == job:
                told.append(event)
    assert [event["event"] for event in told] == ["progress", "progress", "done"]
    assert [event["data"]["done"] for event in told] == [0, 1, 2]
    assert told[-1]["data"]["state"] == "done" and told[-1]["data"]["total"] == 2
    with listening(client, job, told[0]["id"]) as stream:
        assert [stream.next()["id"] for _ in range(2)] == [event["id"] for event in told[1:]], "what was missed"
        assert not list(stream.lines), "and then the stream ends"
    with listening(client, job) as stream:
        assert stream.next() == told[0], "whoever asks for a batch misses nothing of it"
    client.delete(f"/v1/jobs/{job}")


def test_those_who_listen_to_one_batch_hear_of_no_other(client: httpx2.Client, running_bridge: Running) -> None:
    hub = running_bridge.bridge.events
    with listening(client, "mine") as stream:
        hub.publish("progress", {"n": 1}, "other")
        hub.publish("catalog-changed", {})
        hub.publish("progress", {"n": 2, "text": "two\nlines & ünïcode"}, "mine")
        assert stream.next()["data"] == {"n": 2, "text": "two\nlines & ünïcode"}


def test_a_client_that_left_is_forgotten(client: httpx2.Client, running_bridge: Running) -> None:
    hub = running_bridge.bridge.events
    wait_for(lambda: not hub._listeners)
    with listening(client) as stream:
        hub.publish("progress", {})
        stream.next()
        assert len(hub._listeners) == 1
    wait_for(lambda: not hub._listeners)


def test_a_client_that_does_not_read_is_dropped_and_holds_nobody_up(
    client: httpx2.Client, running_bridge: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events_module, "WAITING", 16)
    monkeypatch.setattr(events_module, "KEPT", 0)
    hub = running_bridge.bridge.events
    wait_for(lambda: not hub._listeners)
    with socket.create_connection(("127.0.0.1", running_bridge.port)) as deaf:
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        deaf.sendall(
            f"GET /v1/events HTTP/1.1\r\nHost: 127.0.0.1:{running_bridge.port}\r\n"
            f"Authorization: Bearer {running_bridge.token}\r\n\r\n".encode()
        )
        wait_for(lambda: len(hub._listeners) == 1)
        load = {"text": "x" * 200_000}

        def flooded() -> bool:
            hub.publish("progress", load)
            return not hub._listeners

        wait_for(flooded)
    assert client.get("/v1/health").status_code == 200


def test_an_id_of_another_server_is_told_everything_that_is_known(catalog: Catalog) -> None:
    async def run() -> None:
        hub = Events(catalog)
        for n in range(KEPT + 10):
            hub.publish("progress", {"n": n})
        for last_id in ("deadbeef-700", "nonsense", f"{hub.epoch}-", f"{hub.epoch}-x", f"{hub.epoch}-{'9' * 40}"):
            listener = hub.join(last_id=last_id)
            event = await listener.next(1)
            assert event is not None and event.data == {"n": 10}, "the oldest that is kept"
            hub.leave(listener)
        fresh = hub.join()
        assert await fresh.next(0.01) is None, "a new client is told of nothing old"
        hub.leave(fresh)
        hub.close()

    asyncio.run(run())


def test_listeners_are_bounded(catalog: Catalog) -> None:
    async def run() -> None:
        hub = Events(catalog)
        listeners = [hub.join() for _ in range(MAX_LISTENERS)]
        with pytest.raises(SpressoError) as caught:
            hub.join()
        assert caught.value.code == "too_many_listeners"
        for listener in listeners:
            hub.leave(listener)
        hub.leave(hub.join())
        hub.close()

    asyncio.run(run())


def test_silence_is_broken_now_and_then(catalog: Catalog) -> None:
    async def run() -> None:
        hub = Events(catalog)
        stream = server_sent(hub, hub.join(), keep_alive_s=0.01)
        assert [await anext(stream) for _ in range(3)] == [b"retry: 2000\n\n", *[b": still here\n\n"] * 2]
        hub.close()

    asyncio.run(run())


def test_events_may_come_from_any_thread(catalog: Catalog) -> None:
    async def run() -> None:
        hub = Events(catalog)
        listener = hub.join()
        threads = [threading.Thread(target=hub.publish, args=("progress", {"n": n})) for n in range(20)]
        for thread in threads:
            thread.start()
        numbers = []
        for _ in threads:
            event = await listener.next(PATIENCE_S)
            assert event is not None
            numbers.append(event.number)
        assert numbers == list(range(1, 21))
        hub.leave(listener)
        hub.close()

    asyncio.run(run())


def change(catalog: Catalog, statement: str) -> None:
    """As another process would."""
    with closing(sqlite3.connect(str(catalog.location.path))) as database, database:
        database.execute(statement)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE asset SET description = 'new', updated_at = 1 + (SELECT max(updated_at) FROM asset) WHERE id = 1",
        "UPDATE asset SET deleted_at = 1 WHERE id = 1",
        "UPDATE rendition SET id = id + 1000 WHERE id = (SELECT max(id) FROM rendition)",
    ],
)
def test_changes_of_sounds_are_noticed_once(catalog: Catalog, statement: str) -> None:
    watch = CatalogWatch(catalog)
    before = watch.generation(0)
    change(catalog, statement)
    assert watch.generation(3600) == before, "a young look will do"
    assert watch.generation(0) == before + 1 and watch.generation(0) == before + 1
    watch.close()
    assert watch.generation(0) == before + 1


def test_what_jobs_do_to_the_catalog_is_no_change_of_its_sounds(catalog: Catalog) -> None:
    watch = CatalogWatch(catalog)
    before = watch.generation(0)
    change(catalog, "UPDATE job SET progress = 0.5 + progress / 10")
    assert watch.generation(0) == before
    watch.close()


def test_a_catalog_that_does_not_answer_is_asked_again(catalog: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    watch = CatalogWatch(catalog)
    before = watch.generation(0)
    with monkeypatch.context() as broken:
        broken.setattr(watch, "NEWEST", "SELECT 1 FROM nothing_of_this_name")
        change(catalog, "UPDATE asset SET updated_at = 1 + (SELECT max(updated_at) FROM asset) WHERE id = 1")
        assert watch.generation(0) == before
    assert watch.generation(0) == before + 1
    watch.close()


def test_clients_are_told_that_the_catalog_has_changed(catalog: Catalog) -> None:
    async def run() -> None:
        hub = Events(catalog, poll_s=0.02)
        listener = hub.join()
        while hub.watch.generation(3600) == 0:
            await asyncio.sleep(0.01)
        await asyncio.to_thread(
            change, catalog, "UPDATE asset SET updated_at = 1 + (SELECT max(updated_at) FROM asset) WHERE id = 1"
        )
        event = await listener.next(PATIENCE_S)
        assert event is not None and event.kind == "catalog-changed"
        hub.leave(listener)
        assert hub._poll is None, "nobody listens, nobody looks"
        hub.close()

    asyncio.run(run())


def test_the_server_stops_though_somebody_listens(bridge_catalog: FilledCatalog, tmp_path: Path) -> None:
    from tests.plugin_bridge.running import running

    with running(bridge_catalog, tmp_path) as served:
        stream = served.client.stream("GET", "/v1/events")
        answer = stream.__enter__()
    answer.close()
    assert events_module.KEEP_ALIVE_S > 3, "or the test would prove nothing"
