"""SPresso end to end with random weights: lengths, rates, channels, seeds, chunking, errors."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from spresso_assets.codec import bitstream
from spresso_assets.codec.bundle import load_bundle, read_config, weights_hash, write_random_bundle
from spresso_assets.codec.closeness import MelDistance
from spresso_assets.codec.codec import SPresso
from spresso_assets.codec.config import OPERATING_POINTS, PRESETS, ModelConfig
from spresso_assets.codec.encoding import OpenBlocks
from spresso_assets.codec.extension import stored_seed
from spresso_assets.codec.level import gain_steps, linear_gain
from spresso_assets.codec.rolling import Rolling
from spresso_assets.errors import ExitCode, SpressoError


@pytest.fixture(scope="module")
def codec(tiny_bundle: Path) -> SPresso:
    return SPresso.load(tiny_bundle)


def _sound(samples: int, channels: int = 1, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    envelope = np.exp(-np.arange(samples) / 20_000)
    return (0.3 * rng.standard_normal((channels, samples)) * envelope).astype(np.float32)


@pytest.mark.parametrize("point", OPERATING_POINTS)
def test_every_operating_point_round_trips_length_and_rate(codec: SPresso, point: str) -> None:
    audio_CN = _sound(50_001)
    stream = codec.encode(audio_CN, 44_100, point)
    header = bitstream.read_header(stream)
    assert header.pool == OPERATING_POINTS[point].pool
    assert header.codebooks == OPERATING_POINTS[point].codebooks
    decoded_CN, rate = codec.decode(stream, steps=2)
    assert decoded_CN.shape == (1, 50_001) and rate == 44_100
    assert np.isfinite(decoded_CN).all() and np.abs(decoded_CN).max() > 1e-4


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    samples=st.integers(0, 9000),
    rate=st.sampled_from([8000, 11025, 17990, 44100, 48000, 96000, 192000]),
    channels=st.integers(1, 6),
    mode=st.sampled_from(["mono", "dual", "parametric"]),
    point=st.sampled_from(["1.32kbps", "1hz", "0.096kbps"]),
)
def test_any_length_rate_and_channel_count(
    codec: SPresso, samples: int, rate: int, channels: int, mode: str, point: str
) -> None:
    decoded_CN, got = codec.decode(codec.encode(_sound(samples, channels), rate, point, mode), steps=1)
    assert decoded_CN.shape == (channels, samples) and got == rate
    assert decoded_CN.dtype == np.float32 and np.isfinite(decoded_CN).all()


def test_nominal_rates_are_the_papers() -> None:
    expected = {"2.5kbps": 2.5, "1.32kbps": 4 / 3, "0.48kbps": 0.48, "0.3kbps": 0.3, "0.096kbps": 0.096}
    for name, kbps in expected.items():
        assert OPERATING_POINTS[name].nominal_kbps() == pytest.approx(kbps)


def test_five_seconds_at_the_lowest_rate_fit_in_eighty_bytes(codec: SPresso) -> None:
    assert len(codec.encode(_sound(240_000), 48_000, "0.096kbps")) <= 80


def test_same_seed_same_bytes_another_seed_differs(codec: SPresso) -> None:
    stream = codec.encode(_sound(24_000), 48_000, "2.5kbps")
    first, again, other = (codec.decode(stream, seed=s)[0] for s in (7, 7, 8))
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 1e-3


def test_encoding_is_deterministic_and_batching_only_rounds(codec: SPresso) -> None:
    sounds = [(_sound(30_000 + 7 * i, seed=i), 48_000) for i in range(4)]
    assert codec.encode_many(sounds, "1.32kbps") == codec.encode_many(sounds, "1.32kbps")
    for together, sound in zip(codec.encode_many(sounds, "11hz"), sounds, strict=True):
        z_FD, alone_FD = bitstream.unpack(together)[1], bitstream.unpack(codec.encode(*sound, "11hz"))[1]
        np.testing.assert_allclose(z_FD, alone_FD, atol=5e-3)  # stored in 16 bits


def test_sounds_of_all_lengths_come_back_in_their_order(codec: SPresso) -> None:
    sounds = [(_sound(n, seed=n), 48_000) for n in (500_000, 4800, 0, 30_000, 4800)]
    lengths = [bitstream.read_header(stream).samples for stream in codec.encode_many(sounds, "1hz")]
    assert lengths == [500_000, 4800, 0, 30_000, 4800]


def _cut(audio_CN: np.ndarray, size: int) -> OpenBlocks:
    return lambda: (audio_CN[:, at : at + size] for at in range(0, audio_CN.shape[1], size))


@pytest.mark.parametrize(
    ("seconds", "rate", "channels", "mode", "point", "size"),
    [
        (0.7, 44_100, 1, "mono", "2.5kbps", 1000),
        (13.3, 48_000, 1, "mono", "1.32kbps", 4801),
        (11.1, 44_100, 2, "dual", "0.096kbps", 65_536),
        (7.3, 44_100, 2, "parametric", "0.3kbps", 9_999),
        (6.2, 96_000, 3, "mono", "25hz", 300_001),
    ],
)
def test_a_sound_in_blocks_gives_the_stream_of_the_whole(
    codec: SPresso, seconds: float, rate: int, channels: int, mode: str, point: str, size: int
) -> None:
    audio_CN = _sound(int(seconds * rate), channels, seed=5)
    assert codec.encode_stream(_cut(audio_CN, size), rate, point, mode) == codec.encode(audio_CN, rate, point, mode)


def test_a_sound_that_changes_between_its_two_readings_is_refused(codec: SPresso) -> None:
    lengths = iter((48_000, 47_999))
    with pytest.raises(SpressoError) as caught:
        codec.encode_stream(lambda: [_sound(next(lengths))], 48_000, "1hz")
    assert caught.value.code == "changed_while_reading"


@pytest.mark.parametrize(
    ("rate", "mode", "point"),
    [(48_000, "mono", "1.32kbps"), (44_100, "dual", "0.3kbps"), (32_000, "parametric", "0.096kbps")],
)
def test_decoded_blocks_are_the_whole_sound(codec: SPresso, rate: int, mode: str, point: str) -> None:
    stream = codec.encode(_sound(33 * rate + 17, 3), rate, point, mode)
    blocks = list(codec.decode_stream(stream, seed=3, steps=3))
    assert len(blocks) > 2 and max(b.shape[1] for b in blocks) <= 11 * rate
    np.testing.assert_array_equal(np.concatenate(blocks, 1), codec.decode(stream, seed=3, steps=3)[0])


def test_the_first_block_comes_long_before_the_last_window_is_sampled(codec: SPresso) -> None:
    """Decoding holds a group of windows and one per evaluation, however long the sound is."""
    stream = codec.encode(_sound(48_000 * 120), 48_000, "0.096kbps")
    calls = 0

    def count(*_: object) -> None:
        nonlocal calls
        calls += 1

    handle = codec.networks.transformer.register_forward_hook(count)
    try:
        blocks = codec.decode_stream(stream, steps=2)
        first = next(blocks).shape[1]
        early = calls
        rest = sum(block.shape[1] for block in blocks)
    finally:
        handle.remove()
    assert first + rest == 48_000 * 120 and first <= 48_000 * 10 and early <= calls / 3


def test_level_comes_back_and_never_changes_the_code(codec: SPresso) -> None:
    """Six decibels less is the same sound with another gain byte."""
    audio_CN = _sound(48_000)
    loud, quiet = (codec.encode(audio_CN * np.float32(g), 48_000, "25hz") for g in (1.0, 10 ** (-6 / 20)))
    (h1, z1), (h2, z2) = bitstream.unpack(loud), bitstream.unpack(quiet)
    assert h1.gain_db - h2.gain_db == pytest.approx(6)
    np.testing.assert_allclose(z1, z2, atol=5e-3)


def test_silence_costs_no_tokens_and_decodes_to_silence(codec: SPresso) -> None:
    stream = codec.encode(np.zeros((2, 480_000), np.float32), 48_000, "2.5kbps", "dual")
    assert len(stream) < 24
    decoded_CN, _ = codec.decode(stream)
    assert decoded_CN.shape == (2, 480_000) and not decoded_CN.any()


def test_best_of_stores_the_seed_that_comes_closest(codec: SPresso) -> None:
    audio_CN = _sound(48_000)  # whole tokens, and below at the level that the networks hear: what is compared
    audio_CN *= np.float32(linear_gain(gain_steps(audio_CN)))
    stream = codec.encode(audio_CN, 48_000, "0.096kbps", best_of=4)
    assert stream == codec.encode_stream(_cut(audio_CN, 999), 48_000, "0.096kbps", best_of=4)

    def distance(seed: int) -> float:
        measure = MelDistance()
        measure.add(audio_CN, codec.decode(stream, seed)[0])
        return measure.value

    distances = [distance(seed) for seed in range(4)]
    stored = stored_seed(bitstream.read_header(stream).extension) or 0
    assert distances[stored] == min(distances) < max(distances)
    np.testing.assert_array_equal(codec.decode(stream)[0], codec.decode(stream, stored)[0])


def test_without_a_stored_seed_a_decode_is_variation_zero(codec: SPresso) -> None:
    stream = codec.encode(_sound(9600), 48_000, "1hz")
    assert codec.encode(_sound(9600), 48_000, "1hz", best_of=1) == stream
    np.testing.assert_array_equal(codec.decode(stream)[0], codec.decode(stream, seed=0)[0])


def test_dual_keeps_channels_apart(codec: SPresso) -> None:
    audio_CN = _sound(48_000, 2)
    audio_CN[1] *= np.linspace(0, 1, 48_000, dtype=np.float32)
    dual, _ = codec.decode(codec.encode(audio_CN, 48_000, "25hz", "dual"), steps=2)
    mono, _ = codec.decode(codec.encode(audio_CN, 48_000, "25hz", "mono"), steps=2)
    assert np.abs(dual[0] - dual[1]).max() > 1e-3
    np.testing.assert_array_equal(mono[0], mono[1])


def test_dual_channels_share_their_noise(codec: SPresso) -> None:
    """Equal channels must decode to equal channels: a centred sound stays centred."""
    audio_CN = np.repeat(_sound(24_000), 2, 0)
    decoded_CN, _ = codec.decode(codec.encode(audio_CN, 48_000, "2.5kbps", "dual"))
    np.testing.assert_array_equal(decoded_CN[0], decoded_CN[1])


def test_parametric_costs_little_more_than_mono_and_brings_the_image_back(codec: SPresso) -> None:
    left_N, right_N = _sound(96_000, 2)
    opposed_CN = np.stack([left_N, -left_N, right_N])
    stream = codec.encode(opposed_CN, 48_000, "1.32kbps", "parametric")
    assert bitstream.read_header(stream).channel_mode == "parametric"
    assert len(stream) == len(codec.encode(opposed_CN, 48_000, "1.32kbps")) + 36
    decoded_CN, _ = codec.decode(stream, steps=1)
    assert decoded_CN.shape == (3, 96_000) and np.abs(decoded_CN).max() > 1e-3
    np.testing.assert_allclose(decoded_CN[2], decoded_CN[:2].mean(0), atol=1e-6)
    assert float(np.corrcoef(decoded_CN[:2])[0, 1]) < -0.95
    hard, _ = codec.decode(codec.encode(np.stack([left_N, 0 * left_N]), 44_100, "1.32kbps", "parametric"), steps=1)
    assert np.abs(hard[1]).max() < 1e-5 < 1e-3 < np.abs(hard[0]).max()


def test_the_level_of_opposed_channels_is_that_of_either(codec: SPresso) -> None:
    left_N = _sound(48_000)[0]
    opposed = bitstream.read_header(codec.encode(np.stack([left_N, -left_N]), 48_000, "1hz", "parametric"))
    alone = bitstream.read_header(codec.encode(left_N[None], 48_000, "1hz"))
    assert abs(opposed.gain_db - alone.gain_db) <= 0.5


def test_parametric_sounds_without_an_image_are_mono(codec: SPresso) -> None:
    mono_CN = _sound(24_000)
    for audio_CN in (mono_CN, np.repeat(mono_CN, 2, 0), np.zeros((2, 24_000), np.float32), mono_CN[:, :0].repeat(2, 0)):
        assert codec.encode(audio_CN, 48_000, "1hz", "parametric") == codec.encode(audio_CN, 48_000, "1hz", "mono")


def test_prefix_of_codebooks_decodes(codec: SPresso) -> None:
    stream = codec.encode(_sound(24_000), 48_000, "2.5kbps")
    for books in (1, 5, 9):
        shorter = bitstream.cut(stream, books)
        assert len(shorter) < len(stream)
        assert codec.decode(shorter, steps=1)[0].shape == (1, 24_000)


def test_analysis_in_windows_equals_the_whole(codec: SPresso) -> None:
    """x0 of a window is what the whole sound's analysis holds there."""
    import torch

    audio_BN = _sound(480 * 700)
    whole_BTC = codec.networks.autoencoder.encode(torch.from_numpy(audio_BN))
    part_BTC = codec.encoding.analyse(Rolling([audio_BN]), 700, 123, 456)
    torch.testing.assert_close(part_BTC, whole_BTC[:, 123:456], atol=2e-4, rtol=0)


