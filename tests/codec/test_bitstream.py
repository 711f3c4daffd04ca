"""The .spr container: exact round trips, one clear error for every kind of damage, streams of old stay readable."""

from __future__ import annotations

import subprocess
import sys
import tracemalloc
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spresso_assets.codec.bitstream import (
    POOLS,
    SprHeader,
    cut,
    frame_count,
    pack,
    read_header,
    true_kbps,
    unpack,
    unpack_partial,
)
from spresso_assets.errors import SpressoError

GOLDEN = Path(__file__).parent / "golden"
FIVE_SECONDS = SprHeader("a1b2c3", 100, 8, 12, 48_000, 240_000)
DAMAGE = {"not_spr", "spr_version", "spr_truncated", "spr_corrupt"}


def payload_for(header: SprHeader, seed: int = 0) -> Any:
    """Random codes or latents of the shape that a header asks for."""
    random = np.random.default_rng(seed)
    frames = 0 if header.silent else header.frames
    shape: tuple[int, ...] = (frames, header.codebooks or header.dim or 0)
    if header.channel_mode == "dual":
        shape = (2, *shape)
    if header.bits is None:
        return random.normal(size=shape).astype(np.float16).astype(np.float32)
    return random.integers(0, 1 << header.bits, shape, dtype=np.int32)


@st.composite
def headers(draw: st.DrawFn) -> SprHeader:
    discrete = draw(st.booleans())
    channels = draw(st.sampled_from([1, 2, 3, 6, 8, 64]))
    return SprHeader(
        model_id=draw(st.binary(min_size=3, max_size=3)).hex(),
        pool=draw(st.sampled_from(list(POOLS.values()))),
        codebooks=draw(st.integers(1, 31)) if discrete else None,
        bits=draw(st.integers(1, 16)) if discrete else None,
        dim=None if discrete else 8 * draw(st.integers(1, 16)),
        sample_rate=draw(st.sampled_from([8000, 11025, 44100, 48000, 192000, 37123, 100])),
        samples=draw(st.integers(0, 400_000)),
        channels=channels,
        channel_mode=draw(st.sampled_from(["mono", "dual"])) if channels > 1 else "mono",
        gain_db=draw(st.integers(-128, 127)) / 2,
        silent=draw(st.booleans()),
        extension=draw(st.binary(max_size=20)),
    )


@settings(deadline=None)
@given(headers(), st.integers(0, 99))
def test_every_header_and_payload_comes_back(header: SprHeader, seed: int) -> None:
    payload = payload_for(header, seed)
    data = pack(header, payload)
    assert read_header(data) == header
    got_header, got = unpack(data)
    assert got_header == header
    assert got.shape == payload.shape and np.array_equal(got, payload)
    assert pack(got_header, got) == data


def test_a_five_second_sound_at_one_frame_per_second_fits_in_76_bytes() -> None:
    data = pack(FIVE_SECONDS, payload_for(FIVE_SECONDS))
    assert len(data) == 14 + 60 + 2
    assert true_kbps(data) == pytest.approx(76 * 8 / 5 / 1000)
    assert FIVE_SECONDS.nominal_kbps == pytest.approx(0.096)


@pytest.mark.parametrize(
    ("pool", "codebooks", "bits", "kbps"),
    [(4, 10, 10, 2.5), (9, 12, 10, 1.333), (20, 8, 12, 0.48), (100, 25, 12, 0.3), (100, 8, 12, 0.096)],
)
def test_nominal_rates_are_those_of_the_paper(pool: int, codebooks: int, bits: int, kbps: float) -> None:
    header = replace(FIVE_SECONDS, pool=pool, codebooks=codebooks, bits=bits)
    assert header.nominal_kbps == pytest.approx(kbps, abs=1e-3)


