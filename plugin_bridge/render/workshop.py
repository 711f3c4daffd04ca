"""Where takes are decoded: threads that fly one flight after the other, and several at once where one has to wait."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from plugin_bridge.render.cache import DiskCache, RamCache
from plugin_bridge.render.decoders import Blocks, Decoder
from plugin_bridge.render.flights import Flight, Unwanted
from plugin_bridge.render.queue import DecodeQueue
from plugin_bridge.render.shaping import shaped
from plugin_bridge.render.sounds import RamSound, Samples, Sound
from plugin_bridge.render.takes import Take
from spresso_assets.errors import FaultKind, SpressoError

if TYPE_CHECKING:
    from plugin_bridge.settings import BridgeSettings

PACE = 0.2  # weight of the last decode in how long one takes
BLOCK_FRAMES = 1 << 16
GOODBYE_S = 10.0  # that a step of a decode may take when the bridge closes; its thread ends with the process anyway

log = logging.getLogger("spresso.bridge")


class Workshop:
    """Threads that decode what is queued, in order of urgency, and keep what they made.

    Args:
        threads: decodes at a time.
        landed: called on the loop for every flight that has ended.

    Attributes:
        largest_in_ram: bytes of samples; larger sounds lie on disk from their first sample on.
        running: flights that have begun and not ended, those that stand still among them.
        decoded: flights that arrived.
    """

    def __init__(
        self,
        settings: BridgeSettings,
        decoder: Decoder,
        threads: int,
        ram: RamCache[Sound],
        disk: DiskCache,
        landed: Callable[[Flight], None],
    ) -> None:
        self._settings, self._decoder, self._threads = settings, decoder, threads
        self._ram, self._disk, self._landed = ram, disk, landed
        self.queue = DecodeQueue(settings.max_queued)
        self.largest_in_ram = settings.ram_bytes // 4
        self._loop: asyncio.AbstractEventLoop | None = None
        self._workers: list[threading.Thread] = []
        self._keeping = ThreadPoolExecutor(1, "bridge-cache")
        self._counting = threading.Lock()
        self.running = self.decoded = self._unwritten = 0

    def open(self, loop: asyncio.AbstractEventLoop) -> None:
        """Start the threads; the first one prepares the decoder before it takes a flight."""
        self._loop = loop
        for n in range(self._threads):
            worker = threading.Thread(target=self._work, args=(n == 0,), name=f"bridge-decode-{n}", daemon=True)
            self._workers.append(worker)
            worker.start()

    def close(self) -> None:
        """End the threads, and write to disk what was decoded; blocks."""
        self.queue.close()
        for worker in self._workers:
            worker.join(GOODBYE_S)
        self._keeping.shutdown()

    def _work(self, first: bool) -> None:
        if first:
            with suppress(Exception):  # whoever wants a sound is told
                self._decoder.prepare()
        while (flight := self.queue.take()) is not None:
            self._fly(flight)

    def _fly(self, flight: Flight) -> None:
        """Decode one flight; whatever happens to it, the thread goes on."""
        self._count(running=1)
        began = time.monotonic()
        try:
            with self._room_for(flight.take) as sound:
                flight.sound = sound
                for block in self._shaped(flight):
                    sound.write(flight.front, block)
                    if flight.front + len(block) == flight.take.frames and isinstance(sound, RamSound):
                        # kept before anybody is told, so that whoever asks next finds it
                        self._ram.put(flight.take.key, sound, sound.ram_bytes)
                    flight.front += len(block)
                    flight.tell()
                    if flight.front < flight.take.frames:
                        self._give_way(flight)
                if flight.front != flight.take.frames:
                    raise _incomplete(flight)
            self._count(decoded=1)
            self.queue.pace_s += PACE * (time.monotonic() - began - flight.paused_s - self.queue.pace_s)
        except Unwanted:
            flight.error = flight.error or SpressoError("nobody waits for this sound any more", code="superseded")
        except Exception as error:
            flight.error = error if isinstance(error, SpressoError) else _failed(error)
            if not isinstance(error, SpressoError):
                log.exception("decoding %s failed", flight.take.asset_uid[:8])
        finally:
            self._count(running=-1)
            flight.ended = True
            self._land(flight)

    def _give_way(self, flight: Flight) -> None:
        """Called between the steps of a decode: end it where nobody wants it, let more urgent ones go first.

        They are decoded here and now, on the stack of the one that stands still; there are only three priorities.

        Raises:
            Unwanted: its last reader has gone.
        """
        began = time.monotonic()
        while flight.wanted and (urgent := self.queue.more_urgent(flight.priority)) is not None:
            self._fly(urgent)
        flight.paused_s += time.monotonic() - began
        if not flight.wanted:
            raise Unwanted

    def _count(self, running: int = 0, decoded: int = 0) -> None:
        with self._counting:
            self.running += running
            self.decoded += decoded

    def _land(self, flight: Flight) -> None:
        sound, loop = flight.sound, self._loop
        assert loop is not None
        try:
            loop.call_soon_threadsafe(self._landed, flight)
        except RuntimeError:
            return  # the loop is closed
        if flight.error is None and isinstance(sound, RamSound):
            with self._counting:
                if self._unwritten + sound.ram_bytes > self.largest_in_ram:
                    return  # the disk is slower than the decoder: memory is not its queue
                self._unwritten += sound.ram_bytes
            self._keeping.submit(self._keep, flight.take, sound)

    def _keep(self, take: Take, sound: RamSound) -> None:
        try:
            self._disk.store(take, sound)
        finally:
            with self._counting:
                self._unwritten -= sound.ram_bytes

    @contextmanager
    def _room_for(self, take: Take) -> Iterator[Sound]:
        """A place to decode into: memory, or a file of the disk cache for what is large."""
        if take.pcm_bytes <= self.largest_in_ram:
            yield RamSound(take.frames, take.channels)
            return
        if (file := self._disk.begin(take)) is None:
            if take.pcm_bytes > self._settings.ram_bytes:
                raise _no_room(take)
            yield RamSound(take.frames, take.channels)
            return
        try:
            yield file
        except BaseException as error:
            self._disk.discard(file)
            if isinstance(error, OSError):
                self._disk.complain(error)
                raise _no_room(take) from error
            raise
        self._disk.keep(take, file)

    def _shaped(self, flight: Flight) -> Iterator[Samples]:
        take = flight.take
        whole = take.whole()
        kept = None if whole.key == take.key else self._ram.get(whole.key) or self._disk.open(whole)
        if kept is not None:  # decoded before in another form
            return shaped(_blocks_of(kept), take)
        return shaped(self._decoder.blocks(take, lambda: self._give_way(flight)), take)


def _blocks_of(sound: Sound) -> Blocks:
    for at in range(0, sound.frames, BLOCK_FRAMES):
        yield sound.read(at, min(sound.frames, at + BLOCK_FRAMES)).T


def _incomplete(flight: Flight) -> SpressoError:
    return SpressoError(
        f"the decoder gave {flight.front} frames of {flight.take.asset_uid[:8]}, not {flight.take.frames}",
        code="decode_incomplete",
        hint="Encode the sound again: its payload does not agree with itself.",
    )


def _failed(error: Exception) -> SpressoError:
    return SpressoError(
        f"the decoder failed: {type(error).__name__}: {error}",
        code="decode_failed",
        hint="The log of the bridge tells more.",
    )


def _no_room(take: Take) -> SpressoError:
    return SpressoError(
        f"{take.asset_uid[:8]} is too long for memory ({take.pcm_bytes / 1e6:.0f} MB), and the disk takes nothing",
        code="disk_full",
        hint="Free some space, or ask for a part with start and dur.",
        kind=FaultKind.ENVIRONMENT,
    )
