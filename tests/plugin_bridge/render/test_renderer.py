"""One decode for all who wait, the urgent ones first, and none for those who have gone."""

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np
import pytest

from plugin_bridge.render.flights import Priority
from plugin_bridge.render.renderer import Renderer
from plugin_bridge.render.takes import TakeParams
from spresso_assets.catalog.engine import open_catalog
from spresso_assets.codec.bundle import load_bundle
from spresso_assets.errors import SpressoError
from tests.plugin_bridge.render.fakes import FakeDecoder, a_renderer, a_take, code_of, samples_of, until
from tests.plugin_bridge.running import FilledCatalog


def test_many_who_want_the_same_share_one_decode(tmp_path: Path) -> None:
    async def main() -> None:
        decoder = FakeDecoder((300,), gated=True)
        renderer = a_renderer(tmp_path, decoder)
        take = a_take(5, 1000)
        waiting = [asyncio.ensure_future(renderer.sound(take)) for _ in range(20)]
        decoder.let(2)
        await until(lambda: len(decoder.given) == 2)
        late = renderer.stream(take)
        decoder.let(10)
        streamed = [block async for block in late]  # from its beginning, although it joined a running decode
        for samples in await asyncio.gather(*waiting):
            assert np.array_equal(samples.T, samples_of(take))
        assert np.array_equal(np.concatenate(streamed).T, samples_of(take))
        assert decoder.begun == [5]
        again = await renderer.sound(take)
        assert np.array_equal(again.T, samples_of(take)) and decoder.begun == [5]
        await renderer.close()

    asyncio.run(main())


def test_blocks_come_as_they_are_decoded(tmp_path: Path) -> None:
    async def main() -> None:
        decoder = FakeDecoder((300,), gated=True)
        renderer = a_renderer(tmp_path, decoder)
        stream = renderer.stream(a_take(1, 1000))
        decoder.let()
        assert len(await anext(stream)) == 300
        decoder.let()
        assert len(await anext(stream)) == 300
        await stream.aclose()
        decoder.let(2)
        await renderer.close()

    asyncio.run(main())


def test_a_decode_that_nobody_waits_for_ends_at_its_next_block(tmp_path: Path) -> None:
    async def main() -> None:
        decoder = FakeDecoder((100,), gated=True)
        renderer = a_renderer(tmp_path, decoder)
        take = a_take(1, 2000)
        listening = asyncio.ensure_future(renderer.sound(take))
        decoder.let(5)
        await until(lambda: len(decoder.given) == 5)
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)
        decoder.let(100)
        await until(lambda: renderer.counts()["running"] == 0)
        assert len(decoder.given) == 6  # the one that was being made, of twenty
        assert take.key not in renderer.ram and renderer.disk.open(take) is None
        await renderer.sound(take)  # and whoever comes later gets all of it
        assert len(decoder.given) == 26
        await renderer.close()

    asyncio.run(main())


def test_one_who_leaves_does_not_take_the_sound_from_another(tmp_path: Path) -> None:
    async def main() -> None:
        decoder = FakeDecoder((100,), gated=True)
        renderer = a_renderer(tmp_path, decoder)
        take = a_take(1, 1000)
        leaving, staying = (asyncio.ensure_future(renderer.sound(take)) for _ in range(2))
        decoder.let()
        await until(lambda: len(decoder.given) == 1)
        leaving.cancel()
        decoder.let(100)
        assert len(await staying) == 1000 and decoder.begun == [1]
        await renderer.close()

    asyncio.run(main())


def test_whoever_got_the_part_it_wanted_leaves_the_rest_to_be_made(tmp_path: Path) -> None:
    async def main() -> None:
        decoder = FakeDecoder((100,), gated=True)
        renderer = a_renderer(tmp_path, decoder)
        take = a_take(1, 1000)
        decoder.let()
        async with renderer.reading(take, Priority.AUDITION) as reader:
            _ = [piece async for piece in reader.pieces(0, 50, 1000)]
        decoder.let(100)
        await until(lambda: take.key in renderer.ram)
        assert decoder.begun == [1]
        await renderer.close()

    asyncio.run(main())


