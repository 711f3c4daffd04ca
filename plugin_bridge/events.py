"""What happens while clients look on: a bounded ring of events, and listeners that can never hold anybody up.

An event has a number, so that a client which lost its connection gets what it missed (`Last-Event-ID`). A listener
that does not read is dropped: it comes back, and is told again.
"""

import asyncio
import json
import secrets
import sqlite3
import threading
import time
from collections import deque
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from sqlalchemy.exc import SQLAlchemyError

from spresso_assets.catalog.engine import Catalog
from spresso_assets.errors import ExitCode, FaultKind, SpressoError

KEPT = 512  # events that a returning client can be told again
WAITING = 256  # events that a listener may be behind by
MAX_LISTENERS = 64
POLL_S = 2.0  # between two looks at the catalog
LAST = ("done", "error")  # events after which a batch does nothing more
KEEP_ALIVE_S = 15.0  # proxies and phones give a silent connection up after half a minute or more


@dataclass(frozen=True)
class Event:
    """One thing that happened.

    Attributes:
        number: counts up from 1.
        kind: ``progress``, ``done``, ``error`` or ``catalog-changed``.
        job: id of the batch that it is about, '' for none.
    """

    number: int
    kind: str
    data: dict[str, Any]
    job: str = ""


class Listener:
    """One client's place in the stream; belongs to the event loop that made it.

    Attributes:
        lost: set when the client is to be dropped, because it fell behind or the server stops.
    """

    def __init__(self, job: str, missed: list[Event]) -> None:
        self.job = job
        self.lost = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._queue: asyncio.Queue[Event] = asyncio.Queue(WAITING + KEPT)
        for event in missed:
            self.take(event)

    def wants(self, event: Event) -> bool:
        """Whether the client asked for it: those that listen to one job hear of nothing else."""
        return not self.job or event.job == self.job

    def offer(self, event: Event) -> None:
        """`take`, from any thread."""
        self._call(self.take, event)

    def drop(self) -> None:
        """End the stream, from any thread."""
        self._call(self.lost.set)

    def take(self, event: Event) -> None:
        """Queue an event, or give the client up."""
        if self.wants(event):
            try:
                self._queue.put_nowait(event)
            except asyncio.QueueFull:
                self.lost.set()

    async def next(self, timeout_s: float) -> Event | None:
        """The next event; None when there was none for so long."""
        try:
            async with asyncio.timeout(timeout_s):
                return await self._queue.get()
        except TimeoutError:
            return None

    def _call(self, function: Any, *args: Any) -> None:
        with suppress(RuntimeError):  # the loop is closed, and so is the client's connection
            self._loop.call_soon_threadsafe(function, *args)


class Events:
    """The hub. `publish` may be called from any thread and never waits."""

    def __init__(self, catalog: Catalog, *, poll_s: float = POLL_S) -> None:
        self.watch = CatalogWatch(catalog)
        self._poll_s = poll_s
        # a number of a former server means nothing to this one
        self.epoch = secrets.token_hex(4)
        self._lock = threading.Lock()
        self._ring: deque[Event] = deque(maxlen=KEPT)
        self._listeners: set[Listener] = set()
        self._number = 0
        self._poll: asyncio.Task[None] | None = None
        self._closed = False

    def publish(self, kind: str, data: dict[str, Any], job: str = "") -> None:
        """Tell every listener."""
        with self._lock:
            self._number += 1
            event = Event(self._number, kind, data, job)
            self._ring.append(event)
            for listener in self._listeners:
                listener.offer(event)

    def id_of(self, event: Event) -> str:
        """What a client gives back to be told what came after."""
        return f"{self.epoch}-{event.number}"

    def join(self, job: str = "", last_id: str = "") -> Listener:
        """Begin to listen; `leave` ends it.

        Args:
            job: only what this batch does, from its beginning.
            last_id: the last event that the client had; it is told what came after, as far as that is still known.

        Raises:
            SpressoError: ``too_many_listeners``.
        """
        with self._lock:
            if self._closed or len(self._listeners) >= MAX_LISTENERS:
                raise SpressoError(
                    f"{MAX_LISTENERS} clients listen already",
                    code="too_many_listeners",
                    hint="Close some of them.",
                    exit_code=ExitCode.FAILED,
                    kind=FaultKind.RETRYABLE,
                )
            listener = Listener(job, self._after(last_id) if last_id or not job else list(self._ring))
            self._listeners.add(listener)
            if self._poll is None or self._poll.done():
                self._poll = asyncio.create_task(self._look())
        return listener

    def leave(self, listener: Listener) -> None:
        """Forget a listener. With the last one the catalog is no longer looked at."""
        with self._lock:
            self._listeners.discard(listener)
            if not self._listeners and self._poll is not None:
                self._poll.cancel()
                self._poll = None

    def close(self) -> None:
        """End all streams, from any thread: a server that stops waits for its connections."""
        with self._lock:
            self._closed = True
            for listener in self._listeners:
                listener.drop()
        self.watch.close()

    def _after(self, last_id: str) -> list[Event]:
        if not last_id:
            return []  # whoever comes without a past begins now
        epoch, _, number = last_id.rpartition("-")
        seen = int(number) if epoch == self.epoch and number.isdecimal() and len(number) < 20 else 0
        return [event for event in self._ring if event.number > seen]

    async def _look(self) -> None:
        """Tell of changes of the catalog that anybody made: another process ingests, edits, encodes."""
        known = await asyncio.to_thread(self.watch.generation, self._poll_s)
        while True:
            await asyncio.sleep(self._poll_s)
            now = await asyncio.to_thread(self.watch.generation, self._poll_s / 2)
            if now != known:
                self.publish("catalog-changed", {})
            known = now


