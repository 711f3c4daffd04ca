"""Parametric stereo: what was panned, wide or opposed comes back so, at no more than 150 bit/s."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from spresso_assets.codec import stereo, stereo_filter
from spresso_assets.codec.bitstream import SprHeader, cut, pack, read_side, unpack, unpack_partial
from spresso_assets.codec.bitstream_header import STEREO_BANDS, stereo_grid
from spresso_assets.errors import SpressoError

SAMPLES = 96_000
STREAM = SprHeader("a1b2c3", 9, 12, 10, 44_100, 66_150, 2, "parametric")


def noise(seed: int = 0, samples: int = SAMPLES) -> np.ndarray:
    return (0.1 * np.random.default_rng(seed).standard_normal(samples)).astype(np.float32)


def folded(audio_2N: np.ndarray, block: int = SAMPLES) -> tuple[np.ndarray, np.ndarray]:
    """One signal [1, N] and its codes for every band."""
    folding, grid = stereo_filter.Folding(), stereo_grid(audio_2N.shape[1], 48_000)
    parts = [folding.feed(audio_2N[:, at : at + block]) for at in range(0, audio_2N.shape[1], block)]
    mono_1N = np.concatenate([*parts, folding.finish()], 1)[:, : audio_2N.shape[1]]
    return mono_1N, stereo.unpack_codes(stereo.pack_codes(folding.description(*grid)), *grid)


def unfolded(mono_1N: np.ndarray, codes_PB: np.ndarray, block: int = SAMPLES) -> np.ndarray:
    unfolding = stereo_filter.Unfolding(codes_PB)
    parts = [unfolding.feed(mono_1N[:, at : at + block]) for at in range(0, mono_1N.shape[1], block)]
    return np.concatenate([*parts, unfolding.finish()], 1)[:, : mono_1N.shape[1]]


def coded(audio_2N: np.ndarray) -> np.ndarray:
    """A sound as it comes back if the networks were perfect."""
    return unfolded(*folded(audio_2N))


def image(audio_2N: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Level difference in dB, coherence, and power in dB of both channels together, per band."""
    spectra_2TF = stereo_filter._stft()(torch.from_numpy(audio_2N))
    left_B, right_B, cross_B = stereo_filter._powers(*spectra_2TF).sum(1) + 1e-12
    level_B = 10 * np.log10(left_B / right_B)
    return level_B, cross_B / np.sqrt(left_B * right_B), 10 * np.log10(left_B + right_B)


def code_of(angle: int, pan: int) -> int:
    return int(stereo.POSITIONS.tolist().index([angle, pan]))


def neighbours(db: float, angle: int = 0) -> tuple[float, float]:
    """The level differences that can be coded on either side of one."""
    pans = sorted({sign * pan for pan in stereo.PANS[angle] if pan < 90 for sign in (1, -1)})
    known = [10 * np.log10((1 + np.sin(np.radians(p))) / (1 - np.sin(np.radians(p)))) for p in pans]
    return max(k for k in known if k <= db), min(k for k in known if k >= db)


@pytest.mark.parametrize("db", [-16.0, -6.0, -1.5, 3.0, 6.0, 12.0])
def test_panned_sounds_stay_where_they_are(db: float) -> None:
    source_N = noise()
    level_B, coherence_B, _ = image(coded(np.stack([source_N * 10 ** (db / 20), source_N])))
    low, high = neighbours(db)
    assert np.all((level_B > low - 0.05) & (level_B < high + 0.05)), level_B
    assert np.all(coherence_B > 0.999)


@pytest.mark.parametrize("side", [0, 1])
def test_hard_panned_sounds_leave_the_other_side_empty(side: int) -> None:
    audio_2N = np.zeros((2, SAMPLES), np.float32)
    audio_2N[side] = noise()
    decoded_2N = coded(audio_2N)
    assert np.abs(decoded_2N[1 - side]).max() < 1e-7  # what rounding leaves: -140 dB
    np.testing.assert_allclose(decoded_2N[side], audio_2N[side], atol=1e-4)


def test_a_centred_sound_is_untouched_and_needs_no_description() -> None:
    audio_2N = np.repeat(noise()[None], 2, 0)
    decoded_2N = coded(audio_2N)
    np.testing.assert_array_equal(decoded_2N[0], decoded_2N[1])
    np.testing.assert_allclose(decoded_2N, audio_2N, atol=1e-5)
    assert not folded(audio_2N)[1].any()


