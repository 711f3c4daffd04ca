"""Our SoundStream with random weights: streams equal files, prefixes of codes, sizes, damage."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch

from spresso_assets.errors import SpressoError
from spresso_assets.rivals.interface import Audio
from spresso_assets.rivals.soundstream import codec as room
from spresso_assets.rivals.soundstream.codec import SoundStream, StreamDecoder, StreamEncoder
from spresso_assets.rivals.soundstream.config import NAME, PRESETS
from spresso_assets.rivals.soundstream.model import ConvCodec, random_model, save_model
from spresso_assets.rivals.soundstream.seanet import FiLM

TINY = PRESETS["tiny"]


@pytest.fixture(scope="module")
def model() -> ConvCodec:
    return random_model(replace(TINY, recurrent=1))


def sound(samples: int, channels: int = 1) -> Audio:
    return 0.1 * np.random.default_rng(samples).standard_normal((channels, samples)).astype(np.float32)


def test_a_stream_is_the_whole_sound(model: ConvCodec) -> None:
    """Whatever pieces sound and codes come in, and with no look-ahead."""
    signal_N = sound(1600)[0]
    whole_TM = model.encode(torch.from_numpy(signal_N)[None, None], 4)[0].numpy()
    stream, cuts = StreamEncoder(model, 4), [0, 1, 9, 300, 301, 1111, 1600]
    pieces = [stream.push(signal_N[a:b]) for a, b in pairwise(cuts)]
    np.testing.assert_array_equal(np.concatenate(pieces), whole_TM)
    decoded_N = model.decode(torch.from_numpy(whole_TM)[None])[0, 0].numpy()
    out, cuts = StreamDecoder(model), [0, 1, 2, 50, 200]
    streamed_N = np.concatenate([out.push(whole_TM[a:b]) for a, b in pairwise(cuts)])
    np.testing.assert_allclose(streamed_N, decoded_N, atol=1e-5)


def test_the_future_is_not_looked_at(model: ConvCodec) -> None:
    signal_N = torch.from_numpy(sound(1600))[None]
    other_N = signal_N.clone()
    other_N[..., 800:] = 0
    with torch.no_grad():
        one, two = (model.encoder(x, torch.zeros(1, dtype=torch.bool)) for x in (signal_N, other_N))
        assert torch.equal(one[..., :100], two[..., :100]) and not torch.equal(one, two)
        one, two = (model.decoder(z, torch.zeros(1, dtype=torch.bool)) for z in (one, two))
        torch.testing.assert_close(one[..., :800], two[..., :800])


def test_both_ways_of_padding_keep_the_length() -> None:
    for strides in ((2, 4), (5, 3)):
        model = random_model(replace(TINY, causal=False, strides=strides, channels=2))
        audio = torch.from_numpy(sound(20 * model.cfg.hop, 2))[None]
        codes = model.encode(audio, 2)
        assert codes.shape == (1, 20, 2) and model.decode(codes).shape == audio.shape


def test_codes_of_a_lower_rate_are_a_prefix(model: ConvCodec) -> None:
    audio = torch.from_numpy(sound(800))[None]
    assert torch.equal(model.encode(audio, 4)[..., :2], model.encode(audio, 2))


def test_small_has_the_papers_rates_and_our_size() -> None:
    cfg = PRESETS["small"]
    assert [cfg.kbps(count) for count in cfg.offered] == [3, 6, 12, 18]
    count = sum(t.numel() for t in ConvCodec(cfg).state_dict().values())
    assert 3.2e6 < count < 4e6


@pytest.mark.parametrize(("channels", "samples"), [(1, 0), (1, 1), (2, 777), (1, 16_001)])
def test_streams_have_exact_lengths_and_rates(
    model: ConvCodec, monkeypatch: pytest.MonkeyPatch, channels: int, samples: int
) -> None:
    codec = SoundStream(model)
    monkeypatch.setattr(room, "BLOCK_FRAMES", 100)
    for point, count in zip(codec.points(), TINY.offered, strict=True):
        stream = codec.encode(sound(samples, channels), point.kbps)
        assert len(stream) <= 16 + -(-channels * -(-samples // 8) * count * 4 // 8)
        decoded_CN = codec.decode(stream)
        assert decoded_CN.shape == (channels, samples) and np.isfinite(decoded_CN).all()


def test_damage_is_one_clear_error(model: ConvCodec) -> None:
    codec = SoundStream(model)
    stream = codec.encode(sound(4000), 100)
    damaged = bytearray(stream)
    damaged[len(stream) // 2] ^= 4
    for bad in (b"", stream[:-1], stream[:9], stream + b"\0", bytes(damaged), b"fLaC" + stream):
        with pytest.raises(SpressoError) as caught:
            codec.decode(bad)
        assert caught.value.code == "rival_stream_bad"


def test_film_starts_as_nothing_and_can_tell_the_conditions_apart(tmp_path: Path) -> None:
    film, x = FiLM(3), torch.randn(2, 3, 5)
    clean_B = torch.tensor([True, False])
    assert torch.equal(film(x, clean_B), x)
    with torch.no_grad():
        film.gamma.weight[:, 1] = 1.0
    torch.testing.assert_close(film(x, clean_B), x * torch.tensor([2.0, 1.0])[:, None, None])
    model = random_model(replace(TINY, denoise="decoder"))
    with torch.no_grad():
        assert model.decoder.film is not None
        model.decoder.film.beta.weight[:, 1] = 1.0
    audio_CN = sound(800)
    plain, clean = SoundStream(model).encode(audio_CN, 9), SoundStream(model, denoise=True).encode(audio_CN, 9)
    codec = SoundStream(model)  # the wish travels in the stream
    assert np.abs(codec.decode(plain) - codec.decode(clean)).max() > 1e-3


def test_weights_come_back_from_their_folder(model: ConvCodec, tmp_path: Path) -> None:
    save_model(tmp_path, NAME, model)
    codec = SoundStream.load(tmp_path)
    assert codec.model.cfg == model.cfg
    assert codec.decode(codec.encode(sound(500), 3)).shape == (1, 500)
    with pytest.raises(SpressoError) as caught:
        SoundStream.load(tmp_path / "none")
    assert caught.value.code == "rival_missing"
