"""One decode, and those who wait for it.

A `Flight` is one decode that any number of readers share. Readers live on the event loop, decodes in threads; a flight
is where they meet: the thread moves its front forward, the loop wakes whoever waits for more.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from enum import IntEnum

import numpy as np

from plugin_bridge.render.sounds import FileSound, Samples, Sound
from plugin_bridge.render.takes import Take
from spresso_assets.errors import SpressoError


class Priority(IntEnum):
    """Who waits for a sound; smaller goes first."""

    AUDITION = 0  # a person with a finger on a key
    FILE = 1  # a program that reads a file
    BATCH = 2  # work that takes as long as it takes


class Unwanted(Exception):
    """Ends a decode that nobody waits for."""


class Flight:
    """One decode, from being asked for until its sound is there.

    Attributes:
        take: what is decoded.
        priority: of its most urgent reader.
        sound: where its samples are; None before it has begun.
        front: frames that are there. Written by the decoding thread, read by everybody.
        ended: nothing more will come.
        wanted: False once the last reader has gone before the end.
        error: why it failed.
        paused_s: for how long it stood still while more urgent ones were decoded.
    """

    def __init__(self, take: Take, priority: Priority, loop: asyncio.AbstractEventLoop) -> None:
        self.take, self.priority = take, priority
        self.sound: Sound | None = None
        self.front = 0
        self.ended = False
        self.wanted = True
        self.begun = False
        self.error: Exception | None = None
        self.paused_s = 0.0
        self.readers = 0
        self._loop = loop
        self._waiting: set[asyncio.Future[None]] = set()

    @classmethod
    def landed(cls, take: Take, sound: Sound, loop: asyncio.AbstractEventLoop) -> Flight:
        """A flight whose sound is there already."""
        flight = cls(take, Priority.AUDITION, loop)
        flight.sound, flight.front, flight.ended, flight.begun = sound, sound.frames, True, True
        return flight

    def tell(self) -> None:
        """From the decoding thread: something has changed."""
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            self._loop.call_soon_threadsafe(self.wake)

    def wake(self) -> None:
        """On the loop: let everybody who waits look again."""
        for waiter in self._waiting:
            if not waiter.done():
                waiter.set_result(None)
        self._waiting.clear()

    async def change(self) -> None:
        """Wait until something has changed."""
        waiter = self._loop.create_future()
        self._waiting.add(waiter)
        try:
            await waiter
        finally:
            self._waiting.discard(waiter)


class Reader:
    """Somebody who waits for the samples of a flight; later ones have greater numbers."""

    def __init__(self, flight: Flight, number: int) -> None:
        self.flight, self.number = flight, number
        self._error: SpressoError | None = None

    async def wait_for(self, frames: int) -> int:
        """Wait until so many frames are there; returns how many are.

        Raises:
            SpressoError: ``superseded``, and what decoding raises.
        """
        flight = self.flight
        while True:
            if self._error is not None:
                raise self._error
            if flight.front >= frames:
                return flight.front
            if flight.error is not None:
                raise flight.error
            await flight.change()

    async def read(self, start: int, stop: int) -> Samples:
        """Frames that are there, float32 [n, channels]."""
        sound = self.flight.sound
        assert sound is not None or start == stop
        if sound is None:
            return np.zeros((0, self.flight.take.channels), np.float32)
        if isinstance(sound, FileSound):
            return await asyncio.to_thread(sound.read, start, stop)
        return sound.read(start, stop)

    async def pieces(
        self, first: int, last: int, most: int, at_first: int | None = None
    ) -> AsyncIterator[tuple[int, Samples]]:
        """Frames ``first`` .. ``last`` as they come: (number of the first one, samples).

        Args:
            most: frames at once.
            at_first: frames in the first piece, which somebody waits for.
        """
        limit = at_first or most
        while first < last:
            stop = min(await self.wait_for(first + 1), first + limit, last)
            yield first, await self.read(first, stop)
            first, limit = stop, most

    @property
    def is_superseded(self) -> bool:
        """Whether `supersede` was called."""
        return self._error is not None

    def supersede(self) -> None:
        """Give up: a newer audition of the same group has come."""
        self._error = SpressoError(
            "a newer audition of the same group took the place of this one",
            code="superseded",
            hint="Leave the group out to hear several sounds at once.",
        )
        self.flight.wake()
