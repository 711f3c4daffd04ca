"""Coded streams: never larger, never misread, cut and followed while they arrive; damage is named where it lies."""

from __future__ import annotations

import json
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
    EntropyModel,
    SprHeader,
    cut,
    pack,
    read_header,
    true_kbps,
    unpack,
    unpack_partial,
)
from spresso_assets.codec.entropy import CANDIDATES, EntropyTables
from spresso_assets.errors import SpressoError

GOLDEN = Path(__file__).parent / "golden"
DAMAGE = {"not_spr", "spr_version", "spr_truncated", "spr_corrupt"}
SECOND = SprHeader("a1b2c3", 4, 4, 6, 48_000, 48_000)


def model_of(codebooks: int, bits: int, seed: int = 0) -> EntropyModel:
    """The same random tables for all frame rates."""
    random = np.random.default_rng(seed)
    frequency_MK = random.integers(1, 2000, (codebooks, 1 << bits)).astype(np.uint16)
    rank_MRR = random.integers(1, 200, (codebooks, CANDIDATES, CANDIDATES + 1)).astype(np.uint16)
    return dict.fromkeys(POOLS.values(), EntropyTables(frequency_MK, rank_MRR))


MODEL = model_of(5, 6)


def codes_for(header: SprHeader, seed: int = 0) -> Any:
    """Codes of a sound that repeats itself a little."""
    random = np.random.default_rng(seed)
    shape = header.coded_channels, header.frames, header.codebooks or 0
    codes_CFM = random.integers(0, 1 << (header.bits or 0), shape)
    for frame in range(1, header.frames):
        if random.random() < 0.6:
            codes_CFM[:, frame] = codes_CFM[:, random.integers(0, frame)]
    return codes_CFM if header.channel_mode == "dual" else codes_CFM[0]


@st.composite
def headers(draw: st.DrawFn) -> SprHeader:
    channels = draw(st.sampled_from([1, 2, 6]))
    return SprHeader(
        model_id=draw(st.binary(min_size=3, max_size=3)).hex(),
        pool=draw(st.sampled_from(list(POOLS.values()))),
        codebooks=draw(st.integers(1, 5)),
        bits=6,
        sample_rate=draw(st.sampled_from([8000, 44100, 48000])),
        samples=draw(st.integers(0, 40_000)),
        channels=channels,
        channel_mode=draw(st.sampled_from(["mono", "dual"])) if channels > 1 else "mono",
        extension=draw(st.binary(max_size=3)),
    )


@settings(deadline=None)
@given(headers(), st.integers(0, 99))
def test_coded_or_plain_a_stream_comes_back_and_is_the_smaller_one(header: SprHeader, seed: int) -> None:
    codes = codes_for(header, seed)
    plain, data = pack(header, codes), pack(header, codes, model=MODEL)
    got_header, got = unpack(data, MODEL)
    assert np.array_equal(got, codes)
    assert got_header == read_header(data) == replace(header, coded=data != plain)
    assert pack(got_header, got, model=MODEL) == data
    assert pack(got_header, got) == plain
    assert len(data) < len(plain) or data == plain
    assert data[3] == (2 if data != plain else 1)


@settings(deadline=None)
@given(headers(), st.integers(0, 99), st.integers(1, 5))
def test_a_cut_is_what_encoding_fewer_codebooks_gives(header: SprHeader, seed: int, keep: int) -> None:
    codes = codes_for(header, seed)
    data = pack(header, codes, model=MODEL)
    if keep <= (header.codebooks or 0):
        shorter = pack(replace(header, codebooks=keep), codes[..., :keep], model=MODEL)
        assert cut(data, keep, MODEL) == shorter
        assert len(shorter) <= len(data)


