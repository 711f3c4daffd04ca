"""Originals as WAV: the very samples, in any part, while the file is the one that the catalog knows."""

from __future__ import annotations

import hashlib
import io
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import httpx2
import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from plugin_bridge.api.original import OriginalWave, open_original
from spresso_assets.catalog.engine import open_catalog
from tests.plugin_bridge.running import FilledCatalog, Running, running

RNG = np.random.default_rng(3)
NOISE = RNG.uniform(-0.9, 0.9, (4801, 3))


def whole(wave: OriginalWave) -> bytes:
    return b"".join(wave.part(0, wave.size))


@pytest.mark.parametrize(
    ("suffix", "subtype", "channels", "leaves_as"),
    [
        ("wav", "PCM_16", 1, "PCM_24"),
        ("wav", "PCM_24", 2, "PCM_24"),
        ("wav", "PCM_24", 3, "PCM_24"),
        ("wav", "PCM_U8", 1, "PCM_24"),
        ("wav", "FLOAT", 1, "FLOAT"),
        ("aiff", "PCM_24", 1, "PCM_24"),
        ("flac", "PCM_24", 2, "PCM_24"),
    ],
)
def test_samples_leave_as_they_are(tmp_path: Path, suffix: str, subtype: str, channels: int, leaves_as: str) -> None:
    path = tmp_path / f"sound.{suffix}"
    with path.open("wb") as file:
        soundfile.write(file, NOISE[:, :channels], 44_100, format=suffix.upper(), subtype=subtype)
    wave = open_original(path, 0)
    content = whole(wave)
    assert len(content) == wave.size and len(content) % 2 == 0
    with soundfile.SoundFile(io.BytesIO(content)) as sound:
        assert (sound.subtype, sound.samplerate, sound.frames) == (leaves_as, 44_100, len(NOISE))
        got = sound.read(always_2d=True)
    expected, _ = soundfile.read(path, always_2d=True)
    assert np.array_equal(got, expected)  # 24 bits hold all that was recorded


def test_float_keeps_what_lies_beyond_full_scale(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "hot.wav", NOISE[:, :1] * 4, 48_000, subtype="DOUBLE")
    got, _ = soundfile.read(io.BytesIO(whole(open_original(tmp_path / "hot.wav", 0))), always_2d=True)
    assert np.abs(got).max() > 3.0


@pytest.mark.parametrize(("suffix", "subtype"), [("wav", "PCM_24"), ("flac", "PCM_16"), ("ogg", "VORBIS"), ("mp3", "")])
@settings(max_examples=40)
@given(st.data())
def test_any_part_is_that_part(
    tmp_path_factory: pytest.TempPathFactory, suffix: str, subtype: str, data: st.DataObject
) -> None:
    path = tmp_path_factory.getbasetemp() / f"part.{suffix}"
    if not path.exists():
        # odd channels and an odd number of frames: one sample is three bytes, and a pad byte follows
        noise = NOISE[:, : 1 if suffix != "ogg" else 2]
        soundfile.write(path, noise, 48_000, format=suffix.upper(), subtype=subtype or None)
    wave = open_original(path, len(NOISE))
    content = whole(wave)
    start = data.draw(st.integers(0, wave.size - 1))
    stop = data.draw(st.integers(start + 1, wave.size))
    assert b"".join(wave.part(start, stop)) == content[start:stop]


@pytest.fixture
def own(bridge_catalog: FilledCatalog, tmp_path: Path) -> Iterator[tuple[Running, Path]]:
    """A bridge whose originals may be lost."""
    folder = tmp_path / "own"
    folder.mkdir()
    shutil.copytree(bridge_catalog.folder, folder / "sfx")  # with the times by which files are known
    shutil.copy(bridge_catalog.file, folder / "catalog.db")
    catalog = open_catalog(folder / "catalog.db")
    with catalog.session() as session:
        session.connection().exec_driver_sql("UPDATE watch_root SET path = ?", (str(folder / "sfx"),))
    catalog.close()
    moved = FilledCatalog(folder / "catalog.db", folder / "sfx", bridge_catalog.bundle, bridge_catalog.ids)
    with running(moved, tmp_path) as served:
        yield served, moved.folder


def test_the_original_is_heard_and_not_touched(client: httpx2.Client, bridge_catalog: FilledCatalog) -> None:
    path = next(bridge_catalog.folder.glob("Doors/DOORWood*"))
    before = hashlib.sha256(path.read_bytes()).digest(), path.stat().st_mtime_ns
    address = f"/v1/sounds/{bridge_catalog.id_of('Wooden')}/original.wav"

    head, answer = client.head(address), client.get(address)
    assert head.headers["content-length"] == answer.headers["content-length"] == str(len(answer.content))
    assert (head.content, answer.headers["content-type"]) == (b"", "audio/wav")
    got, rate = soundfile.read(io.BytesIO(answer.content))
    expected, _ = soundfile.read(path)
    assert rate == 48_000 and np.array_equal(got, expected)
    assert (hashlib.sha256(path.read_bytes()).digest(), path.stat().st_mtime_ns) == before

    etag = answer.headers["etag"]
    again = client.get(address, headers={"If-None-Match": etag})
    assert (again.status_code, again.content) == (304, b"")
    part = client.get(address, headers={"Range": "bytes=40-1040", "If-Range": etag})
    assert (part.status_code, part.content) == (206, answer.content[40:1041])
    assert part.headers["content-range"] == f"bytes 40-1040/{len(answer.content)}"
    assert client.get(address, headers={"Range": "bytes=40-1040", "If-Range": '"old"'}).status_code == 200
    beyond = client.get(address, headers={"Range": "bytes=99999999-"})
    assert (beyond.status_code, beyond.json()["code"]) == (416, "range_not_satisfiable")
    assert beyond.headers["content-range"] == f"bytes */{len(answer.content)}"


def test_a_lost_original_is_said_to_be_lost(own: tuple[Running, Path], bridge_catalog: FilledCatalog) -> None:
    served, folder = own
    uid = bridge_catalog.id_of("creak")
    address = f"/v1/sounds/{uid}/original.wav"
    path = next(folder.glob("Doors/DOORCreak*"))
    assert served.client.get(address).status_code == 200

    os.utime(path, ns=(1, 1))
    changed = served.client.get(address)
    assert (changed.status_code, changed.json()["code"]) == (409, "original_changed")

    path.unlink()
    missing = served.client.get(address)
    assert (missing.status_code, missing.json()["code"]) == (404, "file_missing")
    assert served.client.get(f"/v1/sounds/{uid}").json()["original_url"] is None

    folder.rename(folder.parent / "unplugged")
    away = served.client.get(address)
    assert (away.status_code, away.json()["code"]) == (503, "root_offline")
    assert away.json()["hint"] and away.headers["retry-after"]
    # the sound itself is in the catalog
    assert served.client.head(f"/v1/sounds/{uid}/audio.wav").status_code == 200


def test_an_original_that_is_cut_while_it_is_read_breaks_off(tmp_path: Path) -> None:
    path = tmp_path / "cut.flac"
    soundfile.write(path, np.repeat(NOISE[:, :1], 40, axis=0), 48_000, subtype="PCM_16")
    wave = open_original(path, 0)
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size // 2)
    from spresso_assets.errors import SpressoError

    with pytest.raises(SpressoError, match="truncated_file"):
        whole(wave)
