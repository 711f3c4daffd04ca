"""Streams cut together are the streams cut one by one, to the last byte, whatever is wrong with some of them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spresso_assets.codec import bitstream
from spresso_assets.codec.bitstream import SprHeader, cut, pack, unpack
from spresso_assets.codec.cutting import TOGETHER, cut_many
from spresso_assets.codec.entropy_many import decode_many_codes
from spresso_assets.errors import SpressoError
from tests.codec.test_entropy import habitual_codes, random_tables

BITS = 6
TABLES = random_tables(9, 1 << BITS, 5)
TABLES.frequency_MK[:, :8] = 60_000  # the entries that sounds here use, so that most streams are worth coding
MODEL = {100: TABLES}


def streams(lengths: list[int], seed: int, channels: int = 1, codebooks: int = 9) -> list[bytes]:
    """Sounds of so many frames of 1 s, whose codes come back now and then; some have a side section."""
    made = []
    for n, frames in enumerate(lengths):
        mode = "dual" if channels == 2 else "parametric" if n % 3 == 0 and frames else "mono"
        header = SprHeader(
            "a1b2c3",
            100,
            codebooks,
            BITS,
            8000,
            8000 * frames,
            1 if mode == "mono" else 2,
            mode,  # type: ignore[arg-type]
        )
        codes_FCM = habitual_codes((frames, channels, codebooks), 8 if n % 4 else 1 << BITS, seed + n)
        codes = codes_FCM[:, 0] if channels == 1 else codes_FCM.transpose(1, 0, 2)
        made.append(pack(header, codes, bytes(header.side_bytes), MODEL))
    return made


@settings(max_examples=40)
@given(
    st.lists(st.integers(0, 9), min_size=TOGETHER, max_size=2 * TOGETHER),
    st.sampled_from([1, 2]),
    st.integers(1, 9),
    st.integers(0, 99),
)
def test_together_as_one_by_one(lengths: list[int], channels: int, kept: int, seed: int) -> None:
    given_ = streams(lengths, seed, channels)
    assert cut_many(given_, kept, MODEL) == [cut(stream, kept, MODEL) for stream in given_]


@settings(max_examples=20)
@given(st.integers(1, 9), st.integers(1, 9), st.integers(0, 99))
def test_a_cut_of_a_cut_is_a_cut(first: int, second: int, seed: int) -> None:
    given_ = streams([3, 5, 1] * 8, seed)
    kept = min(first, second)
    twice = cut_many([made for made in cut_many(given_, first, MODEL) if isinstance(made, bytes)], kept, MODEL)
    assert twice == cut_many(given_, kept, MODEL)


def test_most_of_these_streams_are_coded() -> None:
    coded = [bitstream.read_header(stream).coded for stream in streams([3] * 40, 0)]
    assert 20 < sum(coded) < 40


def test_one_bad_stream_spoils_no_other() -> None:
    given_ = streams([4] * 40, 1)
    given_[3] = given_[3][:-4] + bytes([given_[3][-4] ^ 1]) + given_[3][-3:]
    given_[7] = b""
    given_[11] = b"no stream at all"
    given_[20] = pack(replace(bitstream.read_header(given_[20]), codebooks=2), unpack(given_[20], MODEL)[1][:, :2],
                      bitstream.read_side(given_[20]), MODEL)  # fmt: skip
    results = cut_many(given_, 4, MODEL)
    for at, (stream, result) in enumerate(zip(given_, results, strict=True)):
        if at in (3, 7, 11, 20):
            with pytest.raises(SpressoError) as caught:
                cut(stream, 4, MODEL)
            assert isinstance(result, SpressoError) and result.code == caught.value.code, at
        else:
            assert result == cut(stream, 4, MODEL)


def test_bytes_that_no_encoder_writes_are_told() -> None:
    """A message with a spare zero says the same codes, and is none that `encode_codes` makes."""
    given_ = streams([3] * TOGETHER, 2)
    whole = [stream for stream in given_ if bitstream.read_header(stream).coded]
    messages = [stream[bitstream.parse_header(stream)[1] :][bitstream.read_header(stream).side_bytes : -2]
                for stream in whole]  # fmt: skip
    messages[1] += b"\0"
    codes = decode_many_codes(messages, [3] * len(messages), 1, 9, MODEL[100])
    assert codes[1] is None and all(found is not None for at, found in enumerate(codes) if at != 1)
    assert codes[0] is not None and np.array_equal(codes[0][:, 0], unpack(whole[0], MODEL)[1])


def test_without_tables_plain_streams_are_cut_and_coded_ones_say_what_they_need() -> None:
    header = SprHeader("a1b2c3", 100, 9, BITS, 8000, 24_000)
    plain = pack(header, habitual_codes((3, 1, 9), 8, 0)[:, 0])
    coded = next(stream for stream in streams([8], 0) if bitstream.read_header(stream).coded)
    made, refused = cut_many([plain, coded], 4, None)
    assert made == cut(plain, 4)
    assert isinstance(refused, SpressoError) and refused.code == "spr_needs_model"