@pytest.mark.parametrize("angle", [30, 50, 65, 90, 105])
def test_coherence_comes_back_within_a_step(angle: int) -> None:
    mid_N, side_N = noise(1), noise(2)
    half = np.radians(angle) / 2
    audio_2N = np.stack([np.cos(half) * mid_N + sign * np.sin(half) * side_N for sign in (1, -1)])
    level_B, coherence_B, _ = image(coded(audio_2N.astype(np.float32)))
    known = sorted(stereo.PANS)
    above, below = max(a for a in known if a <= angle), min(a for a in known if a >= angle)
    # the lowest band holds too few independent values in two seconds to be exact
    assert np.all(coherence_B[1:] < np.cos(np.radians(above)) + 0.05), coherence_B
    assert np.all(coherence_B[1:] > np.cos(np.radians(below)) - 0.05), coherence_B
    assert np.all(np.abs(level_B[1:]) < 1.2)


@pytest.mark.parametrize("kind", ["centre", "left", "opposed", "nearly opposed", "unrelated", "unequal", "moving"])
def test_no_band_gains_or_loses_power(kind: str) -> None:
    a_N, b_N, ramp_N = noise(1), noise(2), np.linspace(0, np.pi / 2, SAMPLES)
    pair = {
        "centre": (a_N, a_N),
        "left": (a_N, 0 * a_N),
        "opposed": (a_N, -a_N),
        "nearly opposed": (a_N, 0.6 * b_N - 0.7 * a_N),
        "unrelated": (a_N, b_N),
        "unequal": (a_N, 0.2 * b_N),
        "moving": (a_N * np.cos(ramp_N), a_N * np.sin(ramp_N)),
    }[kind]
    audio_2N = np.stack(pair).astype(np.float32)
    np.testing.assert_allclose(image(coded(audio_2N))[2], image(audio_2N)[2], atol=0.5)


def test_opposed_channels_stay_opposed() -> None:
    """What a plain mean would cancel to nothing."""
    source_N = noise()
    decoded_2N = coded(np.stack([source_N, -source_N]))
    assert float(np.std(decoded_2N)) == pytest.approx(float(np.std(source_N)), rel=0.05)
    assert float(np.corrcoef(decoded_2N)[0, 1]) < -0.99


def test_bands_are_placed_apart() -> None:
    at_N = np.arange(SAMPLES) / 48_000
    low_N, high_N = (0.2 * np.sin(2 * np.pi * f * at_N).astype(np.float32) for f in (300, 9000))
    level_B, *_ = image(coded(np.stack([low_N + 0.01 * high_N, high_N + 0.01 * low_N])))
    assert level_B[1] > 25 and level_B[9] < -25


def test_an_image_does_not_move_through_a_pause() -> None:
    audio_2N = np.zeros((2, 4 * SAMPLES), np.float32)
    audio_2N[0, :24_000] = noise(1, 24_000)
    audio_2N[1, -23_000:] = noise(2, 23_000)
    _, codes_PB = folded(audio_2N)
    assert (stereo.POSITIONS[codes_PB[:-1], 1] == 90).all() and (stereo.POSITIONS[codes_PB[-1], 1] == -90).all()


def test_an_image_moves_without_steps() -> None:
    codes_PB = np.full((3, STEREO_BANDS), code_of(0, 90), np.uint8)
    codes_PB[1] = 0
    _, pans_TB = stereo.positions(codes_PB, 0, 150)
    assert pans_TB[0, 0] == pytest.approx(np.pi / 2) and pans_TB[75, 0] < 0.05
    assert np.abs(np.diff(pans_TB, axis=0)).max() < 0.04


def test_a_knock_does_not_ring_on() -> None:
    mono_1N = np.zeros((1, 48_000), np.float32)
    mono_1N[0, 24_000:24_240] = noise(samples=240) * np.exp(-np.arange(240) / 60)
    wide_2N = unfolded(mono_1N, np.full((2, STEREO_BANDS), code_of(90, 0), np.uint8))
    power_N = np.square(wide_2N).sum(0)
    assert power_N[:23_000].sum() < 1e-3 * power_N.sum()
    assert power_N[24_000 + 2400 :].sum() < 1e-3 * power_N.sum()


