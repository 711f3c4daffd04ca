"""What is promised about a take before it is decoded holds for every take that can be asked for."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from plugin_bridge.render import encode
from plugin_bridge.render.shaping import shaped
from plugin_bridge.render.takes import SEEDS, Take, TakeParams, make_take
from spresso_assets.audio.resample import resampled_length
from spresso_assets.audio.riff import walk_chunks
from spresso_assets.catalog.engine import open_catalog
from spresso_assets.errors import SpressoError
from spresso_assets.export.decode import decode_asset, resampled
from tests.plugin_bridge.render.fakes import FakeDecoder, a_take, samples_of
from tests.plugin_bridge.running import FilledCatalog

RATES = [8_000, 11_025, 22_050, 44_100, 48_000, 96_000, 192_000]


@given(
    frames=st.integers(1, 20_000),
    channels=st.sampled_from([1, 2, 3, 6]),
    rate=st.sampled_from(RATES),
    to=st.sampled_from([None, 8_000, 44_100, 48_000, 47_999, 192_000]),
    bits=st.sampled_from(["16", "24", "32f"]),
    ch=st.sampled_from(["keep", "1", "2"]),
    start=st.floats(0, 0.05),
    dur=st.none() | st.floats(0.00001, 1),
    gain=st.sampled_from([0.0, -6.0, 24.0]),
    sizes=st.lists(st.integers(1, 5000), min_size=1, max_size=4),
)
def test_the_promised_length_is_the_length(
    frames: int,
    channels: int,
    rate: int,
    to: int | None,
    bits: str,
    ch: str,
    start: float,
    dur: float | None,
    gain: float,
    sizes: list[int],
) -> None:
    try:
        take = a_take(7, frames, channels, rate, rate=to, bits=bits, ch=ch, start=start, dur=dur, gain_db=gain)
    except SpressoError as error:
        assert error.code == "bad_range"
        assert int(start * (to or rate) + 0.5) >= resampled_length(frames, rate, to or rate)
        return
    samples = np.concatenate(list(shaped(FakeDecoder(sizes).blocks(take, lambda: None), take)))
    assert samples.shape == (take.frames, take.channels)
    file = encode.wav_bytes(take, samples)
    assert len(file) == take.wav_bytes and len(file) % 2 == 0
    riff = walk_chunks(io.BytesIO(file))
    assert riff.complete, riff.problem
    data = riff.find("data")
    assert data is not None and data.offset == 4096 and data.declared_size == take.data_bytes
    told = soundfile.info(io.BytesIO(file))
    assert (told.frames, told.channels, told.samplerate) == (take.frames, take.channels, take.sample_rate)


def test_a_part_is_that_part_of_the_whole() -> None:
    take = a_take(3, 10_000, 2, start=0.05, dur=0.1)
    samples = np.concatenate(list(shaped(FakeDecoder((999,)).blocks(take, lambda: None), take)))
    assert np.array_equal(samples, samples_of(take)[:, 2400:7200].T)


def test_what_lies_behind_the_part_is_not_decoded() -> None:
    decoder = FakeDecoder((1000,))
    take = a_take(0, 10_000, start=0.0, dur=2500 / 48_000)
    list(shaped(decoder.blocks(take, lambda: None), take))
    assert len(decoder.given) == 3


def test_channels_are_mixed_as_the_codec_means_them() -> None:
    mono, stereo, six = a_take(1, 100, 1, ch="2"), a_take(1, 100, 2, ch="1"), a_take(1, 100, 6, ch="2")
    (twice,) = shaped([samples_of(mono)], mono)
    assert np.array_equal(twice[:, 0], twice[:, 1]) and np.array_equal(twice[:, 0], samples_of(mono)[0])
    (mean,) = shaped([samples_of(stereo)], stereo)
    assert np.allclose(mean[:, 0], samples_of(stereo).mean(0), atol=1e-7)
    (front,) = shaped([samples_of(six)], six)
    assert np.array_equal(front.T, samples_of(six)[:2])


def test_gain_is_in_decibels_and_float_is_not_clipped() -> None:
    take = a_take(1, 100, gain_db=20, bits="32f")
    (loud,) = shaped([samples_of(take)], take)
    assert np.allclose(loud[:, 0], 10 * samples_of(take)[0], rtol=1e-6)
    assert np.abs(loud).max() > 2
    kept = np.frombuffer(encode.wav_bytes(take, loud)[4096:], "<f4")
    assert np.array_equal(kept, loud[:, 0])


def test_keys_differ_where_samples_do_and_only_there() -> None:
    base = a_take(5, 48_000, 2)
    others = [
        *(a_take(6, 48_000, 2), a_take(5, 48_000, 2, quality="preview"), a_take(5, 48_000, 2, rate=44_100)),
        *(a_take(5, 48_000, 2, ch="1"), a_take(5, 48_000, 2, start=0.1), a_take(5, 48_000, 2, dur=0.1)),
        *(a_take(5, 48_000, 2, gain_db=-1), replace(base, payload=b"other"), replace(base, weights_sha256="0")),
    ]
    assert len({take.key for take in (base, *others)}) == 1 + len(others)
    assert a_take(5, 48_000, 2, bits="16").key == base.key
    assert a_take(5, 48_000, 2, rate=48_000, ch="2", dur=1.0).key == base.key


def test_tags_differ_where_files_do() -> None:
    take = a_take(5, 48_000, 2)
    tags = {
        take.etag("wav"), take.etag("flac"), take.etag("ogg"), a_take(5, 48_000, 2, bits="16").etag("wav"),
        replace(take, fields={"fx_name": "Gate"}).etag("wav"),
    }  # fmt: skip
    assert len(tags) == 5
    assert take.etag("ogg").startswith('W/"') and take.etag("wav").startswith('"')


@pytest.mark.parametrize(
    "wrong",
    [
        {"seed": -1}, {"seed": SEEDS}, {"rate": 7999}, {"rate": 192_001}, {"bits": "8"}, {"ch": "3"}, {"q": "best"},
        {"start": -0.1}, {"start": float("nan")}, {"dur": 0}, {"dur": float("inf")}, {"gain_db": 25}, {"bitz": "16"},
    ],
)  # fmt: skip
def test_absurd_wishes_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        TakeParams.model_validate(wrong)


def named(**fields: str) -> Take:
    return replace(a_take(12), asset_uid="0123456789abcdef" * 2, name="Some name", fields=fields)


@pytest.mark.parametrize(
    ("take", "ucs", "safe"),
    [
        (
            named(cat_id="DOORWood", fx_name="Oak slam", creator_id="JD", source_id="LIB"),
            "DOORWood_Oak slam_JD_LIB_01234567-s12.wav",
            "DOORWood_Oak-slam_JD_LIB_01234567-s12.wav",
        ),
        (named(), "Some name_01234567-s12.wav", "Some-name_01234567-s12.wav"),
        (named(fx_name='a/b\\c:"d"_<e>|f?*'), "a b c d e f_01234567-s12.wav", "a-b-c-d-e-f_01234567-s12.wav"),
        (named(fx_name="höhle\x00\n wind ."), "hohle wind_01234567-s12.wav", "hohle-wind_01234567-s12.wav"),
        (named(fx_name="音"), "01234567-s12.wav", "01234567-s12.wav"),
        (named(fx_name="$x; rm,~ (1)"), "$x; rm,~ (1)_01234567-s12.wav", "-x-rm-1-_01234567-s12.wav"),
    ],
)
def test_names_of_files(take: Take, ucs: str, safe: str) -> None:
    assert take.filename() == ucs
    assert take.filename("safe") == safe


def test_names_stay_short_and_keep_id_and_seed() -> None:
    take = named(cat_id="C" * 80, fx_name="long " * 40, creator_id="x" * 80, source_id="y" * 300)
    name = take.filename()
    assert len(name) <= 120 and name.endswith("_01234567-s12.wav")
    assert len(named(fx_name="long " * 40).filename().split("_")[0]) <= 25


def test_a_take_of_the_catalog_is_what_spresso_decode_gives(bridge_catalog: FilledCatalog) -> None:
    from spresso_assets.codec.bundle import load_bundle

    catalog, codec = open_catalog(bridge_catalog.file), load_bundle(bridge_catalog.bundle)
    uid = bridge_catalog.id_of("rusty")
    with catalog.read() as session:
        take = make_take(session, uid[:10], TakeParams(rate=44_100, variation=3), weights_sha256=codec.weights_sha256)
        own = make_take(session, uid, TakeParams())
    decoded = resampled(decode_asset(catalog, codec, uid, variation=3), 44_100)
    assert (take.seed, take.seed) == (decoded.seed, own.seed + 3)
    assert (take.frames, take.channels, take.sample_rate) == (decoded.frames, decoded.channels, 44_100)
    assert (take.name, take.original, take.model) == (decoded.name, decoded.original, decoded.model)
    blocks = codec.decode_stream(take.payload, seed=take.seed)
    assert np.array_equal(np.concatenate(list(shaped(blocks, take))).T, np.concatenate(list(decoded.blocks), 1))
    catalog.close()


def test_payloads_of_other_weights_are_refused_at_once(bridge_catalog: FilledCatalog) -> None:
    catalog = open_catalog(bridge_catalog.file)
    with catalog.read() as session, pytest.raises(SpressoError, match="wrong_model"):
        make_take(session, bridge_catalog.id_of("rusty"), TakeParams(), weights_sha256="0" * 64)
    with catalog.read() as session, pytest.raises(SpressoError, match="bad_range"):
        make_take(session, bridge_catalog.id_of("rusty"), TakeParams(start=0.5))
    catalog.close()
