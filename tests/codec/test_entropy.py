"""The range coder and its model: exact, shortest, never wrong about what bytes still to come may change."""

from __future__ import annotations

import itertools
import math
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spresso_assets.codec.entropy import (
    CANDIDATES,
    EntropyTables,
    decode_codes,
    decode_prefix,
    encode_codes,
    walk,
)

Case = tuple[EntropyTables, np.ndarray[Any, Any]]


def random_tables(codebooks: int, entries: int, seed: int, steep: int = 1) -> EntropyTables:
    """Tables whose frequencies span what 16 bits can say, the more so the steeper."""
    random = np.random.default_rng(seed)
    frequency_MK = 1 + (65_534 * random.random((codebooks, entries)) ** steep).astype(np.uint16)
    rank_MRR = random.integers(1, 200, (codebooks, CANDIDATES, CANDIDATES + 1)).astype(np.uint16)
    return EntropyTables(frequency_MK, rank_MRR)


def habitual_codes(shape: tuple[int, int, int], entries: int, seed: int) -> np.ndarray[Any, Any]:
    """Codes that come back to earlier frames about half of the time, in whole or in their first codes."""
    random = np.random.default_rng(seed)
    codes_FCM = random.integers(0, entries, shape, dtype=np.int32)
    for frame in range(1, shape[0]):
        if random.random() < 0.5:
            kept = int(random.integers(0, shape[2] + 1))
            codes_FCM[frame, :, :kept] = codes_FCM[random.integers(0, frame), :, :kept]
    return codes_FCM


@st.composite
def cases(draw: st.DrawFn) -> Case:
    shape = draw(st.integers(0, 15)), draw(st.sampled_from([1, 2])), draw(st.integers(1, 5))
    entries = 1 << draw(st.sampled_from([1, 2, 4, 10]))
    seed = draw(st.integers(0, 999))
    return random_tables(shape[2], entries, seed, draw(st.sampled_from([1, 9, 60]))), habitual_codes(
        shape, entries, seed
    )


def shape_of(codes_FCM: np.ndarray[Any, Any]) -> tuple[int, int, int]:
    frames, channels, codebooks = codes_FCM.shape
    return frames, channels, codebooks


@settings(deadline=None)
@given(cases())
def test_all_codes_come_back(case: Case) -> None:
    tables, codes_FCM = case
    assert np.array_equal(decode_codes(encode_codes(codes_FCM, tables), shape_of(codes_FCM), tables), codes_FCM)


class Exact:
    """The interval of a message in whole numbers of any size, cut by the definition: no bytes, no renormalising."""

    def __init__(self) -> None:
        self.low, self.width, self.scale = 0, 1, 1

    def narrow(self, start: int, weight: int, total: int) -> None:
        self.low, self.width, self.scale = (
            self.low * total + self.width * start,
            self.width * weight,
            self.scale * total,
        )

    def choose(self, m: int, weights: list[int], wanted: int) -> int:
        self.narrow(sum(weights[:wanted]), weights[wanted], sum(weights))
        return wanted

    def draw(self, m: int, cumulative: list[int], excluded: list[int], wanted: int) -> int:
        weights = [b - a for a, b in itertools.pairwise(cumulative)]
        for other in excluded:
            weights[other] = 0
        self.narrow(sum(weights[:wanted]), weights[wanted], sum(weights))
        return wanted

    @property
    def bits(self) -> float:
        return math.log2(self.scale) - math.log2(self.width)


@settings(deadline=None)
@given(cases())
def test_a_message_takes_its_information_and_less_than_a_byte_more(case: Case) -> None:
    tables, codes_FCM = case
    exact = Exact()
    walk(exact, tables, codes_FCM.shape, codes_FCM.tolist())
    assert len(encode_codes(codes_FCM, tables)) <= exact.bits / 8 + 1 + 1e-6


def test_every_string_is_the_message_of_exactly_one_sequence_or_of_none() -> None:
    """All messages of five binary codes are all that decodes: no two ways to say one, none longer than it must be."""
    tables, shape = EntropyTables(np.array([[3, 1]], np.uint16), EntropyTables.even(1, 2).rank_MRR), (5, 1, 1)
    messages = {}
    for codes in itertools.product((0, 1), repeat=5):
        codes_FCM = np.array(codes).reshape(shape)
        messages[encode_codes(codes_FCM, tables)] = codes_FCM
    assert len(messages) == 32 and max(map(len, messages)) == 1
    for string in [b"", *(bytes([a]) for a in range(256)), *(bytes([a, b]) for a in range(256) for b in (0, 1, 128))]:
        if string in messages:
            assert np.array_equal(decode_codes(string, shape, tables), messages[string])
        else:
            with pytest.raises(ValueError, match="no encoder writes"):
                decode_codes(string, shape, tables)


@settings(deadline=None, max_examples=30)
@given(cases())
def test_no_shorter_string_says_the_same(case: Case) -> None:
    """Cut anywhere, and be it by one byte, a message is not this message any more; zeros at its end are redundant."""
    tables, codes_FCM = case
    message = encode_codes(codes_FCM, tables)
    for end in range(len(message)):
        try:
            other_FCM = decode_codes(message[:end], shape_of(codes_FCM), tables)
        except ValueError:
            continue
        assert not np.array_equal(other_FCM, codes_FCM)
    with pytest.raises(ValueError, match="no encoder writes"):
        decode_codes(message + b"\0", shape_of(codes_FCM), tables)