def test_chunks_do_not_show_and_blocks_leave_no_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    audio_2N = np.stack([noise(1), 0.5 * noise(1) + 0.3 * noise(2)])
    whole_2N = coded(audio_2N)
    monkeypatch.setattr(stereo_filter, "CHUNK_FRAMES", stereo.STRETCH)
    chunked_2N = coded(audio_2N)
    np.testing.assert_allclose(chunked_2N, whole_2N, atol=1e-5)
    mono_1N, codes_PB = folded(audio_2N, block=12_345)
    np.testing.assert_array_equal(unfolded(mono_1N, codes_PB, block=777), chunked_2N)


def test_the_same_sound_gives_the_same_bytes_and_the_same_samples() -> None:
    audio_2N = np.stack([noise(1), noise(2)])
    np.testing.assert_array_equal(coded(audio_2N), coded(audio_2N))


def test_positions_are_sixty_four_different_ones_the_first_in_the_centre() -> None:
    assert len({tuple(p) for p in stereo.POSITIONS.tolist()}) == 64
    assert stereo.POSITIONS[0].tolist() == [0, 0]


@given(st.integers(1, 2_000_000), st.sampled_from([100, 8000, 37_123, 44_100, 48_000, 192_000]))
def test_the_image_costs_at_most_150_bits_a_second(samples: int, rate: int) -> None:
    header = replace(STREAM, samples=samples, sample_rate=rate)
    assert header.side_bytes == 1 or header.side_bytes * 8 * rate <= 150 * samples
    assert header.side_bytes > 0 and replace(header, channel_mode="mono").side_bytes == 0
    if samples >= rate:
        assert header.side_bytes * 8 * rate >= 72 * samples


@settings(deadline=None, max_examples=50)
@given(samples=st.integers(1, 300_000), data=st.data())
def test_side_sections_come_back_and_damage_is_found(samples: int, data: st.DataObject) -> None:
    header = replace(STREAM, samples=samples)
    frames, bands = stereo_grid(samples, header.sample_rate)
    random = np.random.default_rng(samples)
    codes_PB = random.integers(0, 64, (frames, bands), dtype=np.uint8)
    tokens = random.integers(0, 1024, (header.frames, 12), dtype=np.int32)
    stream = pack(header, tokens, stereo.pack_codes(codes_PB))
    got, payload = unpack(stream)
    assert got == header and np.array_equal(payload, tokens) and stream[3] == 2
    unpacked_PB = stereo.unpack_codes(read_side(stream), frames, bands)
    assert unpacked_PB.shape == (frames, STEREO_BANDS)
    for band in range(STEREO_BANDS):
        assert np.array_equal(unpacked_PB[:, band], codes_PB[:, band * bands // STEREO_BANDS])
    assert read_side(cut(stream, 3)) == read_side(stream)

    bit = data.draw(st.integers(0, len(stream) * 8 - 1))
    flipped = bytearray(stream)
    flipped[bit // 8] ^= 1 << bit % 8
    end = data.draw(st.integers(1, len(stream) - 1))
    for damaged in (bytes(flipped), stream[:end]):
        with pytest.raises(SpressoError) as caught:
            unpack(damaged)
        assert caught.value.code in {"not_spr", "spr_version", "spr_truncated", "spr_corrupt"}
    try:
        arrived = unpack_partial(stream[:end])[1]
        assert np.array_equal(arrived, tokens[: len(arrived)])
        assert read_side(stream[:end]) == read_side(stream)
    except SpressoError as error:
        assert error.code == "spr_truncated"


@pytest.mark.parametrize(
    ("change", "side"),
    [
        ({}, b""),
        ({}, bytes(28)),
        ({"channel_mode": "mono"}, bytes(27)),
        ({"channels": 1}, bytes(27)),
        ({"samples": 0}, bytes(1)),
        ({"silent": True}, bytes(27)),
        ({"samples": 6000}, b"\x00\x01"),
    ],
)
def test_images_without_a_place_in_the_format_are_refused(change: dict[str, Any], side: bytes) -> None:
    header = replace(STREAM, **change)
    tokens = np.zeros((header.frames, 12), np.int32)
    with pytest.raises(SpressoError, match="spr_unpackable"):
        pack(header, None if header.silent else tokens, side)
