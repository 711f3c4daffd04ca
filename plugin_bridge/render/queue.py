"""Who is decoded next: flights in order of who waits for them, and then of their arrival."""

from __future__ import annotations

import heapq
import itertools
import threading

from plugin_bridge.render.flights import Flight, Priority
from spresso_assets.errors import FaultKind, SpressoError

SECONDS_A_DECODE = 1.5  # for telling a client when to ask again, until decodes have been timed


class DecodeQueue:
    """Flights that have not begun. Threads and the loop share it.

    Args:
        most: how many may wait. One is refused when so many that are at least as urgent wait already: what nobody
            sits waiting for cannot lock out a person.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._heap: list[tuple[Priority, int, Flight]] = []
        self._numbers = itertools.count()
        self._changed = threading.Condition()
        self._closed = False
        self.pace_s = SECONDS_A_DECODE

    def put(self, flight: Flight) -> None:
        """Queue a flight.

        Raises:
            SpressoError: ``too_many_decodes``, with ``retry_after_s`` in its details; ``bridge_closing``.
        """
        with self._changed:
            if self._closed:
                raise closing()
            before = sum(1 for _, _, other in self._waiting() if other.priority <= flight.priority)
            if before >= self._most:
                raise SpressoError(
                    f"{before} sounds wait to be decoded already",
                    code="too_many_decodes",
                    hint="Ask again in a moment.",
                    kind=FaultKind.RETRYABLE,
                    details={"retry_after_s": max(1, min(60, round(before * self.pace_s)))},
                )
            self._push(flight)

    def hurry(self, flight: Flight, priority: Priority) -> None:
        """Somebody more urgent waits for a flight, too."""
        with self._changed:
            if priority < flight.priority:
                flight.priority = priority
                if not flight.begun:
                    self._push(flight)

    def take(self) -> Flight | None:
        """The next flight, waited for; None once the queue is closed."""
        with self._changed:
            while True:
                if self._closed:
                    return None
                if (flight := self._pop(None)) is not None:
                    return flight
                self._changed.wait()

    def more_urgent(self, priority: Priority) -> Flight | None:
        """A flight that should go before one of this priority, if there is one; does not wait."""
        with self._changed:
            return None if self._closed else self._pop(priority)

    def close(self) -> None:
        """Let `take` return."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def __len__(self) -> int:
        with self._changed:
            return sum(1 for _ in self._waiting())

    def _push(self, flight: Flight) -> None:
        heapq.heappush(self._heap, (flight.priority, next(self._numbers), flight))
        self._changed.notify()

    def _pop(self, above: Priority | None) -> Flight | None:
        while self._heap:
            priority, _, flight = self._heap[0]
            if above is not None and priority >= above:
                return None
            heapq.heappop(self._heap)
            # one that was hurried stands twice, one that nobody wants any more still stands
            if flight.wanted and not flight.begun and priority == flight.priority:
                flight.begun = True
                return flight
        return None

    def _waiting(self) -> list[tuple[Priority, int, Flight]]:
        return [
            entry for entry in self._heap if entry[2].wanted and not entry[2].begun and entry[0] == entry[2].priority
        ]


def closing() -> SpressoError:
    """What is said to those who still wait when the bridge is told to stop."""
    return SpressoError(
        "the bridge is closing", code="bridge_closing", hint="Start it again.", kind=FaultKind.RETRYABLE
    )
