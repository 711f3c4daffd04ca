"""Batches: many takes as one archive or as files to fetch, made in the background behind whoever listens.

A result is kept for an hour. What is on its way and what is kept together never take more room than the disk cache
may (1 GB at least); a killed server's results are removed by the next one.
"""

import asyncio
import hashlib
import logging
import os
import secrets
import shutil
import time
import zipfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from plugin_bridge.events import Events
from plugin_bridge.placing import MANIFEST, listed, manifest_text, numbered
from plugin_bridge.render import encode
from plugin_bridge.render.renderer import Priority, Renderer
from plugin_bridge.render.takes import Take
from plugin_bridge.settings import BridgeSettings
from plugin_bridge.target_folder import writing_fault
from plugin_bridge.wanted import sound_of
from spresso_assets.catalog.engine import Catalog
from spresso_assets.errors import ExitCode, FaultKind, SpressoError
from spresso_assets.export.manifest import Exported

MAX_WAITING = 8
MAX_KNOWN = 256
KEPT_S = 3600.0
MIN_ROOM = 1_000_000_000  # bytes of results, even where next to nothing is to be cached
RETRY_S = 10.0
ABANDONED_S = 86_400.0
RESULT = "result.zip"
ENDED = ("done", "failed", "cancelled")
T = TypeVar("T")

log = logging.getLogger("spresso.bridge")


@dataclass
class Export:
    """One batch.

    Attributes:
        job: its id.
        takes: what it makes.
        form: 'wav', 'flac' or 'ogg'.
        zipped: one archive instead of single files.
        folder: where it writes.
        estimate: most bytes that it will take on disk.
        state: 'queued', 'running', 'done', 'failed' or 'cancelled'.
        lines: what is there so far, by file.
        failures: what could not be had; the rest goes on.
        error: why nothing could be had at all.
    """

    job: str
    takes: Sequence[Take]
    form: str
    zipped: bool
    style: str
    folder: Path
    estimate: int
    state: str = "queued"
    lines: list[Exported] = field(default_factory=list)
    failures: list[dict[str, Any]] = field(default_factory=list)
    error: dict[str, str] | None = None
    ended_at: float = 0.0
    task: asyncio.Task[None] | None = None

    @property
    def done(self) -> int:
        """Takes that are dealt with."""
        return len(self.lines) + len(self.failures)

    def progress(self) -> dict[str, Any]:
        """What events tell."""
        return {
            **{"job": self.job, "state": self.state, "done": self.done, "total": len(self.takes)},
            **{"failed": len(self.failures), "error": self.error},
        }

    def record(self) -> dict[str, Any]:
        """JSON form."""
        ready = self.state == "done"
        base = f"/v1/jobs/{self.job}"
        return {
            **self.progress(),
            "format": self.form,
            "zip": self.zipped,
            "failures": self.failures,
            "result_url": f"{base}/{RESULT}" if ready and self.zipped else None,
            "files": [
                {
                    **{"file": line.file, "id": line.asset, "seed": line.seed, "bytes": line.bytes},
                    **{"sha256": line.sha256, "url": None if self.zipped else f"{base}/files/{line.file}"},
                }
                for line in self.lines
            ]
            if ready
            else [],
        }


