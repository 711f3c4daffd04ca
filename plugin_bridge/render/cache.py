"""Sounds that were decoded already: the last ones in memory, more of them on disk, both bounded by bytes.

The disk keeps float samples, one file per sound, under the first digits of its key. A file appears under its name only
when it is whole, and its samples are checked before they are used; so a bridge may be killed at any moment, several may
share a folder, and a damaged file is one that is not there. The files themselves are the index: their times say when
each was last wanted.
"""

from __future__ import annotations

import logging
import os
import threading
import time
import uuid
from collections import OrderedDict
from contextlib import suppress
from pathlib import Path
from typing import Generic, TypeVar

from plugin_bridge.render.sounds import HEAD, FileSound, RamSound, Sound, is_whole
from plugin_bridge.render.takes import Take

SUFFIX, PART = ".pcm", ".part"
ABANDONED_S = 3600.0  # a file that was begun and not written to for so long belongs to a bridge that was killed
BLOCK_FRAMES = 1 << 18
OVERHEAD_BYTES = 512  # what belongs to each entry counts, too: empty ones would be free

T = TypeVar("T")

log = logging.getLogger("spresso.bridge")


class RamCache(Generic[T]):
    """What was wanted last, at most so many bytes of it. Threads may share it."""

    def __init__(self, most_bytes: int) -> None:
        self.most_bytes = most_bytes
        self.bytes = 0
        self._lock = threading.Lock()
        self._kept: OrderedDict[str, tuple[T, int]] = OrderedDict()

    def get(self, key: str) -> T | None:
        """What is kept under a key, which is thereby the last one wanted."""
        with self._lock:
            if (found := self._kept.get(key)) is None:
                return None
            self._kept.move_to_end(key)
            return found[0]

    def put(self, key: str, value: T, size: int) -> None:
        """Keep something of so many bytes, and forget others for it; what is larger than the cache is not kept."""
        size += OVERHEAD_BYTES
        with self._lock:
            if key in self._kept:
                self.bytes -= self._kept.pop(key)[1]
            if size > self.most_bytes:
                return
            self._kept[key] = (value, size)
            self.bytes += size
            while self.bytes > self.most_bytes:
                _, (_, freed) = self._kept.popitem(last=False)
                self.bytes -= freed

    def __contains__(self, key: str) -> bool:
        with self._lock:
            return key in self._kept

    def __len__(self) -> int:
        with self._lock:
            return len(self._kept)


class DiskCache:
    """Sounds in files, at most so many bytes of them. Threads may share it; nothing it meets on the disk is an error.

    Args:
        folder: of this cache alone; made when first needed.
        most_bytes: 0 for no cache on disk.
    """

    def __init__(self, folder: Path, most_bytes: int) -> None:
        self.folder, self.most_bytes = folder, most_bytes
        self.bytes = 0
        self._lock = threading.Lock()
        self._sizes: OrderedDict[str, int] = OrderedDict()  # by key, last wanted last
        self._warned = False
        self._scanned = False

    def open(self, take: Take) -> FileSound | None:
        """The samples of a take, checked; None where they are not, or not whole."""
        if not self.most_bytes:
            return None
        self._scan()
        path = self._path(take.key)
        try:
            if not is_whole(path, take.frames, take.channels, take.sample_rate):
                log.warning("dropped %s, which is damaged, from the cache of decoded sounds", path.name)
                self._drop(take.key)
                return None
            sound = FileSound(path, take.frames, take.channels)
        except OSError:
            self._forget(take.key)
            return None
        with suppress(OSError):
            os.utime(path)
        self._remember(take.key, HEAD.size + take.pcm_bytes)
        return sound

    def begin(self, take: Take) -> FileSound | None:
        """A file to write a take into; see `keep`. None where nothing can be written."""
        if HEAD.size + take.pcm_bytes > self.most_bytes:
            return None
        self._scan()
        path = self._path(take.key)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            return FileSound(path.with_name(f"{take.key}.{uuid.uuid4().hex[:8]}{PART}"), *_shape(take), write=True)
        except OSError as error:
            self.complain(error)
            return None

    def keep(self, take: Take, sound: FileSound) -> None:
        """Let a file that was begun appear under its name: all of its samples are written."""
        try:
            sound.finish(take.sample_rate)
            os.replace(sound.path, self._path(take.key))
        except OSError as error:
            self.complain(error)
            self.discard(sound)
            return
        self._warned = False
        self._remember(take.key, HEAD.size + take.pcm_bytes)

    def discard(self, sound: FileSound) -> None:
        """Give up a file that was begun; who reads it can go on."""
        with suppress(OSError):
            sound.path.unlink()

    def store(self, take: Take, sound: Sound) -> None:
        """Write a sound that lies in memory."""
        with self._lock:
            if take.key in self._sizes:
                return
        if (file := self.begin(take)) is None:
            return
        try:
            for at in range(0, take.frames, BLOCK_FRAMES):
                file.write(at, sound.read(at, min(take.frames, at + BLOCK_FRAMES)))
        except OSError as error:
            self.complain(error)
            self.discard(file)
        else:
            self.keep(take, file)
        finally:
            file.close()

    def complain(self, error: OSError) -> None:
        """Say once that the disk takes nothing, until it does again."""
        if not self._warned:
            self._warned = True
            log.warning(
                "decoded sounds are not kept on disk: %s (%s); they are decoded again when needed",
                error.strerror or error,
                self.folder,
            )

    def _path(self, key: str) -> Path:
        return self.folder / key[:2] / f"{key[2:]}{SUFFIX}"

    def _remember(self, key: str, size: int) -> None:
        with self._lock:
            self.bytes += size - self._sizes.pop(key, 0)
            self._sizes[key] = size
            extra = []
            while self.bytes > self.most_bytes:
                oldest, freed = self._sizes.popitem(last=False)
                self.bytes -= freed
                extra.append(oldest)
        for oldest in extra:
            with suppress(OSError):  # on some systems a file that is open stays; it is found again at the next start
                self._path(oldest).unlink()

    def _forget(self, key: str) -> None:
        with self._lock:
            self.bytes -= self._sizes.pop(key, 0)

    def _drop(self, key: str) -> None:
        self._forget(key)
        with suppress(OSError):
            self._path(key).unlink()

    def _scan(self) -> None:
        """Find what former bridges left, once: whole files by age, and what they had begun."""
        with self._lock:
            if self._scanned:
                return
            self._scanned = True
            found: list[tuple[float, str, int]] = []
            for path in self.folder.glob(f"[0-9a-f][0-9a-f]/*{SUFFIX}"):
                with suppress(OSError):
                    status = path.stat()
                    found.append((status.st_mtime, path.parent.name + path.stem, status.st_size))
            for path in self.folder.glob(f"[0-9a-f][0-9a-f]/*{PART}"):
                with suppress(OSError):
                    if time.time() - path.stat().st_mtime > ABANDONED_S:
                        path.unlink()
            self._sizes = OrderedDict((key, size) for _, key, size in sorted(found))
            self.bytes = sum(self._sizes.values())


def _shape(take: Take) -> tuple[int, int]:
    return take.frames, take.channels


def in_memory(sound: Sound) -> RamSound:
    """A copy in memory."""
    copy = RamSound(sound.frames, sound.channels)
    for at in range(0, sound.frames, BLOCK_FRAMES):
        copy.write(at, sound.read(at, min(sound.frames, at + BLOCK_FRAMES)))
    return copy
