"""Windows tile, overlap and blend; noise does not care how it is asked for."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spresso_assets.codec.config import PRESETS
from spresso_assets.codec.level import LevelMeter, gain_steps, linear_gain
from spresso_assets.codec.noise import LATENT_STREAM, WAVEFORM_STREAM, frame_noise
from spresso_assets.codec.windows import CONTEXT_FRAMES, blend_weights, decode_windows, encode_windows

RATES = ("25hz", "11hz", "5hz", "1hz")


@given(count=st.integers(1, 300), rate=st.sampled_from(RATES))
def test_kept_parts_tile_the_sound_with_context(count: int, rate: str) -> None:
    multiple = PRESETS["small"].frame_multiple(rate)
    frames = count * multiple
    windows = encode_windows(frames, 500, multiple)
    assert [w.keep_start for w in windows] == [0, *(w.keep_stop for w in windows[:-1])]
    assert windows[-1].keep_stop == frames
    for w in windows:
        assert 0 <= w.start <= w.keep_start < w.keep_stop <= w.stop <= frames
        assert w.start % multiple == w.stop % multiple == w.keep_start % multiple == w.keep_stop % multiple == 0
        assert w.keep_start - w.start >= CONTEXT_FRAMES or w.start == 0
        assert w.stop - w.keep_stop >= CONTEXT_FRAMES or w.stop == frames
    assert len({w.stop - w.start for w in windows}) == 1


@given(count=st.integers(1, 300), rate=st.sampled_from(RATES))
def test_decode_windows_cover_with_equal_lengths(count: int, rate: str) -> None:
    multiple = PRESETS["small"].frame_multiple(rate)
    frames = count * multiple
    windows = decode_windows(frames, 500, multiple)
    total_T = np.zeros(frames)
    for a, b in windows:
        total_T[a:b] += blend_weights(b - a, a == 0, b == frames)
    assert (total_T > 0).all()
    assert len({b - a for a, b in windows}) == 1
    assert all(a % multiple == 0 for a, _ in windows)


@given(start=st.integers(0, 500), frames=st.integers(1, 200), seed=st.integers(-5, 2**64))
def test_noise_is_a_function_of_the_absolute_frame(start: int, frames: int, seed: int) -> None:
    whole_TC = frame_noise(seed, LATENT_STREAM, 0, start + frames, 3)
    np.testing.assert_array_equal(frame_noise(seed, LATENT_STREAM, start, frames, 3), whole_TC[start:])


def test_noise_differs_between_seeds_and_streams_and_is_normal() -> None:
    base = frame_noise(1, LATENT_STREAM, 0, 2000, 16)
    for other in (frame_noise(2, LATENT_STREAM, 0, 2000, 16), frame_noise(1, WAVEFORM_STREAM, 0, 2000, 16)):
        assert abs(np.corrcoef(base.ravel(), other.ravel())[0, 1]) < 0.02
    assert abs(base.mean()) < 0.02 and abs(base.std() - 1) < 0.02


@given(level_db=st.floats(-60, 20), blocks=st.integers(1, 5))
def test_gain_leads_to_one_level_and_back(level_db: float, blocks: int) -> None:
    rng = np.random.default_rng(0)
    audio_1N = (rng.standard_normal((1, 48_000)) * 0.1 * 10 ** (level_db / 20)).astype(np.float32)
    steps = gain_steps(audio_1N)
    scaled = audio_1N * linear_gain(steps)
    assert np.abs(scaled).max() <= 1.0
    rms_db = 20 * np.log10(np.sqrt(np.square(scaled).mean()))
    assert -17.5 < rms_db <= -11 or np.abs(scaled).max() > 0.9
    meter = LevelMeter()
    for part in np.array_split(audio_1N, blocks, axis=1):
        meter.add(part)
    assert meter.gain_steps() == steps  # streaming and whole agree


def test_pauses_do_not_raise_the_gain() -> None:
    burst = (np.random.default_rng(0).standard_normal((1, 4800)) * 0.05).astype(np.float32)
    padded = np.pad(burst, ((0, 0), (0, 480_000)))
    assert gain_steps(padded) == pytest.approx(gain_steps(burst), abs=1)


def test_silence_has_no_gain() -> None:
    assert gain_steps(np.zeros((2, 100), np.float32)) == 0
    assert gain_steps(np.zeros((1, 0), np.float32)) == 0
