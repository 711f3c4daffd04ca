"""Batches: made in the background, told of as they go, fetched whole or in parts, given up at once."""

from __future__ import annotations

import asyncio
import io
import os
import time
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pytest

from plugin_bridge import exports as exports_module
from plugin_bridge.events import Events
from plugin_bridge.exports import KEPT_S, MAX_WAITING, Export, Exports
from plugin_bridge.placing import MANIFEST
from plugin_bridge.settings import BridgeSettings
from spresso_assets.catalog.engine import Catalog, open_catalog
from spresso_assets.cli.main import main
from spresso_assets.errors import SpressoError
from spresso_assets.export.provenance import provenance_of
from tests.plugin_bridge.running import FilledCatalog, Running

PATIENCE_S = 60


@pytest.fixture
def items(bridge_catalog: FilledCatalog) -> list[dict[str, Any]]:
    ids = [bridge_catalog.id_of(word) for word in ("gravel 01", "gravel 02", "rusty")]
    return [{"id": uid, "q": "preview", "bits": "16"} for uid in ids]


def ended(client: httpx2.Client, job: str) -> dict[str, Any]:
    end = time.monotonic() + PATIENCE_S
    while (told := client.get(f"/v1/jobs/{job}").json())["state"] in ("queued", "running"):
        assert time.monotonic() < end, told
        time.sleep(0.02)
    return dict(told)