def test_an_audition_goes_before_files_and_those_before_batches(tmp_path: Path) -> None:
    async def main() -> None:
        decoder = FakeDecoder(gated=True)
        renderer = a_renderer(tmp_path, decoder)
        first = asyncio.ensure_future(renderer.sound(a_take(1), Priority.AUDITION))
        await until(lambda: decoder.begun == [1])
        rest = [
            asyncio.ensure_future(renderer.sound(a_take(seed), priority))
            for seed, priority in ((2, Priority.BATCH), (3, Priority.FILE), (4, Priority.AUDITION), (5, Priority.FILE))
        ]
        await until(lambda: renderer.counts()["queued"] == 4)
        decoder.let(100)
        await asyncio.gather(first, *rest)
        assert decoder.begun == [1, 4, 3, 5, 2]
        await renderer.close()

    asyncio.run(main())


def test_a_batch_stands_still_for_an_audition_and_goes_on_afterwards(tmp_path: Path) -> None:
    async def main() -> None:
        decoder = FakeDecoder((250,), gated=True)
        renderer = a_renderer(tmp_path, decoder)
        batch = asyncio.ensure_future(renderer.sound(a_take(1, 1000), Priority.BATCH))
        decoder.let(2)
        await until(lambda: decoder.given == [1, 1])
        audition = asyncio.ensure_future(renderer.sound(a_take(2, 500), Priority.AUDITION))
        await until(lambda: renderer.counts()["queued"] == 1)
        decoder.let(100)
        assert np.array_equal((await audition).T, samples_of(a_take(2, 500)))
        assert np.array_equal((await batch).T, samples_of(a_take(1, 1000)))
        assert decoder.given == [1, 1, 1, 2, 2, 1]
        await renderer.close()

    asyncio.run(main())


def test_a_waiting_batch_that_somebody_wants_to_hear_is_hurried(tmp_path: Path) -> None:
    async def main() -> None:
        decoder = FakeDecoder(gated=True)
        renderer = a_renderer(tmp_path, decoder)
        tasks = [asyncio.ensure_future(renderer.sound(a_take(1), Priority.AUDITION))]
        await until(lambda: decoder.begun == [1])
        for seed in (2, 3):
            tasks.append(asyncio.ensure_future(renderer.sound(a_take(seed), Priority.BATCH)))
            await until(lambda: renderer.counts()["queued"] == seed - 1)  # noqa: B023
        tasks.append(asyncio.ensure_future(renderer.sound(a_take(3), Priority.AUDITION)))
        await asyncio.sleep(0)
        decoder.let(100)
        await asyncio.gather(*tasks)
        assert decoder.begun == [1, 3, 2]
        await renderer.close()

    asyncio.run(main())


def test_the_newest_audition_of_a_group_ends_the_older_ones(tmp_path: Path) -> None:
    async def main() -> None:
        decoder = FakeDecoder((100,), gated=True)
        renderer = a_renderer(tmp_path, decoder)
        old = asyncio.ensure_future(renderer.sound(a_take(1, 1000), Priority.AUDITION, "page"))
        other_group = asyncio.ensure_future(renderer.sound(a_take(2, 100), Priority.AUDITION, "else"))
        decoder.let()
        await until(lambda: decoder.given == [1])
        queued = asyncio.ensure_future(renderer.sound(a_take(3, 100), Priority.AUDITION, "page"))
        newest = asyncio.ensure_future(renderer.sound(a_take(4, 100), Priority.AUDITION, "page"))
        same = asyncio.ensure_future(renderer.sound(a_take(4, 100), Priority.AUDITION, "page"))
        assert await code_of(old) == "superseded" == await code_of(queued)
        decoder.let(100)
        await asyncio.gather(newest, same, other_group)
        assert decoder.begun == [1, 2, 4] and decoder.given.count(1) == 2
        await renderer.close()

    asyncio.run(main())


