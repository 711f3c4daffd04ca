"""The spectrogram-image codec with random weights: streams, exactness, damage."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from spresso_assets.codec.entropy import Decoder, Encoder
from spresso_assets.errors import SpressoError
from spresso_assets.rivals.interface import Audio, Head, pack, unpack
from spresso_assets.rivals.spectrogram import codec as room
from spresso_assets.rivals.spectrogram.codec import (
    SpectrogramCodec,
    image_to_magnitudes,
    magnitudes_to_image,
    write_random_bundle,
)
from spresso_assets.rivals.spectrogram.config import NAME, PRESETS, SYSTEM
from spresso_assets.rivals.spectrogram.entropy_model import EntropyModel, build_tables
from spresso_assets.rivals.spectrogram.gabor import Gabor
from spresso_assets.rivals.spectrogram.network import ImageCodec


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights")
    write_random_bundle(path)
    return path


@pytest.fixture(scope="module")
def codec(folder: Path) -> SpectrogramCodec:
    return SpectrogramCodec(folder)


def sound(samples: int, channels: int = 1) -> Audio:
    return 0.1 * np.random.default_rng(samples).standard_normal((channels, samples)).astype(np.float32)


@pytest.mark.parametrize(("channels", "samples"), [(1, 0), (1, 1), (1, 31), (2, 5000), (1, 12_345)])
def test_exact_lengths(codec: SpectrogramCodec, channels: int, samples: int) -> None:
    decoded_CN = codec.decode(codec.encode(sound(samples, channels), 6))
    assert decoded_CN.shape == (channels, samples) and decoded_CN.dtype == np.float32
    assert np.isfinite(decoded_CN).all()


def test_decoding_is_repeatable_and_gain_comes_back(codec: SpectrogramCodec) -> None:
    stream = codec.encode(sound(8000), 12)
    np.testing.assert_array_equal(codec.decode(stream), codec.decode(stream))
    quieter = codec.decode(codec.encode(sound(8000) * 10 ** (-10 / 20), 12))
    np.testing.assert_allclose(quieter * 10 ** (10 / 20), codec.decode(stream), rtol=0.1, atol=1e-3)


def test_a_stream_keeps_to_its_rate_or_is_the_coarsest(codec: SpectrogramCodec) -> None:
    audio_CN = sound(48_000)
    sizes = [len(codec.encode(audio_CN, point.kbps)) for point in codec.points()]
    assert sizes == sorted(sizes)
    coarsest = sizes[0]
    for size, point in zip(sizes, codec.points(), strict=True):
        assert size <= max(coarsest, point.kbps * 1000 / 8 + 2)


def test_long_sounds_go_in_several_images(codec: SpectrogramCodec, monkeypatch: pytest.MonkeyPatch) -> None:
    audio_CN = sound(9000)
    monkeypatch.setattr(room, "IMAGE_FRAMES", 128)
    assert codec.decode(codec.encode(audio_CN, 6)).shape == audio_CN.shape


def test_damage_is_one_clear_error(codec: SpectrogramCodec) -> None:
    stream = codec.encode(sound(4000), 6)
    damaged = bytearray(stream)
    damaged[len(stream) // 2] ^= 4
    for bad in (b"", b"RIFF" + stream, stream[:-1], stream[:9], stream + b"\0", bytes(damaged)):
        with pytest.raises(SpressoError) as caught:
            codec.decode(bad)
        assert caught.value.code == "rival_stream_bad"


def test_a_forged_length_costs_one_image_not_the_memory(codec: SpectrogramCodec) -> None:
    head, body = unpack(codec.encode(sound(4000), 6), SYSTEM, NAME)
    forged = pack(SYSTEM, Head(1 << 33, 1, head.point), body)
    with pytest.raises(SpressoError, match="less than it says") as caught:
        codec.decode(forged)
    assert caught.value.code == "rival_stream_bad"


def test_a_folder_without_weights_is_said_so(tmp_path: Path, folder: Path) -> None:
    with pytest.raises(SpressoError) as caught:
        SpectrogramCodec(tmp_path)
    assert caught.value.code == "rival_missing"
    for name in ("config.json", "weights.safetensors"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    (tmp_path / "weights.safetensors").write_bytes(b"junk")
    with pytest.raises(SpressoError) as caught:
        SpectrogramCodec(tmp_path)
    assert caught.value.code == "rival_missing"


def test_image_and_magnitudes_are_inverses_between_black_and_white() -> None:
    gabor = Gabor(256, 32)
    time_N = np.arange(3200) / 48_000
    magnitude_TF = np.abs(gabor.analyse(np.sin(2 * np.pi * 6000 * time_N)))
    image_TF = magnitudes_to_image(magnitude_TF, gabor)
    assert image_TF[50].max() == pytest.approx(1.0, abs=1e-3)  # a sine of full scale is white
    inside = (image_TF > 0) & (image_TF < 1)
    np.testing.assert_allclose(image_to_magnitudes(image_TF, gabor)[:, :-1][inside], magnitude_TF[:, :-1][inside])


def test_the_whole_number_network_follows_the_float_one() -> None:
    torch.manual_seed(1)
    network = ImageCodec(PRESETS["tiny"])
    model = EntropyModel(network.cfg, build_tables(network))
    z_HTF = np.random.default_rng(0).integers(-9, 9, (network.cfg.hyper, 3, 2)).astype(np.int32)
    with torch.no_grad():
        mean, scale = network.hyper_decoder(torch.from_numpy(z_HTF).float()[None])
    exact_mean, number = model.predict(z_HTF)
    np.testing.assert_allclose(exact_mean, mean[0].numpy(), atol=0.02)
    assert np.abs(number - scale[0].clamp(0, 63).numpy()).max() < 0.55


def test_costs_foretold_are_those_of_the_coder() -> None:
    torch.manual_seed(2)
    network = ImageCodec(PRESETS["tiny"])
    model = EntropyModel(network.cfg, build_tables(network))
    generator = np.random.default_rng(3)
    z_HTF = generator.integers(-2, 3, (network.cfg.hyper, 3, 2)).astype(np.int32)
    image = model.coded(generator.normal(0, 3, (network.cfg.latents, 12, 8)), z_HTF)
    coder = Encoder()
    model.encode(coder, image)
    stream = coder.finish()
    assert abs(8 * len(stream) - model.bits(image)) < 32
    mean, _ = model.predict(z_HTF)
    np.testing.assert_array_equal(model.decode(Decoder(stream), 3 * 64), image.symbols_MTF + mean)


def test_bits_that_training_weighs_are_those_of_a_stream() -> None:
    torch.manual_seed(4)
    network = ImageCodec(PRESETS["tiny"])
    model = EntropyModel(network.cfg, build_tables(network))
    image = torch.rand(1, 1, 128, network.cfg.rows)
    for rate in (0.0, 3.0):
        with torch.no_grad():
            _, bits_B = network(image, rate, None)
            y_MTF = (network.analysis(image) * network.gains(rate)[0])[0]
            z_HTF = network.hyper_encoder(y_MTF[None])[0].round().int().numpy()
        stream_bits = model.bits(model.coded(y_MTF.double().numpy(), z_HTF))
        assert float(bits_B) == pytest.approx(stream_bits, rel=0.05, abs=16)