class Exports:
    """All batches of a server. Belongs to its event loop."""

    def __init__(
        self,
        settings: BridgeSettings,
        catalog: Catalog,
        renderer: Renderer,
        events: Events,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._budget = max(settings.disk_bytes, MIN_ROOM)
        self._root = settings.cache_dir / "exports"
        self._own: _OwnFolder | None = None
        self._catalog, self._renderer, self._events, self._clock = catalog, renderer, events, clock
        self._exports: dict[str, Export] = {}
        self._one_at_a_time = asyncio.Semaphore(1)

    def begin(self, takes: Sequence[Take], form: str, *, zipped: bool = True, style: str = "ucs") -> Export:
        """Start a batch.

        Raises:
            SpressoError: ``too_many_jobs`` where others have to end first, ``job_too_large``, ``cannot_write``.
        """
        self.forget_old()
        unended = sum(export.state not in ENDED for export in self._exports.values())
        # ogg and flac are smaller than this, and how much is not known before they are made
        estimate = sum(take.wav_bytes + 2048 for take in takes)
        if estimate > self._budget:
            raise SpressoError(
                f"these sounds take {estimate / 1e6:.0f} MB, a batch may take {self._budget / 1e6:.0f} MB",
                code="job_too_large",
                hint="Make several batches of them, or write them to a folder: spresso export.",
                exit_code=ExitCode.USAGE,
            )
        held = sum(export.estimate for export in self._exports.values())
        if unended >= MAX_WAITING or len(self._exports) >= MAX_KNOWN or held + estimate > self._budget:
            raise SpressoError(
                f"{unended} batches are on their way and {held / 1e6:.0f} MB are held for their results",
                code="too_many_jobs",
                hint="Wait for one to end, or delete a result that was fetched.",
                kind=FaultKind.RETRYABLE,
                details={"retry_after_s": RETRY_S},
            )
        job = secrets.token_hex(8)
        if self._own is None:
            self._own = _OwnFolder(self._root)
        folder = self._own.path / job
        try:
            folder.mkdir(mode=0o700)
        except OSError as error:
            raise writing_fault(folder, error) from error
        export = Export(job, takes, form, zipped, style, folder, estimate)
        self._exports[job] = export
        export.task = asyncio.create_task(self._run(export))
        return export

    def get(self, job: str) -> Export:
        """A batch by its id.

        Raises:
            SpressoError: ``job_not_found``.
        """
        self.forget_old()
        if (export := self._exports.get(job)) is None:
            raise SpressoError(
                f"there is no batch '{job[:32]}'",
                code="job_not_found",
                hint="Results are kept for an hour, and go with the server.",
                exit_code=ExitCode.NOT_FOUND,
            )
        return export

    def result(self, job: str, file: str = RESULT) -> Path:
        """A file that a batch has made.

        Raises:
            SpressoError: ``job_not_found``, ``not_finished``, ``not_found``.
        """
        export = self.get(job)
        if export.state != "done":
            raise SpressoError(
                f"the batch is {export.state}, so there is no result",
                code="not_finished",
                hint="GET /v1/jobs/ID or /v1/events tells when it is done.",
            )
        if file not in ({RESULT} if export.zipped else {line.file for line in export.lines}):
            raise SpressoError(
                "the batch has no file of this name",
                code="not_found",
                hint="GET /v1/jobs/ID lists its files.",
                exit_code=ExitCode.NOT_FOUND,
            )
        return export.folder / file

    async def cancel(self, job: str) -> Export:
        """End a batch and remove what it made.

        Raises:
            SpressoError: ``job_not_found``.
        """
        export = self.get(job)
        await self._stop(export)
        export.state = "cancelled"
        await asyncio.to_thread(_remove, export)
        return export

    async def close(self) -> None:
        """End all batches and remove all results."""
        for export in list(self._exports.values()):
            await self._stop(export)
        self._exports.clear()
        if self._own is not None:
            await asyncio.to_thread(self._own.remove)

    def forget_old(self) -> None:
        """Remove results that have been kept long enough."""
        for job, export in list(self._exports.items()):
            if export.state in ENDED and self._clock() - export.ended_at > KEPT_S:
                del self._exports[job]
                _remove(export)

    async def _stop(self, export: Export) -> None:
        if export.task is not None and not export.task.done():
            export.task.cancel()
            await asyncio.wait([export.task])

    async def _run(self, export: Export) -> None:
        try:
            async with self._one_at_a_time:
                export.state = "running"
                await self._make(export)
            export.state = "done" if export.lines or not export.failures else "failed"
            if export.state == "failed":
                export.error = {key: export.failures[0][key] for key in ("code", "detail", "hint")}
        except asyncio.CancelledError:
            export.state = "cancelled"
        except SpressoError as error:
            export.state, export.error = "failed", _told(error)
        except OSError as error:
            export.state, export.error = "failed", _told(writing_fault(export.folder, error))
        except Exception:
            log.exception("a batch failed")
            export.state = "failed"
            export.error = {"code": "internal", "detail": "the batch failed", "hint": "The bridge's log says why."}
        finally:
            export.ended_at = self._clock()
            asyncio.get_running_loop().call_later(KEPT_S + 1, self.forget_old)
            if export.state != "done":
                _remove(export)
            else:
                export.estimate = sum(file.stat().st_size for file in export.folder.iterdir())
            self._events.publish("error" if export.state == "failed" else "done", export.progress(), export.job)

    async def _make(self, export: Export) -> None:
        names: set[str] = set()
        archive = await _whole(_Archive, export.folder) if export.zipped else None
        try:
            for take in export.takes:
                self._events.publish("progress", export.progress(), export.job)
                try:
                    samples = await sound_of(self._renderer, take, Priority.BATCH)
                except SpressoError as error:
                    export.failures.append({"id": take.asset_uid, **_told(error)})
                    continue
                content = await _whole(encode.file, take, samples, export.form)
                wanted = take.filename(export.style, f".{export.form}")
                name = next(name for name in numbered(wanted) if name.casefold() not in names)
                names.add(name.casefold())
                if archive:
                    await _whole(archive.add, name, content)
                else:
                    await _whole(_write, export.folder / name, content)
                digest = hashlib.sha256(content).hexdigest()
                export.lines.append(await _whole(listed, self._catalog, take, name, len(content), digest, False))
            manifest = manifest_text(export.lines).encode("utf-8", "surrogateescape")
            if archive:
                await _whole(archive.finish, manifest)
            else:
                await _whole(_write, export.folder / MANIFEST, manifest)
        finally:
            if archive:
                archive.close()


class _Archive:
    """A ZIP file that has its name once it is whole. Sounds do not get smaller by it, so nothing is compressed."""

    def __init__(self, folder: Path) -> None:
        self._target = folder / RESULT
        self._temporary = folder / f"{RESULT}.part"
        self._zip = zipfile.ZipFile(self._temporary, "x", zipfile.ZIP_STORED, allowZip64=True)

    def add(self, name: str, content: bytes) -> None:
        entry = zipfile.ZipInfo(name, time.localtime()[:6])
        entry.external_attr = 0o644 << 16
        self._zip.writestr(entry, content)

    def finish(self, manifest: bytes) -> None:
        self.add(MANIFEST, manifest)
        self._zip.close()
        self._temporary.replace(self._target)

    def close(self) -> None:
        """Let go of a file that was not finished."""
        with suppress(OSError, ValueError):
            self._zip.close()


class _OwnFolder:
    """This server's folder of results, marked by a lock that a killed server does not hold any more."""

    def __init__(self, root: Path) -> None:
        self.path = root / f"{os.getpid()}-{secrets.token_hex(4)}"
        try:
            root.mkdir(mode=0o700, parents=True, exist_ok=True)
            for former in root.iterdir():
                if _is_abandoned(former):
                    shutil.rmtree(former, ignore_errors=True)
            self.path.mkdir(mode=0o700)
            self._lock = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise writing_fault(self.path, error) from error
        _lock(self._lock)

    def remove(self) -> None:
        shutil.rmtree(self.path, ignore_errors=True)
        os.close(self._lock)


def _is_abandoned(folder: Path) -> bool:
    try:
        descriptor = os.open(folder / "lock", os.O_RDWR)
    except OSError:
        with suppress(OSError):
            return time.time() - folder.stat().st_mtime > ABANDONED_S
        return False
    try:
        return _lock(descriptor)
    finally:
        os.close(descriptor)


def _lock(descriptor: int) -> bool:
    try:
        import fcntl

        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (ImportError, OSError):
        return False
    return True


async def _whole(function: Callable[..., T], *args: Any) -> T:
    """Run in a thread to its end, even when cancelled: nobody may remove files under a thread that writes them."""
    running = asyncio.ensure_future(asyncio.to_thread(function, *args))
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        await asyncio.wait([running])
        raise


def _write(path: Path, content: bytes) -> None:
    with path.open("xb") as file:
        file.write(content)


def _remove(export: Export) -> None:
    shutil.rmtree(export.folder, ignore_errors=True)
    export.estimate = 0


def _told(error: SpressoError) -> dict[str, str]:
    return {"code": error.code, "detail": error.message, "hint": error.hint}