def test_any_flipped_bit_is_found() -> None:
    data = pack(SECOND, codes_for(SECOND), model=MODEL)
    assert read_header(data).coded
    for bit in range(8 * len(data)):
        hurt = bytearray(data)
        hurt[bit // 8] ^= 1 << bit % 8
        with pytest.raises(SpressoError) as caught:
            unpack(bytes(hurt), MODEL)
        assert caught.value.code in DAMAGE
        try:
            unpack_partial(bytes(hurt), MODEL)
        except SpressoError as error:
            assert error.code in DAMAGE | {"spr_needs_model"}


def test_any_other_byte_is_found() -> None:
    """Short of what the check cannot see, which is one change in 65536."""
    data = pack(SECOND, codes_for(SECOND), model=MODEL)
    random = np.random.default_rng(0)
    for at in range(len(data)):
        hurt = bytearray(data)
        hurt[at] = (hurt[at] + int(random.integers(1, 256))) % 256
        with pytest.raises(SpressoError) as caught:
            unpack(bytes(hurt), MODEL)
        assert caught.value.code in DAMAGE


def test_behind_a_check_that_matches_any_bytes_are_a_stream_or_refused() -> None:
    """As an attacker would write it: what unpacks is canonical, whoever made it."""
    data = pack(SECOND, codes_for(SECOND), model=MODEL)
    random = np.random.default_rng(1)
    for size in (1, 2, 10, 80):
        for _ in range(20):
            hurt = data[:14] + random.bytes(size)
            hurt += _crc16(hurt)
            try:
                header, codes = unpack(hurt, MODEL)
            except SpressoError as error:
                assert error.code == "spr_corrupt"
            else:
                assert pack(header, codes, model=MODEL) == hurt


def test_a_stream_cut_anywhere_gives_one_error_and_the_frames_that_arrived() -> None:
    codes = codes_for(SECOND)
    data = pack(SECOND, codes, model=MODEL)
    arrived = []
    for end in range(len(data)):
        with pytest.raises(SpressoError) as caught:
            unpack(data[:end], MODEL)
        assert caught.value.code in DAMAGE
        if end >= 14:
            header, got = unpack_partial(data[:end], MODEL)
            assert header.frames == SECOND.frames
            assert np.array_equal(got, codes[: len(got)])
            arrived.append(len(got))
    assert arrived == sorted(arrived) and arrived[0] == 0 and arrived[-1] >= SECOND.frames - 1
    assert np.array_equal(unpack_partial(data, MODEL)[1], codes)
    with pytest.raises(SpressoError, match="spr_corrupt"):
        unpack(data + b"x", MODEL)


LONG = SprHeader("a1b2c3", 4, 5, 6, 8000, 8000 * 200)  # three blocks


@pytest.fixture(scope="module")
def long_stream() -> bytes:
    return pack(LONG, codes_for(LONG), model=MODEL)


def test_long_streams_come_back(long_stream: bytes) -> None:
    assert read_header(long_stream).coded
    assert len(long_stream) < 0.9 * len(pack(LONG, codes_for(LONG)))
    assert np.array_equal(unpack(long_stream, MODEL)[1], codes_for(LONG))


def test_damage_of_a_long_stream_is_told_by_its_place_in_the_sound(long_stream: bytes) -> None:
    for share, told in ((0.1, "from 0.00 s to 87.36 s"), (0.6, "from 87.36 s to 174.72 s"), (0.95, "the check at")):
        hurt = bytearray(long_stream)
        hurt[int(share * len(hurt))] ^= 1
        with pytest.raises(SpressoError, match=f"spr_corrupt: .*{told}"):
            unpack(bytes(hurt), MODEL)


def test_a_long_stream_cut_short_says_so_and_gives_what_arrived(long_stream: bytes) -> None:
    codes = codes_for(LONG)
    for share in (0.05, 0.4, 0.45, 0.8, 0.99):
        begun = long_stream[: int(share * len(long_stream))]
        with pytest.raises(SpressoError, match="spr_truncated" if share < 0.87 else "spr_corrupt"):
            unpack(begun, MODEL)
        got = unpack_partial(begun, MODEL)[1]
        assert np.array_equal(got, codes[: len(got)])
        assert 0.8 * share * len(codes) - 5 < len(got) < len(codes)


def test_without_its_model_a_coded_stream_tells_who_can_read_it() -> None:
    data = pack(SECOND, codes_for(SECOND), model=MODEL)
    others: list[EntropyModel | None] = [None, {}, model_of(3, 6), model_of(5, 7)]
    for model in others:
        for read in (unpack, unpack_partial, lambda stream, model: cut(stream, 2, model)):
            with pytest.raises(SpressoError, match=r"spr_needs_model: .*a1b2c3.*models list"):
                read(data, model)
    assert read_header(data).duration_s == 1 and true_kbps(data) > 0
    plain = pack(SECOND, codes_for(SECOND))
    assert all(np.array_equal(unpack(plain, model)[1], codes_for(SECOND)) for model in others)


def test_codes_that_the_tables_do_not_cover_are_stored_plain() -> None:
    for header in (replace(SECOND, bits=7), replace(SECOND, codebooks=6)):
        codes = codes_for(header)
        assert pack(header, codes, model=MODEL) == pack(header, codes)
    z_FD = np.zeros((25, 8), np.float32)
    header = replace(SECOND, codebooks=None, bits=None, dim=8)
    assert pack(header, z_FD, model=MODEL) == pack(header, z_FD)
    silent = replace(SECOND, silent=True)
    assert pack(silent, model=MODEL) == pack(silent)


def test_a_parametric_stream_may_be_coded_too() -> None:
    header = replace(SECOND, channels=2, channel_mode="parametric")
    side = bytes([1]) * (header.side_bytes - 1) + b"\0"
    data = pack(header, codes_for(header), side, MODEL)
    assert read_header(data) == replace(header, coded=True)
    assert np.array_equal(unpack(data, MODEL)[1], codes_for(header))
    assert cut(data, 1, MODEL) == pack(replace(header, codebooks=1), codes_for(header)[:, :1], side, MODEL)


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=60))
def test_random_bytes_behind_a_coded_header_give_one_error_and_nothing_else(tail: bytes) -> None:
    start = pack(SECOND, codes_for(SECOND), model=MODEL)[:11]
    for read in (unpack, unpack_partial):
        try:
            read(start + tail, MODEL)
        except SpressoError as error:
            assert error.code in DAMAGE | {"spr_needs_model"}
            assert "\n" not in str(error)