@pytest.mark.parametrize(
    ("samples", "rate", "pool", "frames"),
    [(0, 48000, 4, 0), (1, 192000, 100, 1), (240_000, 48000, 9, 56), (44_100, 44_100, 4, 25), (44_101, 44_100, 4, 26)],
)
def test_frames_follow_from_length_and_rate(samples: int, rate: int, pool: int, frames: int) -> None:
    assert frame_count(samples, rate, pool) == frames


def test_dual_streams_put_left_and_right_of_a_frame_together() -> None:
    header = replace(FIVE_SECONDS, bits=8, codebooks=1, channels=2, channel_mode="dual", samples=96_000)
    data = pack(header, np.array([[[1], [2]], [[3], [4]]]))
    assert data[14:18] == bytes([1, 3, 2, 4])


def test_long_streams_are_packed_like_short_ones_and_carry_a_wider_check() -> None:
    header = SprHeader("000000", 4, 7, 11, 8000, 8000 * 1000)
    codes = payload_for(header)
    data = pack(header, codes)
    bits = "".join(f"{code:011b}" for code in codes.reshape(-1))
    packed = int(bits, 2) << -len(bits) % 8
    assert data[-4 - header.payload_bytes : -4].hex() == f"{packed:0{2 * header.payload_bytes}x}"
    assert np.array_equal(unpack(data)[1], codes)


