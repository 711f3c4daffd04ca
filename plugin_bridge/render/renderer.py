"""The renderer: takes in, samples out, each decoded once for everybody who waits for it.

    take -> in memory? -> on disk? -> on its way? join it -> else queue it
    thread: decode -> channels, rate, part, gain -> front moves on -> caches

Everything about readers happens here, on the event loop; everything about samples in the threads of the `workshop`;
they meet in a `flights.Flight`. docs/explanation/bridge.md tells the rules.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Any

from plugin_bridge.render import encode
from plugin_bridge.render.cache import DiskCache, RamCache, in_memory
from plugin_bridge.render.decoders import Decoder, LocalDecoder, WorkersDecoder
from plugin_bridge.render.flights import Flight, Priority, Reader
from plugin_bridge.render.queue import closing
from plugin_bridge.render.sounds import Samples, Sound
from plugin_bridge.render.takes import Take, TakeParams, make_take
from plugin_bridge.render.workshop import Workshop
from spresso_assets.errors import ExitCode, SpressoError

if TYPE_CHECKING:
    from plugin_bridge.settings import BridgeSettings
    from spresso_assets.catalog.engine import Catalog

__all__ = ["Priority", "Renderer"]

READ_FRAMES = 1 << 16  # samples that a reader is given at once
WAITING_THREADS = 4  # workers decode: threads here only wait
MOST_BYTES = 1 << 30  # of one take, whatever the other limits: somebody may hold all of it

_numbers = itertools.count()


class Renderer:
    """Decodes takes.

    Args:
        settings: limits and folders.
        catalog: open.
        load_codec: loads the model; called at most once, in a thread.
        weights_sha256: of the model that `load_codec` loads; takes of other models are refused before they are
            queued.
        wake_workers: tells workers that a decode waits for them.
        decoder: instead of the one that the settings ask for.
    """

    def __init__(
        self,
        settings: BridgeSettings,
        catalog: Catalog,
        load_codec: Callable[[], Any],
        *,
        weights_sha256: str = "",
        wake_workers: Callable[[], Any] = lambda: None,
        decoder: Decoder | None = None,
    ) -> None:
        self.settings, self.catalog = settings, catalog
        local = settings.decode == "local"
        self._weights_sha256 = weights_sha256 if local else ""
        if decoder is None:
            decoder = (
                LocalDecoder(load_codec, settings.decode_threads) if local else WorkersDecoder(catalog, wake_workers)
            )
        self._decoder = decoder
        self.ram: RamCache[Sound] = RamCache(settings.ram_bytes)
        self.disk = DiskCache(settings.cache_dir, settings.disk_bytes)
        self._files: RamCache[bytes] = RamCache(settings.ram_bytes // 8)
        threads = settings.decode_threads if local else max(WAITING_THREADS, settings.decode_threads)
        self._workshop = Workshop(settings, decoder, threads, self.ram, self.disk, self._landed)
        self._queue = self._workshop.queue
        self._flights: dict[str, Flight] = {}
        self._groups: dict[str, set[Reader]] = {}
        self._loop: asyncio.AbstractEventLoop | None = None

    # --- what others ask for -----------------------------------------------------------------------------------------

    def take(self, id_prefix: str, params: TakeParams | None = None) -> Take:
        """Everything about a sound in some form, without decoding it; reads the catalog, which takes milliseconds.

        Raises:
            SpressoError: as `takes.make_take`; ``take_too_long`` beyond the limit of one request.
        """
        with self.catalog.read() as session:
            take = make_take(session, id_prefix, params or TakeParams(), weights_sha256=self._weights_sha256)
        limit = self.settings.max_seconds
        room = min(MOST_BYTES, max(self.settings.disk_bytes, self.settings.ram_bytes))
        if take.seconds > limit or take.pcm_bytes > room:
            longest = min(limit, room / (4 * take.channels * take.sample_rate))
            raise SpressoError(
                f"{take.asset_uid[:8]} would last {take.seconds:.0f} s, one request may ask for {longest:.0f} s",
                code="take_too_long",
                hint="Ask for a part with start and dur, or write it to a file: spresso decode.",
                exit_code=ExitCode.USAGE,
            )
        return take

    async def sound(self, take: Take, priority: Priority = Priority.FILE, group: str | None = None) -> Samples:
        """All samples, float32 [frames, channels]; not to be changed. Waits until they are there.

        Cancelled with the task that waits; the decode ends, too, if nobody else waits for it.

        Raises:
            SpressoError: ``too_many_decodes``, ``superseded``, and what decoding raises.
        """
        async with self.reading(take, priority, group) as reader:
            await reader.wait_for(take.frames)
            return await reader.read(0, take.frames)

    async def stream(
        self, take: Take, priority: Priority = Priority.AUDITION, group: str | None = None
    ) -> AsyncIterator[Samples]:
        """The samples in blocks float32 [n, channels], each as soon as it is decoded.

        Close it (``aclose``) to give up; the decode ends if nobody else waits for it.

        Raises:
            SpressoError: as `sound`.
        """
        async with self.reading(take, priority, group) as reader:
            async for _, block_NC in reader.pieces(0, take.frames, READ_FRAMES):
                yield block_NC

    def reading(self, take: Take, priority: Priority, group: str | None = None) -> Reading:
        """Take part in a decode: ``async with renderer.reading(...) as reader``."""
        return Reading(self, take, priority, group)

    async def file(
        self, take: Take, format: str, priority: Priority = Priority.FILE, group: str | None = None
    ) -> bytes:
        """A whole file of the take, encoded once while it is kept.

        Raises:
            SpressoError: as `sound`; ``bad_format``; ``take_too_long`` for what is better read as a stream.
        """
        encode.check_format(take, format)
        if take.pcm_bytes > self._workshop.largest_in_ram:
            raise SpressoError(
                f"{take.seconds:.0f} s are too much for one {format} file made in memory",
                code="take_too_long",
                hint="Ask for WAV, which comes as a stream, or for a part with start and dur.",
                exit_code=ExitCode.USAGE,
            )
        if (made := self.made_file(take, format)) is None:
            samples_NC = await self.sound(take, priority, group)
            made = await asyncio.to_thread(encode.file, take, samples_NC, format)
            self._files.put(take.etag(format), made, len(made))
        return made

    def made_file(self, take: Take, format: str) -> bytes | None:
        """The file of `file` where it was made already and is still kept."""
        return self._files.get(take.etag(format))

    @property
    def decoded(self) -> int:
        """Sounds decoded so far."""
        return self._workshop.decoded

    def counts(self) -> dict[str, int]:
        """Decodes that wait and run, decodes so far, and bytes kept."""
        return {
            "queued": len(self._queue),
            "running": self._workshop.running,
            "decoded": self.decoded,
            "ram_bytes": self.ram.bytes,
            "disk_bytes": self.disk.bytes,
        }

    async def start(self) -> None:
        """Begin to load the model; sounds that are asked for meanwhile wait for it."""
        self._begin()

    async def ready(self) -> None:
        """Wait until the model is loaded.

        Raises:
            SpressoError: as `codec.bundle.load_bundle`; whoever asks next tries again.
        """
        if not self._decoder.is_ready:
            await asyncio.to_thread(self._decoder.prepare)

    async def close(self) -> None:
        """End what runs at its next block and let go of the threads; what was decoded is still written to disk."""
        self._queue.close()
        for flight in list(self._flights.values()):
            if flight.begun and flight.front == flight.take.frames:
                continue  # all there, and about to be kept
            flight.wanted = False
            flight.error = flight.error or closing()
            flight.wake()
        await asyncio.to_thread(self._workshop.close)

    # --- readers, on the loop ----------------------------------------------------------------------------------------

    def _begin(self) -> asyncio.AbstractEventLoop:
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
            self._workshop.open(self._loop)
        return self._loop

    async def _join_flight(self, take: Take, priority: Priority) -> Flight:
        loop = self._begin()
        if (sound := self.ram.get(take.key)) is not None:
            return Flight.landed(take, sound, loop)
        if take.key not in self._flights:
            found = await asyncio.to_thread(self._from_disk, take)
            if (sound := self.ram.get(take.key)) is not None:  # decoded meanwhile
                return Flight.landed(take, sound, loop)
            if found is not None:
                self.ram.put(take.key, found, found.ram_bytes)
                return Flight.landed(take, found, loop)
        if (flight := self._flights.get(take.key)) is not None:
            self._queue.hurry(flight, priority)
            return flight
        flight = Flight(take, priority, loop)
        self._queue.put(flight)
        self._flights[take.key] = flight
        return flight

    def _from_disk(self, take: Take) -> Sound | None:
        file = self.disk.open(take)
        if file is None or take.pcm_bytes > self._workshop.largest_in_ram:
            return file
        try:
            return in_memory(file)
        except OSError:
            return None
        finally:
            file.close()

    def _enter(self, reader: Reader, group: str | None) -> None:
        if group is None:
            return
        for other in list(self._groups.get(group, ())):
            if other.flight.take.key != reader.flight.take.key:
                min(reader, other, key=lambda one: one.number).supersede()
        self._groups.setdefault(group, set()).add(reader)

    def _leave(self, reader: Reader, group: str | None, *, satisfied: bool) -> None:
        flight = reader.flight
        if group is not None and group in self._groups:
            self._groups[group].discard(reader)
            if not self._groups[group]:
                del self._groups[group]
        flight.readers -= 1
        if flight.readers or flight.ended:
            return
        if satisfied and flight.begun:
            flight.priority = Priority.BATCH  # whoever got a part will want the rest; but nobody waits for it now
            return
        flight.wanted = False
        if self._flights.get(flight.take.key) is flight:
            del self._flights[flight.take.key]

    def _landed(self, flight: Flight) -> None:
        if self._flights.get(flight.take.key) is flight:
            del self._flights[flight.take.key]
        if flight.error is None and flight.sound is not None:
            self.ram.put(flight.take.key, flight.sound, flight.sound.ram_bytes)
        flight.wake()


class Reading:
    """The time for which somebody takes part in a flight."""

    def __init__(self, renderer: Renderer, take: Take, priority: Priority, group: str | None) -> None:
        self._renderer, self._take, self._priority, self._group = renderer, take, priority, group
        self._reader: Reader | None = None

    async def __aenter__(self) -> Reader:
        number = next(_numbers)  # by arrival: a look at the disk may take one longer than the next
        flight = await self._renderer._join_flight(self._take, self._priority)
        flight.readers += 1
        self._reader = Reader(flight, number)
        self._renderer._enter(self._reader, self._group)
        return self._reader

    async def __aexit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        assert self._reader is not None
        self._renderer._leave(self._reader, self._group, satisfied=kind is None and not self._reader.is_superseded)