def test_a_full_queue_refuses_and_says_when_to_come_back(tmp_path: Path) -> None:
    async def main() -> None:
        decoder = FakeDecoder(gated=True)
        renderer = a_renderer(tmp_path, decoder, max_queued=2)
        tasks = [asyncio.ensure_future(renderer.sound(a_take(0), Priority.FILE))]
        await until(lambda: decoder.begun == [0])
        tasks += [asyncio.ensure_future(renderer.sound(a_take(seed), Priority.FILE)) for seed in (1, 2)]
        await until(lambda: renderer.counts()["queued"] == 2)
        with pytest.raises(SpressoError) as refused:
            await renderer.sound(a_take(3), Priority.FILE)
        assert refused.value.code == "too_many_decodes" and refused.value.details["retry_after_s"] >= 1
        tasks.append(asyncio.ensure_future(renderer.sound(a_take(2), Priority.FILE)))  # is on its way already
        tasks.append(asyncio.ensure_future(renderer.sound(a_take(4), Priority.AUDITION)))  # batches lock no person out
        await until(lambda: renderer.counts()["queued"] == 3)
        decoder.let(100)
        await asyncio.gather(*tasks)
        await renderer.close()

    asyncio.run(main())


def test_a_failed_decode_reaches_all_who_wait_and_is_tried_again(tmp_path: Path) -> None:
    async def main() -> None:
        decoder = FakeDecoder(gated=True)
        decoder.fault = SpressoError("the payload is broken", code="corrupt_stream")
        renderer = a_renderer(tmp_path, decoder)
        waiting = [asyncio.ensure_future(renderer.sound(a_take(1))) for _ in range(2)]
        await until(lambda: [flight.readers for flight in renderer._flights.values()] == [2])
        decoder.let()
        assert [await code_of(task) for task in waiting] == ["corrupt_stream"] * 2
        decoder.fault = ZeroDivisionError("odd")
        decoder.let()
        assert await code_of(asyncio.ensure_future(renderer.sound(a_take(1)))) == "decode_failed"
        decoder.fault = None
        decoder.let()
        assert len(await renderer.sound(a_take(1))) == 1000
        await renderer.close()

    asyncio.run(main())


def test_a_decoder_that_gives_too_little_is_an_error(tmp_path: Path) -> None:
    class Short(FakeDecoder):
        def blocks(self, take, between):  # type: ignore[no-untyped-def]
            yield samples_of(take)[:, :-1]

    async def main() -> None:
        renderer = a_renderer(tmp_path, Short())
        with pytest.raises(SpressoError, match="decode_incomplete"):
            await renderer.sound(a_take(1))
        assert a_take(1).key not in renderer.ram
        await renderer.close()

    asyncio.run(main())


def test_other_forms_are_made_of_what_was_decoded(tmp_path: Path) -> None:
    async def main() -> None:
        decoder = FakeDecoder()
        renderer = a_renderer(tmp_path, decoder)
        whole = a_take(1, 10_000, 2)
        await renderer.sound(whole)
        part = await renderer.sound(a_take(1, 10_000, 2, start=0.01, dur=0.1, gain_db=-6, ch="1", rate=44_100))
        assert part.shape == (4410, 1)
        assert decoder.begun == [1]
        fresh = a_renderer(tmp_path / "other", decoder)
        same = await fresh.sound(a_take(1, 10_000, 2, start=0.01, dur=0.1, gain_db=-6, ch="1", rate=44_100))
        assert np.array_equal(part, same) and decoder.begun == [1, 1]
        await renderer.close()
        await fresh.close()

    asyncio.run(main())


def test_memory_stays_in_its_bounds(tmp_path: Path) -> None:
    async def main() -> None:
        decoder = FakeDecoder((1000,))
        renderer = a_renderer(tmp_path, decoder, ram_bytes=100_000, disk_bytes=0)
        for seed in range(20):
            await renderer.sound(a_take(seed, 5000))  # 20 kB each
            assert renderer.counts()["ram_bytes"] <= 100_000
        assert [a_take(seed, 5000).key in renderer.ram for seed in (0, 15, 19)] == [False, False, True]
        await renderer.close()

    asyncio.run(main())


def test_large_sounds_lie_on_disk_and_are_read_while_they_are_made(tmp_path: Path) -> None:
    async def main() -> None:
        decoder = FakeDecoder((10_000,), gated=True)
        renderer = a_renderer(tmp_path, decoder, ram_bytes=100_000)
        take = a_take(1, 50_000)  # 200 kB
        stream = renderer.stream(take)
        decoder.let()
        first = await anext(stream)
        assert np.array_equal(first.T, samples_of(take)[:, :10_000])
        decoder.let(10)
        rest = [block async for block in stream]
        assert np.array_equal(np.concatenate([first, *rest]).T, samples_of(take))
        again = await renderer.sound(take)
        assert np.array_equal(again.T, samples_of(take)) and decoder.begun == [1]
        await renderer.close()
        later = a_renderer(tmp_path, decoder, ram_bytes=100_000)
        assert np.array_equal((await later.sound(take)).T, samples_of(take)) and decoder.begun == [1]
        await later.close()

    asyncio.run(main())


