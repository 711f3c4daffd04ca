"""What was decoded is kept within its bounds, on a disk that may be full, damaged, or cut off at any moment."""

from __future__ import annotations

import errno
import logging
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from plugin_bridge.render.cache import ABANDONED_S, DiskCache, RamCache
from plugin_bridge.render.sounds import FileSound, RamSound
from plugin_bridge.render.takes import Take
from tests.plugin_bridge.render.fakes import a_take, samples_of

FRAMES = 1000
ONE = 32 + 4 * FRAMES  # bytes on disk


def sound_of(take: Take) -> RamSound:
    sound = RamSound(take.frames, take.channels)
    sound.write(0, samples_of(take).T)
    return sound


def fill(cache: DiskCache, *seeds: int) -> list[Take]:
    takes = [a_take(seed, FRAMES) for seed in seeds]
    for take in takes:
        cache.store(take, sound_of(take))
    return takes


def kept(cache: DiskCache, seeds: range) -> list[int]:
    return [seed for seed in seeds if cache.open(a_take(seed, FRAMES)) is not None]


def files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def test_memory_forgets_what_was_wanted_least_lately() -> None:
    cache: RamCache[str] = RamCache(10_000)
    for name in "abc":
        cache.put(name, name, 2500)
    assert cache.get("a") == "a"
    cache.put("d", "d", 2500)
    assert [cache.get(name) for name in "abcd"] == ["a", None, "c", "d"]
    cache.put("e", "e", 20_000)
    assert cache.get("e") is None and cache.get("a") == "a"
    cache.put("a", "anew", 100)
    assert cache.get("a") == "anew" and len(cache) == 3 and cache.bytes <= 10_000


def test_disk_forgets_what_was_wanted_least_lately(tmp_path: Path) -> None:
    cache = DiskCache(tmp_path, 3 * ONE)
    fill(cache, 0, 1, 2)
    assert cache.open(a_take(0, FRAMES)) is not None
    fill(cache, 3)
    assert kept(cache, range(4)) == [0, 2, 3]
    assert sum(path.stat().st_size for path in files(tmp_path)) == cache.bytes <= 3 * ONE


def test_the_next_start_knows_what_there_is_and_what_was_wanted_last(tmp_path: Path) -> None:
    takes = fill(DiskCache(tmp_path, 10 * ONE), 0, 1, 2)
    for age, take in enumerate(reversed(takes)):  # the first one was wanted last
        path = tmp_path / take.key[:2] / f"{take.key[2:]}.pcm"
        os.utime(path, (time.time() - 100 + age, time.time() - 100 + age))
    cache = DiskCache(tmp_path, 3 * ONE)
    fill(cache, 3)
    assert kept(cache, range(4)) == [0, 1, 3]


def test_samples_come_back_exactly(tmp_path: Path) -> None:
    cache = DiskCache(tmp_path, 1 << 20)
    take = a_take(4, 3000, 2)
    cache.store(take, sound_of(take))
    found = DiskCache(tmp_path, 1 << 20).open(take)
    assert found is not None and np.array_equal(found.read(0, 3000).T, samples_of(take))
    assert np.array_equal(found.read(2990, 3000).T, samples_of(take)[:, 2990:])


@pytest.mark.parametrize("damage", ["cut", "head", "sample", "longer", "empty", "other shape"])
def test_a_damaged_file_is_dropped_and_made_again(
    tmp_path: Path, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    cache = DiskCache(tmp_path, 1 << 20)
    (take,) = fill(cache, 1)
    (path,) = files(tmp_path)
    raw = bytearray(path.read_bytes())
    if damage == "cut":
        raw = raw[:-1]
    elif damage in ("head", "sample"):
        raw[10 if damage == "head" else 500] ^= 1
    elif damage == "longer":
        raw += b"\0\0\0\0"
    elif damage == "empty":
        raw = bytearray()
    else:
        other = a_take(1, FRAMES // 2, 2)
        DiskCache(tmp_path / "other", 1 << 20).store(other, sound_of(other))
        raw = bytearray(files(tmp_path / "other")[0].read_bytes())
    path.write_bytes(raw)
    with caplog.at_level(logging.WARNING):
        assert cache.open(take) is None
    assert "damaged" in caplog.text and not path.exists() and cache.bytes == 0
    fill(cache, 1)
    assert cache.open(take) is not None


def test_a_file_that_vanished_is_one_that_is_not_there(tmp_path: Path) -> None:
    cache = DiskCache(tmp_path, 1 << 20)
    (take,) = fill(cache, 1)
    files(tmp_path)[0].unlink()
    assert cache.open(take) is None and cache.bytes == 0


def test_reading_goes_on_while_the_file_is_forgotten(tmp_path: Path) -> None:
    cache = DiskCache(tmp_path, ONE)
    (take,) = fill(cache, 1)
    reading = cache.open(take)
    fill(cache, 2)
    assert reading is not None and not reading.path.exists()
    assert np.array_equal(reading.read(0, FRAMES).T, samples_of(take))


def test_a_full_disk_costs_one_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    write, full = FileSound.write, True

    def refused(self: FileSound, at: int, block_NC: np.ndarray) -> None:
        if full:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        write(self, at, block_NC)

    monkeypatch.setattr(FileSound, "write", refused)
    cache = DiskCache(tmp_path, 1 << 20)
    with caplog.at_level(logging.WARNING):
        fill(cache, 0, 1, 2)
    assert len(caplog.records) == 1 and "No space left" in caplog.text
    assert files(tmp_path) == [] and kept(cache, range(3)) == []
    full = False
    fill(cache, 3)
    assert kept(cache, range(4)) == [3]


def test_no_cache_on_disk_writes_nothing(tmp_path: Path) -> None:
    cache = DiskCache(tmp_path / "none", 0)
    fill(cache, 1)
    assert not (tmp_path / "none").exists() and kept(cache, range(2)) == []


def test_what_a_killed_bridge_had_begun_is_cleared_away(tmp_path: Path) -> None:
    old, fresh = tmp_path / "ab" / "x.0.part", tmp_path / "ab" / "y.0.part"
    old.parent.mkdir()
    for path in (old, fresh):
        path.write_bytes(b"half")
    os.utime(old, (time.time() - ABANDONED_S - 60,) * 2)
    fill(DiskCache(tmp_path, 1 << 20), 1)
    assert not old.exists() and fresh.exists()  # that one may be another bridge's


REPO = Path(__file__).resolve().parents[3]
WRITER = """
import itertools, sys
from pathlib import Path
from plugin_bridge.render.cache import DiskCache
from tests.plugin_bridge.render.test_cache import fill
cache = DiskCache(Path(sys.argv[1]), 50 * 4032)
for seed in itertools.count():
    fill(cache, seed)
    print(seed, flush=True)
"""


def test_killed_while_it_writes_it_leaves_only_whole_sounds(tmp_path: Path) -> None:
    for kill_at in (3, 57, 120):  # the last two while it forgets, too
        with subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE, text=True
        ) as writer:
            assert writer.stdout is not None
            for line in writer.stdout:
                if int(line) >= kill_at:
                    writer.send_signal(signal.SIGKILL)
                    break
        cache = DiskCache(tmp_path, 50 * ONE)
        found = [seed for seed in range(kill_at + 1) if (s := cache.open(a_take(seed, FRAMES))) and whole(s, seed)]
        assert found and kill_at in found
        assert cache.bytes <= 50 * ONE


def whole(sound: FileSound, seed: int) -> bool:
    return np.array_equal(sound.read(0, FRAMES).T, samples_of(a_take(seed, FRAMES)))