@settings(deadline=None)
@given(headers(), st.data())
def test_any_flipped_bit_is_found(header: SprHeader, data: st.DataObject) -> None:
    stream = bytearray(pack(header, payload_for(header)))
    bit = data.draw(st.integers(0, len(stream) * 8 - 1))
    stream[bit // 8] ^= 1 << bit % 8
    with pytest.raises(SpressoError) as caught:
        unpack(bytes(stream))
    assert caught.value.code in DAMAGE


@settings(deadline=None)
@given(headers(), st.data())
def test_any_cut_or_addition_is_found(header: SprHeader, data: st.DataObject) -> None:
    stream = pack(header, payload_for(header))
    end = data.draw(st.integers(0, len(stream) - 1))
    with pytest.raises(SpressoError) as caught:
        unpack(stream[:end])
    assert caught.value.code == ("spr_truncated" if end else "not_spr")
    with pytest.raises(SpressoError, match="spr_corrupt"):
        unpack(stream + data.draw(st.binary(min_size=1, max_size=9)))


@settings(max_examples=500, deadline=None)
@given(st.one_of(st.binary(max_size=60), st.binary(max_size=60).map(lambda tail: b"SPR\x01" + tail)))
def test_random_bytes_give_one_error_and_nothing_else(data: bytes) -> None:
    for read in (read_header, unpack, unpack_partial, true_kbps, lambda stream: cut(stream, 3)):
        try:
            read(data)
        except SpressoError as error:
            assert error.code in DAMAGE | {"spr_not_discrete", "spr_too_few_codebooks"}
            assert "\n" not in str(error)


def test_a_header_that_lies_about_its_length_takes_no_memory() -> None:
    header = SprHeader("a1b2c3", 4, 31, 16, 192_000, 192_000 * 14_400)
    lying = pack(replace(header, samples=0), payload_for(replace(header, samples=0)))[:11]
    lying += bytes([0x80, 0x80, 0x80, 0x80, 0x0A]) + bytes(100)
    tracemalloc.start()
    try:
        with pytest.raises(SpressoError, match="spr_truncated"):
            unpack(lying)
        unpack_partial(lying)
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("start", [b"", b"RIFF....WAVEfmt ", b"{}", b"SPX\x01"])
def test_other_files_are_named_as_such(start: bytes) -> None:
    with pytest.raises(SpressoError, match="not_spr"):
        read_header(start)


def test_a_later_version_asks_for_an_update() -> None:
    data = pack(FIVE_SECONDS, payload_for(FIVE_SECONDS))
    with pytest.raises(SpressoError, match=r"spr_version: .*version 3.*Update"):
        unpack(data[:3] + b"\x03" + data[4:])


@settings(deadline=None)
@given(headers(), st.integers(1, 31))
def test_cutting_codebooks_equals_encoding_with_fewer(header: SprHeader, keep: int) -> None:
    data = pack(header, payload_for(header))
    if header.codebooks is None:
        with pytest.raises(SpressoError, match="spr_not_discrete"):
            cut(data, keep)
    elif keep > header.codebooks:
        with pytest.raises(SpressoError, match="spr_too_few_codebooks"):
            cut(data, keep)
    else:
        shorter = cut(data, keep)
        assert shorter == pack(replace(header, codebooks=keep), payload_for(header)[..., :keep])
        assert len(shorter) <= len(data)


@settings(deadline=None)
@given(headers(), st.data())
def test_a_stream_still_arriving_gives_its_whole_frames(header: SprHeader, data: st.DataObject) -> None:
    payload = payload_for(header)
    stream = pack(header, payload)
    body = len(stream) - header.payload_bytes - (2 if len(stream) <= 4098 else 4)
    end = data.draw(st.integers(body, len(stream)))
    got_header, got = unpack_partial(stream[:end])
    frames = got.shape[-2]
    assert got_header == header
    assert np.array_equal(got, payload[..., :frames, :])
    if not header.silent:
        assert frames == min(header.frames, (end - body) * 8 // header.frame_bits)


@pytest.mark.parametrize(
    "change",
    [
        {"model_id": "zz0000"},
        {"model_id": "abcd"},
        {"pool": 5},
        {"codebooks": 32},
        {"bits": 17},
        {"bits": None},
        {"dim": 64},
        {"sample_rate": 0},
        {"samples": -1},
        {"channels": 0},
        {"channel_mode": "dual"},
        {"channel_mode": "mid"},
        {"gain_db": 0.25},
        {"gain_db": 64.0},
        {"gain_db": float("nan")},
        {"silent": True},
    ],
)
def test_values_without_a_place_in_the_format_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(SpressoError, match="spr_unpackable"):
        pack(replace(FIVE_SECONDS, **change), payload_for(FIVE_SECONDS))


@pytest.mark.parametrize(
    "codes", [None, np.zeros((4, 8), int), np.full((5, 8), 4096), np.full((5, 8), -1), np.zeros((5, 8))]
)
def test_payloads_that_do_not_fit_are_refused(codes: Any) -> None:
    with pytest.raises(SpressoError, match="spr_unpackable"):
        pack(FIVE_SECONDS, codes)


def test_latents_beyond_sixteen_bits_are_refused() -> None:
    header = SprHeader("a1b2c3", 100, None, None, 48_000, 1, dim=8)
    for value in (1e6, np.nan):
        with pytest.raises(SpressoError, match="spr_unpackable"):
            pack(header, np.full((1, 8), value))


GOLDEN_STREAMS: dict[str, SprHeader] = {
    "1hz-mono": FIVE_SECONDS,
    "25hz-dual-44k": SprHeader("00ff7e", 4, 3, 10, 44_100, 9_001, 2, "dual", -12.5),
    "continuous": SprHeader("123456", 9, None, None, 96_000, 20_000, 6, dim=8, gain_db=63.5),
    "silent-odd-rate": SprHeader("fedcba", 20, 8, 12, 37_123, 1_000_000, 5, silent=True, extension=b"note"),
}


@pytest.mark.parametrize("name", GOLDEN_STREAMS)
def test_golden_streams_never_change(name: str) -> None:
    """Bytes written by the first release: they must be read, and written again, for ever."""
    data = bytes.fromhex((GOLDEN / f"{name}.hex").read_text())
    header, payload = unpack(data)
    assert header == GOLDEN_STREAMS[name]
    assert pack(header, payload) == data
    if name == "1hz-mono":
        assert payload.tolist() == [[(8 * frame + m) * 97 % 4096 for m in range(8)] for frame in range(5)]


def test_reading_a_stream_does_not_import_torch() -> None:
    code = "import sys, spresso_assets.codec.bitstream; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