def test_what_fits_neither_memory_nor_disk_is_refused(tmp_path: Path) -> None:
    async def main() -> None:
        (tmp_path / "cache").write_text("a file where the folder should be")
        renderer = a_renderer(tmp_path, FakeDecoder(), ram_bytes=100_000)
        assert len(await renderer.sound(a_take(1, 5000))) == 5000  # without a disk cache
        with pytest.raises(SpressoError, match="disk_full"):
            await renderer.sound(a_take(1, 50_000))
        await renderer.close()

    asyncio.run(main())


def test_what_was_decoded_survives_a_restart(tmp_path: Path) -> None:
    async def main() -> None:
        decoder = FakeDecoder()
        renderer = a_renderer(tmp_path, decoder)
        await renderer.sound(a_take(1))
        await renderer.close()
        later = a_renderer(tmp_path, decoder)
        assert np.array_equal((await later.sound(a_take(1))).T, samples_of(a_take(1)))
        assert decoder.begun == [1]
        await later.close()

    asyncio.run(main())


def test_closing_ends_those_who_wait(tmp_path: Path) -> None:
    async def main() -> None:
        decoder = FakeDecoder((100,), gated=True)
        renderer = a_renderer(tmp_path, decoder)
        waiting = [asyncio.ensure_future(renderer.sound(a_take(seed))) for seed in (1, 2)]
        await until(lambda: decoder.begun == [1])
        decoder.let()
        closing = asyncio.ensure_future(renderer.close())
        assert [await code_of(task) for task in waiting] == ["bridge_closing"] * 2
        decoder.let(100)
        await closing

    asyncio.run(main())


def test_the_real_codec_keeps_every_promise(bridge_catalog: FilledCatalog, tmp_path: Path) -> None:
    catalog = open_catalog(bridge_catalog.file)
    forms = [
        TakeParams(), TakeParams(q="preview", rate=44_100), TakeParams(rate=96_000, ch="2", bits="16", gain_db=6),
        TakeParams(start=0.1, dur=0.123, rate=11_025, ch="1"), TakeParams(variation=1),
    ]  # fmt: skip

    async def main() -> None:
        renderer = a_renderer(tmp_path, None)
        renderer = Renderer(renderer.settings, catalog, lambda: load_bundle(bridge_catalog.bundle))
        sounds = {}
        for uid in bridge_catalog.ids.values():
            for params in forms:
                take = renderer.take(uid, params)
                samples = await renderer.sound(take, Priority.BATCH)
                assert samples.shape == (take.frames, take.channels)
                assert np.isfinite(samples).all()
                sounds[take.key] = samples
        again = renderer.take(bridge_catalog.id_of("rusty"), TakeParams(variation=1))
        anew = Renderer(
            renderer.settings.model_copy(update={"cache_dir": tmp_path / "empty"}),
            catalog,
            lambda: load_bundle(bridge_catalog.bundle),
        )
        assert np.array_equal(await anew.sound(again), sounds[again.key])  # a seed is a sound
        other = renderer.take(again.asset_uid, TakeParams())
        assert not np.array_equal(sounds[other.key], sounds[again.key])  # and another seed another one
        await renderer.close()
        await anew.close()

    asyncio.run(main())
    catalog.close()


def test_what_is_too_long_for_a_request_is_refused(bridge_catalog: FilledCatalog, tmp_path: Path) -> None:
    catalog = open_catalog(bridge_catalog.file)
    renderer = Renderer(
        a_renderer(tmp_path, None, max_seconds=0.45).settings, catalog, lambda: load_bundle(bridge_catalog.bundle)
    )
    uid = bridge_catalog.id_of("rusty")
    with pytest.raises(SpressoError, match="take_too_long"):
        renderer.take(uid)
    assert renderer.take(uid, TakeParams(dur=0.4)).seconds == 0.4
    catalog.close()
