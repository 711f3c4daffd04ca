"""Our EnCodec: chunks, levels, a prior in whole numbers, damage; random weights."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from spresso_assets.codec.entropy import Decoder, Encoder
from spresso_assets.errors import SpressoError
from spresso_assets.rivals.encodec_parts import chunks
from spresso_assets.rivals.encodec_parts.codec import FORETOLD, PLAIN, EncodecOurs
from spresso_assets.rivals.encodec_parts.config import NAME, PRESETS, PRIORS
from spresso_assets.rivals.encodec_parts.exact_prior import ExactPrior, Heard, whole_prior
from spresso_assets.rivals.encodec_parts.prior import CodePrior
from spresso_assets.rivals.interface import Audio, unpack
from spresso_assets.rivals.soundstream.model import ConvCodec, random_model, save_model

TINY, SIZES = PRESETS["tiny"], PRIORS["tiny"]


def make_prior(seed: int = 0, context: int = 256) -> CodePrior:
    torch.manual_seed(seed)
    prior = CodePrior(replace(SIZES, context=context))
    with torch.no_grad():  # louder than at birth, so that what is foretold is not all alike
        for head in prior.heads:
            head.weight.mul_(6)
    return prior


@pytest.fixture(scope="module")
def model() -> ConvCodec:
    return random_model(TINY)


@pytest.fixture(scope="module")
def exact_prior() -> ExactPrior:
    return ExactPrior(whole_prior(make_prior()))


def sound(samples: int, channels: int = 2) -> Audio:
    return 0.1 * np.random.default_rng(samples).standard_normal((channels, samples)).astype(np.float32)


def codes_of(frames: int, codebooks: int = 4, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 16, (frames, codebooks))


def test_whole_numbers_say_what_floats_say() -> None:
    prior = make_prior()
    codes_TM = codes_of(70)
    with torch.no_grad():
        wanted = prior(torch.from_numpy(codes_TM)[None])[0].softmax(-1).numpy()
    found = whole_frequencies(ExactPrior(whole_prior(prior)), codes_TM)
    np.testing.assert_allclose(found / found.sum(-1, keepdims=True), wanted, atol=0.01)
    assert wanted.max() > 0.3  # it has opinions


def whole_frequencies(prior: ExactPrior, codes_TM: np.ndarray) -> np.ndarray:
    """Of all frames, in two calls: the first frame, and all others at once."""
    heard = Heard()
    first = prior.frequencies(None, codes_TM.shape[1], heard)
    return np.concatenate([first, prior.frequencies(codes_TM[:-1], codes_TM.shape[1], heard)])


@pytest.mark.parametrize("context", [5, 256])
def test_one_by_one_is_all_at_once(context: int) -> None:
    """To the last bit, which is the whole point; the float network does not manage it."""
    network, codes_TM = make_prior(1, context), codes_of(40, 3)
    prior = ExactPrior(whole_prior(network))
    heard, single = Heard(), []
    for t in range(40):
        single.append(prior.frequencies(codes_TM[t - 1 : t] if t else None, 3, heard))
    np.testing.assert_array_equal(np.concatenate(single), whole_frequencies(prior, codes_TM))


def test_every_code_can_be_said_and_the_future_does_not_matter(exact_prior: ExactPrior) -> None:
    codes_TM = codes_of(30)
    other_TM = codes_TM.copy()
    other_TM[20:] = 0
    one, two = whole_frequencies(exact_prior, codes_TM), whole_frequencies(exact_prior, other_TM)
    assert one.min() >= 1 and one.max() <= 65_537
    np.testing.assert_array_equal(one[:21], two[:21])
    assert (one[21:] != two[21:]).any()


@pytest.mark.parametrize(("frames", "codebooks"), [(1, 4), (64, 1), (65, 4), (150, 2)])
def test_codes_come_back(exact_prior: ExactPrior, frames: int, codebooks: int) -> None:
    codes_TM = codes_of(frames, codebooks)
    coder = Encoder()
    exact_prior.encode(coder, codes_TM)
    exact_prior.encode(coder, codes_TM[::-1])
    back = Decoder(coder.finish())
    np.testing.assert_array_equal(exact_prior.decode(back, frames, codebooks), codes_TM)
    np.testing.assert_array_equal(exact_prior.decode(back, frames, codebooks), codes_TM[::-1])
    assert back.finished()


def test_the_stream_is_as_short_as_the_prior_promises(exact_prior: ExactPrior) -> None:
    codes_TM = codes_of(100)
    frequency = whole_frequencies(exact_prior, codes_TM)
    chosen = np.take_along_axis(frequency, codes_TM[..., None], -1)[..., 0]
    coder = Encoder()
    exact_prior.encode(coder, codes_TM)
    assert 8 * len(coder.finish()) == pytest.approx(-np.log2(chosen / frequency.sum(-1)).sum(), abs=16)


@pytest.mark.parametrize("samples", [0, 1, 480, 481, 47_999, 48_000, 48_001, 95_520, 95_521, 200_000])
def test_chunks_cover_a_sound_and_join_to_it(samples: int) -> None:
    places = chunks.spans(samples, 48_000)
    assert len(places) == (max(1, -(-(samples - 480) // 47_520)) if samples else 0)
    audio_CN = sound(samples)
    joined = chunks.join([audio_CN[:, a:b] for a, b in places], samples, 2, 48_000)
    np.testing.assert_allclose(joined, audio_CN, atol=1e-6)
    assert all(b - a > 480 for a, b in places[1:])


def test_levels_are_told_to_a_quarter_of_a_decibel() -> None:
    for level in (1.0, 0.3, 1e-3, 1e-6):
        audio_CN = np.full((2, 100), level, np.float32)
        assert abs(20 * np.log10(chunks.level_of(chunks.level_steps(audio_CN)) / level)) <= 0.2501
    assert chunks.level_steps(np.zeros((1, 5), np.float32)) == 255


@pytest.mark.parametrize("with_prior", [False, True])
@pytest.mark.parametrize(("channels", "samples"), [(1, 0), (1, 1), (2, 48_000), (2, 60_001), (1, 50_000)])
def test_streams(model: ConvCodec, exact_prior: ExactPrior, channels: int, samples: int, with_prior: bool) -> None:
    codec = EncodecOurs(model, exact_prior if with_prior else None)
    for point in codec.points():
        decoded_CN = codec.decode(codec.encode(sound(samples, channels), point.kbps))
        assert decoded_CN.shape == (channels, samples) and np.isfinite(decoded_CN).all()


def test_prior_or_not_the_sound_is_the_same(model: ConvCodec) -> None:
    """A prior that knows what is coming shortens the stream, and one that does not is left out."""
    audio_CN = sound(48_000)
    plain = EncodecOurs(model)
    kbps = plain.points()[-1].kbps
    stream = plain.encode(audio_CN, kbps)
    level = chunks.level_of(chunks.level_steps(audio_CN))
    codes = model.encode(torch.from_numpy(audio_CN / np.float32(level))[None], 4)[0].clone()
    torch.manual_seed(0)
    prior = CodePrior(SIZES)
    optimizer = torch.optim.Adam(prior.parameters(), lr=3e-2)
    for _ in range(60):
        optimizer.zero_grad()
        prior.bits(codes[None]).backward()
        optimizer.step()
    knowing = EncodecOurs(model, ExactPrior(whole_prior(prior)))
    shorter = knowing.encode(audio_CN, kbps)
    assert len(shorter) < 0.95 * len(stream)
    assert unpack(shorter, 33, NAME)[1][0] == FORETOLD
    np.testing.assert_array_equal(knowing.decode(shorter), plain.decode(stream))
    wrong = make_prior()
    with torch.no_grad():
        for head in wrong.heads:
            head.weight.mul_(9)
    unhelped = EncodecOurs(model, ExactPrior(whole_prior(wrong))).encode(audio_CN, kbps)
    assert unpack(unhelped, 33, NAME)[1][0] == PLAIN and unhelped == stream
    with pytest.raises(SpressoError):
        plain.decode(shorter)


def test_damage_is_one_clear_error(model: ConvCodec, exact_prior: ExactPrior) -> None:
    codec = EncodecOurs(model, exact_prior)
    stream = codec.encode(sound(30_000), 12)
    damaged = bytearray(stream)
    damaged[len(stream) // 2] ^= 4
    for bad in (b"", stream[:-1], stream[:9], stream + b"\0", bytes(damaged)):
        with pytest.raises(SpressoError) as caught:
            codec.decode(bad)
        assert caught.value.code == "rival_stream_bad"


def test_weights_and_prior_come_back_from_their_folder(model: ConvCodec, tmp_path: Path) -> None:
    save_model(tmp_path, NAME, model, whole_prior(make_prior()))
    codec = EncodecOurs.load(tmp_path)
    assert codec.prior is not None and codec.prior.cfg == SIZES
    assert codec.decode(codec.encode(sound(20_000), 3)).shape == (2, 20_000)
    save_model(tmp_path, NAME, model)
    assert EncodecOurs.load(tmp_path).prior is None


def test_small_has_the_published_geometry() -> None:
    cfg = PRESETS["small"]
    assert cfg.sample_rate / cfg.hop == 150
    assert [cfg.kbps(count) for count in cfg.offered] == [1.5, 3, 6, 12]
    assert sum(t.numel() for t in ConvCodec(cfg).state_dict().values()) < 4.5e6
