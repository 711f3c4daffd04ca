"""Sounds that workers decode: the same samples, and a clear word where nobody works."""

from __future__ import annotations

import asyncio
import shutil
import threading
from pathlib import Path

import numpy as np
import pytest

from plugin_bridge.render import decoders
from plugin_bridge.render.decoders import LocalDecoder, WorkersDecoder
from plugin_bridge.render.flights import Unwanted
from plugin_bridge.render.renderer import Renderer
from plugin_bridge.render.takes import TakeParams, make_take
from spresso_assets.catalog.engine import open_catalog
from spresso_assets.codec.bundle import load_bundle
from spresso_assets.errors import SpressoError
from spresso_assets.jobs.context import TaskContext
from spresso_assets.jobs.decode_task import run_decodes
from spresso_assets.jobs.queue import claim_batch
from tests.jobs.sounds import InProcessProber
from tests.plugin_bridge.render.fakes import FakeDecoder, a_renderer, a_take, until
from tests.plugin_bridge.running import FilledCatalog


def test_the_model_is_loaded_once_however_many_ask(tiny_bundle: Path) -> None:
    loads = []

    def load() -> object:
        loads.append(1)
        return load_bundle(tiny_bundle)

    decoder = LocalDecoder(load)
    assert not decoder.is_ready
    threads = [threading.Thread(target=decoder.prepare) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert decoder.is_ready and len(loads) == 1


def test_a_model_that_is_missing_is_told_and_looked_for_again(tmp_path: Path, bridge_catalog: FilledCatalog) -> None:
    folder = tmp_path / "bundle"
    catalog = open_catalog(bridge_catalog.file)

    async def main() -> None:
        renderer = Renderer(a_renderer(tmp_path, None).settings, catalog, lambda: load_bundle(folder))
        take = renderer.take(bridge_catalog.id_of("rusty"))
        with pytest.raises(SpressoError, match="model_missing"):
            await renderer.sound(take)
        with pytest.raises(SpressoError, match="model_missing"):
            await renderer.ready()
        shutil.copytree(bridge_catalog.bundle, folder)
        await renderer.ready()
        assert len(await renderer.sound(take)) == take.frames
        await renderer.close()

    asyncio.run(main())
    catalog.close()


def test_workers_give_the_samples_that_this_process_would(bridge_catalog: FilledCatalog, tmp_path: Path) -> None:
    file = Path(shutil.copy(bridge_catalog.file, tmp_path / "catalog.db"))
    catalog, codec = open_catalog(file), load_bundle(bridge_catalog.bundle)
    woken = threading.Event()
    context = TaskContext(load_codec=lambda: codec, prober=InProcessProber())

    def work() -> None:
        assert woken.wait(30), "nobody woke the workers"
        with catalog.session() as session:
            claims = claim_batch(session, "worker", queues=["decode"])
        run_decodes(catalog, claims, context)

    async def main() -> None:
        settings = a_renderer(tmp_path, None, decode="workers").settings
        renderer = Renderer(settings, catalog, lambda: None, wake_workers=woken.set)
        take = renderer.take(bridge_catalog.id_of("rusty"), TakeParams(seed=9))
        worker = threading.Thread(target=work)
        worker.start()
        samples = await renderer.sound(take)
        worker.join()
        expected = codec.decode(take.payload, seed=9)[0]
        assert np.array_equal(samples.T, expected)
        await renderer.close()

    asyncio.run(main())
    catalog.close()


def test_without_a_worker_it_is_said_what_to_do(
    bridge_catalog: FilledCatalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decoders, "PATIENCE_S", 0.0)
    catalog = open_catalog(shutil.copy(bridge_catalog.file, tmp_path / "catalog.db"))

    async def main() -> None:
        settings = a_renderer(tmp_path, None, decode="workers").settings
        renderer = Renderer(settings, catalog, lambda: None)
        with pytest.raises(SpressoError, match="spresso worker --queues decode") as told:
            await renderer.sound(renderer.take(bridge_catalog.id_of("rusty")))
        assert told.value.code == "no_decode_worker"
        await renderer.close()

    asyncio.run(main())
    catalog.close()


def test_who_waits_for_workers_and_goes_away_is_not_waited_for(bridge_catalog: FilledCatalog, tmp_path: Path) -> None:
    catalog = open_catalog(shutil.copy(bridge_catalog.file, tmp_path / "catalog.db"))
    with catalog.read() as session:
        take = make_take(session, bridge_catalog.id_of("rusty"), TakeParams())

    def gone() -> None:
        raise Unwanted

    with pytest.raises(Unwanted):
        list(WorkersDecoder(catalog, lambda: None).blocks(take, gone))
    catalog.close()


def test_a_short_sound_is_left_between_two_steps_of_the_network(bridge_catalog: FilledCatalog) -> None:
    catalog, decoder = open_catalog(bridge_catalog.file), LocalDecoder(lambda: load_bundle(bridge_catalog.bundle))
    with catalog.read() as session:
        take = make_take(session, bridge_catalog.id_of("rusty"), TakeParams())
    steps = 0

    def count() -> None:
        nonlocal steps
        steps += 1
        if steps == 3:
            raise Unwanted

    with pytest.raises(Unwanted):
        list(decoder.blocks(take, count))
    steps = 10
    whole = np.concatenate(list(decoder.blocks(take, count)), 1)
    assert steps >= 15  # of one block
    assert np.array_equal(whole, load_bundle(bridge_catalog.bundle).decode(take.payload, take.seed)[0])
    catalog.close()


def test_what_is_decoded_in_between_changes_nothing(bridge_catalog: FilledCatalog) -> None:
    catalog, decoder = open_catalog(bridge_catalog.file), LocalDecoder(lambda: load_bundle(bridge_catalog.bundle))
    with catalog.read() as session:
        outer = make_take(session, bridge_catalog.id_of("rusty"), TakeParams())
        inner = make_take(session, bridge_catalog.id_of("gravel 01"), TakeParams(q="preview"))
    alone = [np.concatenate(list(decoder.blocks(take, lambda: None)), 1) for take in (outer, inner)]
    within: list[np.ndarray] = []

    def decode_another() -> None:
        if not within:
            within.append(np.zeros(0))  # not again in there
            within[0] = np.concatenate(list(decoder.blocks(inner, lambda: None)), 1)

    whole = np.concatenate(list(decoder.blocks(outer, decode_another)), 1)
    assert np.array_equal(whole, alone[0]) and np.array_equal(within[0], alone[1])
    catalog.close()


def test_several_decodes_run_at_once_where_that_is_asked_for(tmp_path: Path) -> None:
    async def main() -> None:
        decoder = FakeDecoder(gated=True)
        renderer = a_renderer(tmp_path, decoder, decode_threads=2)
        tasks = [asyncio.ensure_future(renderer.sound(a_take(seed))) for seed in range(3)]
        await until(lambda: len(decoder.begun) == 2 and renderer.counts()["queued"] == 1)
        assert renderer.counts()["running"] == 2
        decoder.let(10)
        await asyncio.gather(*tasks)
        await renderer.close()

    asyncio.run(main())