def test_synthesis_in_chunks_equals_the_whole(codec: SPresso, monkeypatch: pytest.MonkeyPatch) -> None:
    from spresso_assets.codec import decoding

    x0_BTC = 0.5 * np.random.default_rng(0).standard_normal((1, 400, 128)).astype(np.float32)
    (whole_BN,) = codec.decoding.synthesise([x0_BTC], 400, seed=3)
    monkeypatch.setattr(decoding, "AE_CHUNK_FRAMES", 90)
    pieces = np.split(x0_BTC, [7, 250, 251], 1)
    np.testing.assert_allclose(
        np.concatenate(list(codec.decoding.synthesise(pieces, 400, seed=3)), 1), whole_BN, atol=2e-4
    )


def test_half_precision_is_the_same_sound(codec: SPresso, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the processor multiplies bfloat16 the denoiser runs in it; only rounding tells."""
    stream = codec.encode(_sound(24_000), 48_000, "1.32kbps")
    sounds = []
    for fast in (False, True):
        monkeypatch.setattr("spresso_assets.codec.decoding.has_fast_bf16", lambda _, fast=fast: fast)
        sounds.append(codec.decode(stream)[0])
    distance = MelDistance()
    distance.add(*sounds)
    assert 0 < distance.value < 0.02


def test_long_sounds_decode_in_blended_windows(codec: SPresso) -> None:
    """17.3 s is four windows at 11 Hz, the last one shifted left."""
    audio_CN = _sound(830_400)
    decoded_CN, _ = codec.decode(codec.encode(audio_CN, 48_000, "1.32kbps"), steps=2)
    assert decoded_CN.shape == audio_CN.shape and np.isfinite(decoded_CN).all()


def test_start_of_a_long_file_does_not_depend_on_its_end(codec: SPresso) -> None:
    """Tokens far from the end of a file are the same when the file goes on: windows see 50 frames of context."""
    long_CN = _sound(480 * 2000, seed=4)
    long_CN[:] = 0.1 * np.sign(long_CN) * np.abs(long_CN) ** 0.2  # steady level, so that the gain is the same
    _, whole = bitstream.unpack(codec.encode(long_CN, 48_000, "2.5kbps"))
    _, part = bitstream.unpack(codec.encode(long_CN[:, : 480 * 1500], 48_000, "2.5kbps"))
    keep = (1500 - 500) // 4
    same = (whole[:keep] == part[:keep]).all(1).mean()
    assert same >= 0.99


@pytest.mark.parametrize(
    ("audio", "point", "code"),
    [
        (np.full((1, 100), np.nan, np.float32), "1hz", "nonfinite_samples"),
        (np.zeros((0, 100), np.float32), "1hz", "bad_shape"),
        (np.zeros(100, np.float32), "1hz", "bad_shape"),
        (np.zeros((1, 100), np.float32), "9kbps", "unknown_point"),
    ],
)
def test_bad_input_is_one_clear_error(codec: SPresso, audio: np.ndarray, point: str, code: str) -> None:
    with pytest.raises(SpressoError) as caught:
        codec.encode(audio, 48_000, point)
    assert caught.value.code == code


def test_stream_of_another_model_is_refused(codec: SPresso, tmp_path: Path) -> None:
    write_random_bundle(tmp_path / "other", seed=1)
    stream = load_bundle(tmp_path / "other").encode(_sound(4800), 48_000, "1hz")
    with pytest.raises(SpressoError) as caught:
        codec.decode(stream)
    assert caught.value.code == "wrong_model" and caught.value.exit_code == ExitCode.MODEL_MISSING


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damaged_streams_never_escape_as_other_exceptions(codec: SPresso, data: st.DataObject) -> None:
    stream = bytearray(codec.encode(_sound(4800), 48_000, "2.5kbps"))
    for _ in range(data.draw(st.integers(1, 4))):
        stream[data.draw(st.integers(0, len(stream) - 1))] = data.draw(st.integers(0, 255))
    stop = data.draw(st.integers(0, len(stream)))
    try:
        audio_CN, _ = codec.decode(bytes(stream[:stop]), steps=1)
    except SpressoError:
        return
    assert np.isfinite(audio_CN).all()


def test_bundle_with_other_weights_than_recorded_is_refused(tmp_path: Path) -> None:
    write_random_bundle(tmp_path / "a")
    weights = tmp_path / "a" / "weights.safetensors"
    damaged = bytearray(weights.read_bytes())
    damaged[-1] ^= 1
    weights.write_bytes(damaged)
    with pytest.raises(SpressoError) as caught:
        load_bundle(tmp_path / "a")
    assert caught.value.code == "weights_mismatch"


def test_missing_bundle_says_what_to_do(tmp_path: Path) -> None:
    for call in (weights_hash, read_config, load_bundle):
        with pytest.raises(SpressoError) as caught:
            call(tmp_path / "nothing")
        assert caught.value.code == "model_missing" and caught.value.hint


def test_config_survives_json() -> None:
    import json

    for config in PRESETS.values():
        assert ModelConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config