class CatalogWatch:
    """Notices that sounds, their text or their renditions have changed, at next to no cost while nothing has.

    SQLite counts the commits of others (`data_version`), which costs microseconds; since jobs and leases are commits
    too, only then is the newest change of each kind asked for, by index. Postgres has no such count and is asked.
    """

    NEWEST = (
        "SELECT (SELECT max(updated_at) FROM asset), (SELECT max(id) FROM asset), (SELECT max(id) FROM rendition), "
        "(SELECT count(*) FROM asset WHERE deleted_at IS NOT NULL), (SELECT max(asset_id) FROM asset_text)"
    )

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._connection: sqlite3.Connection | None = None
        self._lock = threading.Lock()
        self._generation = 0
        self._looked_at = float("-inf")
        self._commits: int | None = None
        self._seen: tuple[Any, ...] | None = None

    def generation(self, at_most_s: float) -> int:
        """A number that is another one after every change; a look that is younger than ``at_most_s`` counts as now."""
        with self._lock:
            if time.monotonic() - self._looked_at >= at_most_s:
                self._generation += self._changed()
                self._looked_at = time.monotonic()
            return self._generation

    def close(self) -> None:
        """Give the connection back; the next look opens another."""
        with self._lock:
            self._close()

    def _changed(self) -> bool:
        """Whether there is anything new since the last call. False while the catalog does not answer."""
        try:
            commits = self._count_commits()
            if commits is not None and commits == self._commits:
                return False
            newest = self._newest()
        except (SpressoError, SQLAlchemyError, sqlite3.Error):
            self._close()
            return False
        former, self._seen, self._commits = self._seen, newest, commits
        return former != newest

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._connection = self._commits = None

    def _count_commits(self) -> int | None:
        path = self._catalog.location.path
        if path is None:
            return None
        if self._connection is None:
            # the count is one connection's own, so it keeps this one
            uri = f"file:{quote(str(path.absolute()))}?mode=ro"
            self._connection = sqlite3.connect(uri, uri=True, timeout=1, isolation_level=None, check_same_thread=False)
        return int(self._connection.execute("PRAGMA data_version").fetchone()[0])

    def _newest(self) -> tuple[Any, ...]:
        with self._catalog.read() as session:
            return tuple(session.connection().exec_driver_sql(self.NEWEST).one())


async def server_sent(events: Events, listener: Listener, keep_alive_s: float = KEEP_ALIVE_S) -> AsyncIterator[bytes]:
    """A listener's events in the form of server-sent events: those of one batch until it ends, all of them for ever.

    Silence is broken by a comment now and then, so that a connection that died is noticed at both ends.
    """
    yield b"retry: 2000\n\n"
    while True:
        event = await listener.next(keep_alive_s)
        if event is None:
            yield b": still here\n\n"
            continue
        text = json.dumps(event.data, ensure_ascii=False, separators=(",", ":"))
        yield f"id: {events.id_of(event)}\nevent: {event.kind}\ndata: {text}\n\n".encode("utf-8", "replace")
        if listener.job and event.kind in LAST:
            return