def begin(client: httpx2.Client, items: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    answer = client.post("/v1/jobs", json={"items": items, **more})
    assert answer.status_code == 202, answer.text
    return dict(answer.json())


def test_an_archive_of_takes_that_conform_knows(
    client: httpx2.Client, bridge_catalog: FilledCatalog, items: list[dict[str, Any]], tmp_path: Path
) -> None:
    job = begin(client, [*items, items[0]])["job"]
    told = ended(client, job)
    assert (told["state"], told["done"], told["total"], told["error"]) == ("done", 4, 4, None)
    url = told["result_url"]
    got = client.get(url)
    assert got.headers["content-type"] == "application/zip" and int(got.headers["content-length"]) == len(got.content)
    assert client.head(url).headers["content-length"] == got.headers["content-length"]
    part = client.get(url, headers={"Range": "bytes=100-199"})
    assert part.status_code == 206 and part.content == got.content[100:200]
    with zipfile.ZipFile(io.BytesIO(got.content)) as archive:
        assert archive.testzip() is None and {info.compress_type for info in archive.infolist()} == {zipfile.ZIP_STORED}
        assert archive.namelist() == [*(file["file"] for file in told["files"]), MANIFEST]
        archive.extractall(tmp_path / "used")
    assert told["files"][3]["file"] == told["files"][0]["file"].replace(".wav", "-2.wav")
    assert provenance_of(tmp_path / "used" / told["files"][0]["file"])["ASSET"] == items[0]["id"]
    out = tmp_path / "out"
    options = ["--quiet", "--catalog", str(bridge_catalog.file)]
    assert main([*options, "conform", str(tmp_path / "used" / MANIFEST), str(out)]) == 0
    originals = {path.read_bytes() for path in bridge_catalog.folder.rglob("*.wav")}
    assert len(list(out.iterdir())) == 4 and {path.read_bytes() for path in out.iterdir()} < originals
    client.delete(f"/v1/jobs/{job}")


@pytest.mark.parametrize("form", ["flac", "ogg"])
def test_single_files(client: httpx2.Client, items: list[dict[str, Any]], form: str) -> None:
    told = ended(client, begin(client, items[:2], zip=False, format=form)["job"])
    assert told["result_url"] is None and len(told["files"]) == 2
    for file in told["files"]:
        got = client.get(file["url"])
        assert got.status_code == 200 and len(got.content) == file["bytes"]
        assert got.headers["content-type"] == f"audio/{form}"
        assert got.content[:4] == {"flac": b"fLaC", "ogg": b"OggS"}[form]
    for name in ("..%2f..%2fbridge.json", "result.zip", MANIFEST, "x.wav"):
        assert client.get(f"/v1/jobs/{told['job']}/files/{name}").status_code in (400, 404)
    client.delete(f"/v1/jobs/{told['job']}")


def test_a_deleted_batch_gives_back_its_room(
    client: httpx2.Client, running_bridge: Running, items: list[dict[str, Any]]
) -> None:
    job = ended(client, begin(client, items[:1])["job"])["job"]
    exports = running_bridge.bridge.settings.cache_dir / "exports"
    assert list(exports.rglob(f"{job}/result.zip"))
    assert client.delete(f"/v1/jobs/{job}").json()["state"] == "cancelled"
    assert not list(exports.rglob(job))
    answer = client.get(f"/v1/jobs/{job}/result.zip")
    assert (answer.status_code, answer.json()["code"]) == (409, "not_finished")
    answer = client.get("/v1/jobs/0123456789abcdef")
    assert (answer.status_code, answer.json()["code"]) == (404, "job_not_found")


def test_bad_lists_are_refused_before_anything_starts(client: httpx2.Client, items: list[dict[str, Any]]) -> None:
    for body, status in (
        ({"items": []}, 400),
        ({"items": [{**items[0], "id": "ffffff"}]}, 404),
        ({"items": [{**items[0], "bits": "32f"}], "format": "flac"}, 400),
        ({"items": items, "format": "mp3"}, 400),
        ({"items": [{**items[0], "rate": 1}]}, 400),
    ):
        assert client.post("/v1/jobs", json=body).status_code == status, body


# --- without a server -------------------------------------------------------------------------------------------------


@dataclass
class SlowRenderer:
    """Gives samples when the test lets it."""

    open: asyncio.Event
    asked: list[Any] = field(default_factory=list)
    faults: dict[int, SpressoError] = field(default_factory=dict)

    async def sound(self, take: Any, priority: Any = None, group: Any = None) -> Any:
        self.asked.append(take)
        await self.open.wait()
        if fault := self.faults.get(take.seed):
            raise fault
        return np.zeros((take.frames, take.channels), np.float32)


@pytest.fixture
def catalog(bridge_catalog: FilledCatalog) -> Iterator[Catalog]:
    opened = open_catalog(bridge_catalog.file)
    yield opened
    opened.close()


@pytest.fixture
def take(running_bridge: Running, bridge_catalog: FilledCatalog) -> Any:
    from plugin_bridge.render.takes import TakeParams

    return lambda n: running_bridge.bridge.renderer.take(
        bridge_catalog.id_of("gravel 01"), TakeParams(seed=n, bits="16")
    )


def exports(catalog: Catalog, folder: Path, renderer: Any, **more: Any) -> tuple[Exports, Events]:
    clock = more.pop("clock", time.monotonic)
    settings = BridgeSettings(cache_dir=folder, state_dir=folder, **more)
    events = Events(catalog)
    return Exports(settings, catalog, renderer, events, clock=clock), events


async def until(export: Export, *states: str) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while export.state not in states:
            await asyncio.sleep(0.005)


def test_a_cancelled_batch_leaves_nothing_and_the_next_one_goes_on(catalog: Catalog, take: Any, tmp_path: Path) -> None:
    async def run() -> None:
        renderer = SlowRenderer(asyncio.Event())
        made, events = exports(catalog, tmp_path, renderer)
        listener = events.join()
        first, second = made.begin([take(1), take(2)], "wav"), made.begin([take(3)], "wav")
        await until(first, "running")
        while not renderer.asked:
            await asyncio.sleep(0.005)
        assert second.state == "queued"
        await made.cancel(first.job)
        assert first.state == "cancelled" and not first.folder.exists()
        renderer.open.set()
        await until(second, "done")
        assert made.result(second.job).is_file()
        told = [await listener.next(1) for _ in range(4)]
        assert [(event.kind, event.data["state"]) for event in told if event] == [
            *(("progress", "running"), ("done", "cancelled"), ("progress", "running"), ("done", "done")),
        ]
        await made.close()
        assert not list((tmp_path / "exports").iterdir())

    asyncio.run(run())


def test_one_bad_sound_costs_one_line_and_all_bad_sounds_the_batch(catalog: Catalog, take: Any, tmp_path: Path) -> None:
    async def run() -> None:
        fault = SpressoError("the decoder failed", code="decode_failed")
        renderer = SlowRenderer(asyncio.Event(), faults={2: fault})
        renderer.open.set()
        made, _ = exports(catalog, tmp_path, renderer)
        some = made.begin([take(1), take(2), take(3)], "wav", zipped=False)
        none = made.begin([take(2)], "wav")
        await until(some, "done", "failed")
        await until(none, "done", "failed")
        assert some.state == "done" and [failure["code"] for failure in some.failures] == ["decode_failed"]
        assert len(some.record()["files"]) == 2 and some.done == 3
        assert none.state == "failed" and none.error is not None and none.error["code"] == "decode_failed"
        assert not none.folder.exists()
        await made.close()

    asyncio.run(run())


def test_batches_are_bounded_in_number_and_room(
    catalog: Catalog, take: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exports_module, "MIN_ROOM", 0)

    async def run() -> None:
        renderer = SlowRenderer(asyncio.Event())
        size = take(1).wav_bytes + 2048
        made, _ = exports(catalog, tmp_path, renderer, disk_bytes=3 * size)
        with pytest.raises(SpressoError) as caught:
            made.begin([take(n) for n in range(4)], "wav")
        assert caught.value.code == "job_too_large"
        first = made.begin([take(1), take(2)], "wav")
        with pytest.raises(SpressoError) as caught:
            made.begin([take(3), take(4)], "wav")
        assert caught.value.code == "too_many_jobs"
        await made.cancel(first.job)
        made.begin([take(3), take(4)], "wav")
        await made.close()
        made, _ = exports(catalog, tmp_path, renderer)
        for n in range(MAX_WAITING):
            made.begin([take(n)], "wav")
        with pytest.raises(SpressoError) as caught:
            made.begin([take(0)], "wav")
        assert caught.value.code == "too_many_jobs"
        await made.close()

    asyncio.run(run())


def test_results_are_kept_for_an_hour(catalog: Catalog, take: Any, tmp_path: Path) -> None:
    async def run() -> None:
        now = 1000.0
        renderer = SlowRenderer(asyncio.Event())
        renderer.open.set()
        made, _ = exports(catalog, tmp_path, renderer, clock=lambda: now)
        export = made.begin([take(1)], "wav")
        await until(export, "done")
        now += KEPT_S - 1
        assert made.result(export.job).is_file()
        now += 2
        with pytest.raises(SpressoError):
            made.get(export.job)
        assert not export.folder.exists()
        await made.close()

    asyncio.run(run())


def test_what_a_killed_server_left_is_removed_and_what_a_living_one_has_is_not(
    catalog: Catalog, take: Any, tmp_path: Path
) -> None:
    async def run() -> None:
        abandoned = tmp_path / "exports" / "123-abc"
        (abandoned / "job").mkdir(parents=True)
        (abandoned / "lock").touch()
        renderer = SlowRenderer(asyncio.Event())
        living, _ = exports(catalog, tmp_path, renderer)
        kept = living.begin([take(1)], "wav")
        assert not abandoned.exists()
        other, _ = exports(catalog, tmp_path, renderer)
        other.begin([take(2)], "wav")
        assert kept.folder.is_dir()
        await living.close()
        await other.close()
        assert not list((tmp_path / "exports").iterdir())

    asyncio.run(run())


@pytest.mark.parametrize(
    ("fault", "code"), [(OSError(28, os.strerror(28)), "disk_full"), (ZeroDivisionError(), "internal")]
)
def test_whatever_happens_a_batch_ends_and_says_why(
    catalog: Catalog, take: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: Exception, code: str
) -> None:
    def full(*args: Any, **options: Any) -> None:
        raise fault

    monkeypatch.setattr(zipfile.ZipFile, "writestr", full)

    async def run() -> None:
        renderer = SlowRenderer(asyncio.Event())
        renderer.open.set()
        made, _ = exports(catalog, tmp_path, renderer)
        export = made.begin([take(1)], "wav")
        await until(export, "failed", "done")
        assert export.state == "failed" and export.error is not None and export.error["code"] == code
        assert not export.folder.exists()
        await made.close()

    asyncio.run(run())