def test_a_header_that_lies_about_its_length_takes_no_memory() -> None:
    start = pack(SECOND, codes_for(SECOND), model=MODEL)[:11]
    lying = start + bytes([0x80, 0xD0, 0xCA, 0xC6, 0x02]) + bytes(100)
    assert read_header(lying).duration_s > 10_000
    tracemalloc.start()
    try:
        for read in (unpack, unpack_partial):
            try:
                read(lying, MODEL)
            except SpressoError as error:
                assert error.code in DAMAGE
        assert tracemalloc.get_traced_memory()[1] < 30_000_000
    finally:
        tracemalloc.stop()


GOLDEN_STREAMS: dict[str, SprHeader] = {
    "coded-mono": SprHeader("0a0b0c", 20, 3, 4, 48_000, 480_000, coded=True),
    "coded-dual": SprHeader("0a0b0c", 4, 2, 4, 44_100, 88_200, 2, "dual", -3.5, coded=True),
    "coded-two-blocks": SprHeader("0a0b0c", 4, 3, 4, 8_000, 8_000 * 300, coded=True),
}


@pytest.mark.parametrize("name", GOLDEN_STREAMS)
def test_golden_streams_never_change(name: str) -> None:
    """Bytes written by the first release that coded; with the tables beside them they are read and written for ever."""
    tables = json.loads((GOLDEN / "coded-tables.json").read_text())
    model = dict.fromkeys(
        POOLS.values(),
        EntropyTables(np.array(tables["frequency_MK"], np.uint16), np.array(tables["rank_MRR"], np.uint16)),
    )
    data = bytes.fromhex((GOLDEN / f"{name}.hex").read_text())
    header, codes = unpack(data, model)
    assert header == GOLDEN_STREAMS[name]
    assert pack(header, codes, model=model) == data
    if name != "coded-dual":
        frame = np.arange(header.frames)
        assert np.array_equal(codes, np.stack([(frame // 20 + m * frame // 45) % 16 for m in range(3)], 1))


def _crc16(data: bytes) -> bytes:
    from binascii import crc_hqx

    return crc_hqx(data, 0xFFFF).to_bytes(2, "little")