@settings(deadline=None)
@given(cases(), st.binary(max_size=40))
def test_any_bytes_decode_to_what_is_written_with_them_or_are_refused(case: Case, data: bytes) -> None:
    tables, codes_FCM = case
    try:
        found_FCM = decode_codes(data, shape_of(codes_FCM), tables)
    except ValueError:
        return
    assert encode_codes(found_FCM, tables) == data


@settings(deadline=None, max_examples=50)
@given(cases(), st.integers(0, 10**6))
def test_frames_that_have_arrived_are_certain(case: Case, cut: int) -> None:
    """Whatever the rest turns out to be, the frames that a beginning settles stay as they are."""
    tables, codes_FCM = case
    message = encode_codes(codes_FCM, tables)
    known_FCM = decode_prefix(message[: cut % (len(message) + 1)], shape_of(codes_FCM), tables)
    assert np.array_equal(known_FCM, codes_FCM[: len(known_FCM)])


def test_frames_arrive_with_their_bytes() -> None:
    tables = random_tables(4, 256, 1)
    codes_FCM = np.random.default_rng(2).integers(0, 256, (100, 1, 4))
    message = encode_codes(codes_FCM, tables)
    for end in range(0, len(message) + 1, 40):
        assert len(decode_prefix(message[:end], (100, 1, 4), tables)) >= 100 * (end - 8) // len(message)
    assert np.array_equal(decode_prefix(message + bytes(8), (100, 1, 4), tables), codes_FCM)


def test_what_repeats_costs_next_to_nothing() -> None:
    tables = EntropyTables.even(8, 1024)
    still_FCM = np.full((500, 1, 8), 77)
    assert len(encode_codes(still_FCM, tables)) < 0.03 * 500 * 8 * 10 / 8
    alternating_FCM = np.stack([np.full((1, 8), 5), np.full((1, 8), 900)] * 250)
    assert len(encode_codes(alternating_FCM, tables)) < 0.05 * 500 * 8 * 10 / 8


def test_a_second_channel_like_the_first_costs_next_to_nothing() -> None:
    tables = EntropyTables.even(8, 1024)
    left_F1M = np.random.default_rng(0).integers(0, 1024, (300, 1, 8))
    alone, both = encode_codes(left_F1M, tables), encode_codes(np.repeat(left_F1M, 2, 1), tables)
    assert len(both) < 1.05 * len(alone)


def test_what_the_tables_know_makes_codes_cheaper() -> None:
    random = np.random.default_rng(0)
    share_K = 0.5 ** np.arange(16)
    codes_FCM = random.choice(16, (400, 1, 1), p=share_K / share_K.sum())
    codes_FCM = np.concatenate([codes_FCM, random.integers(0, 16, (400, 1, 3))], 2)
    knowing = EntropyTables(
        np.stack([np.maximum(1, 60_000 * share_K), *np.ones((3, 16))]).astype(np.uint16),
        EntropyTables.even(4, 16).rank_MRR,
    )
    few = 20  # novelties are coded by the tables; later on the candidates know as much
    even = len(encode_codes(codes_FCM[:few], EntropyTables.even(4, 16)))
    assert len(encode_codes(codes_FCM[:few], knowing)) < even


def test_a_prefix_of_the_codes_is_coded_as_if_there_were_no_more() -> None:
    tables, codes_FCM = random_tables(6, 64, 3), habitual_codes((40, 2, 6), 64, 3)
    fewer = EntropyTables(tables.frequency_MK[:2], tables.rank_MRR[:2])
    assert encode_codes(codes_FCM[..., :2], tables) == encode_codes(codes_FCM[..., :2], fewer)


@pytest.mark.parametrize("entries", [2, 4])
def test_small_codebooks_never_run_out_of_novelties(entries: int) -> None:
    tables = EntropyTables.even(3, entries)
    codes_FCM = np.random.default_rng(entries).integers(0, entries, (200, 1, 3))
    assert np.array_equal(decode_codes(encode_codes(codes_FCM, tables), (200, 1, 3), tables), codes_FCM)


@pytest.mark.parametrize(
    ("frequency_MK", "rank_MRR"),
    [
        (np.ones((2, 4), np.int64), EntropyTables.even(2, 4).rank_MRR),
        (np.zeros((2, 4), np.uint16), EntropyTables.even(2, 4).rank_MRR),
        (np.ones((2, 1), np.uint16), EntropyTables.even(2, 4).rank_MRR),
        (np.ones((3, 4), np.uint16), EntropyTables.even(2, 4).rank_MRR),
        (np.ones((2, 4), np.uint16), np.zeros((2, 8, 9), np.uint16)),
        (np.ones((0, 4), np.uint16), np.zeros((0, 8, 9), np.uint16)),
    ],
)
def test_tables_that_cannot_code_everything_are_refused(frequency_MK: Any, rank_MRR: Any) -> None:
    with pytest.raises(ValueError, match="entropy tables"):
        EntropyTables(frequency_MK, rank_MRR)


def test_the_coder_needs_no_torch() -> None:
    code = "import sys, spresso_assets.codec.entropy; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
