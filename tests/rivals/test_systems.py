"""Other people's codecs behind one interface: real encoders where they are, small stand-ins where they are not."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from spresso_assets.errors import SpressoError
from spresso_assets.rivals import ogg_packets
from spresso_assets.rivals.adapters import Music2Latent, SemantiCodec, StableAudio
from spresso_assets.rivals.classic import FORMATS, Classic
from spresso_assets.rivals.codes import pack_codes, unpack_codes
from spresso_assets.rivals.interface import Codec, Head, pack, unpack
from spresso_assets.rivals.registry import SYSTEMS, open_systems

LYRA = Path(__file__).resolve().parents[3] / "shared" / "models" / "lyra"
RATE = 48_000


def a_sound(channels: int, samples: int, rate: int = RATE, seed: int = 0) -> np.ndarray:
    """Bursts of a falling tone over quiet noise, another phase in each channel."""
    rng = np.random.default_rng(seed)
    t = np.arange(samples) / rate
    tone = np.stack([np.sin(2 * np.pi * (900 * t - 200 * t**2) + k) for k in range(channels)])
    sound = 0.3 * np.exp(-6 * (t % 0.5)) * tone + 0.003 * rng.standard_normal((channels, samples))
    return sound.astype(np.float32)


def snr_db(wanted: np.ndarray, got: np.ndarray) -> float:
    return float(10 * np.log10(np.sum(wanted**2) / np.sum((wanted - got) ** 2)))


def tiny_encodec(rate: int) -> Codec:
    transformers = pytest.importorskip("transformers")
    import torch

    from spresso_assets.rivals.encodec import PUBLISHED_48K, EnCodec

    torch.manual_seed(0)
    tiny = {"num_filters": 4, "hidden_size": 16, "codebook_size": 16, "codebook_dim": 16}
    whole = {**PUBLISHED_48K, **tiny, "target_bandwidths": [1.2, 2.4]} if rate == 48_000 else tiny
    bandwidths = {"target_bandwidths": [1.2, 2.4] if rate == 48_000 else [0.6, 1.2]}
    return EnCodec.untrained(transformers.EncodecConfig(**{**whole, **bandwidths}))


def tiny_dac() -> Codec:
    transformers = pytest.importorskip("transformers")
    import torch

    from spresso_assets.rivals.dac import PUBLISHED_44K, Dac

    torch.manual_seed(0)
    tiny = {"encoder_hidden_size": 8, "decoder_hidden_size": 32, "codebook_size": 16, "codebook_dim": 4}
    return Dac.untrained(transformers.DacConfig(**{**PUBLISHED_44K, **tiny, "n_codebooks": 3}))


class TokenEngine:
    """Stands for SemantiCodec's package: tokens that say how loud each 10 ms are."""

    def __init__(self, rate: int) -> None:
        self.hop = 16_000 * 2 // rate

    def encode(self, path: str) -> Any:
        import torch

        audio, _ = soundfile.read(path)
        audio = np.pad(audio, (0, -len(audio) % self.hop)).reshape(-1, self.hop)
        loud = np.minimum(16_383, np.abs(audio).mean(1) * 16_383).astype(np.int64)
        return torch.from_numpy(np.stack([loud, loud // 2], 1))[None]

    def decode(self, tokens: Any) -> Any:
        return np.repeat(tokens[0, :, 0].numpy() / 16_383, self.hop)[None, None]


def semanticodec() -> Codec:
    return SemantiCodec({rate: TokenEngine(rate) for rate in (100, 25, 50)})


def stable_audio() -> Codec:
    import torch

    class Model:
        def encode(self, audio: Any) -> Any:
            z = audio.reshape(1, 2, -1, 2048).mean(3)
            return SimpleNamespace(latent_dist=SimpleNamespace(mode=lambda: z))

        def decode(self, z: Any) -> Any:
            return SimpleNamespace(sample=torch.repeat_interleave(z, 2048, 2))

    return StableAudio(Model())


def music2latent() -> Codec:
    import torch

    class Engine:
        def encode(self, audio: np.ndarray) -> Any:
            padded = np.pad(audio, ((0, 0), (0, -audio.shape[1] % 4096)))
            return torch.from_numpy(padded.reshape(len(audio), 1, -1, 4096).mean(3))

        def decode(self, z: Any) -> Any:
            return torch.repeat_interleave(z[:, 0], 4096, 1)

    return Music2Latent(Engine())


def lyra() -> Codec:
    pytest.importorskip("ai_edge_litert")
    if not LYRA.is_dir():
        pytest.skip("Lyra's networks are not here")
    return open_systems(["lyra"], {"lyra": LYRA})[0]


MAKERS: dict[str, Callable[[], Codec]] = {
    **{name: (lambda name=name: Classic(name)) for name in FORMATS},  # type: ignore[misc]
    "lyra": lyra,
    "encodec 48 kHz": lambda: tiny_encodec(48_000),
    "encodec 24 kHz": lambda: tiny_encodec(24_000),
    "dac": tiny_dac,
    "semanticodec": semanticodec,
    "stable-audio": stable_audio,
    "music2latent": music2latent,
}


@pytest.fixture(params=MAKERS, scope="module")
def codec(request: pytest.FixtureRequest) -> Codec:
    return MAKERS[request.param]()


def test_every_length_comes_back_at_every_point(codec: Codec) -> None:
    rates = [point.kbps for point in codec.points()]
    assert rates == sorted(rates) and len(set(rates)) == len(rates)
    for samples in (0, 1, 479, 961, codec.sample_rate, 2 * codec.sample_rate - 3):
        for channels in codec.channels:
            audio = a_sound(channels, samples, codec.sample_rate)
            for kbps in rates[:1] if samples > 1000 else rates:
                data = codec.encode(audio, kbps)
                decoded = codec.decode(data)
                assert decoded.shape == audio.shape and decoded.dtype == np.float32
                assert data == codec.encode(audio, kbps), "the same sound gives the same bytes"


def test_damaged_cut_and_foreign_streams_are_one_clear_error(codec: Codec) -> None:
    audio = a_sound(codec.channels[0], codec.sample_rate // 2, codec.sample_rate)
    data = codec.encode(audio, codec.points()[0].kbps)
    rng = np.random.default_rng(1)
    foreign = pack(99, Head(100, 1, 0), b"nothing")
    wrong_point = pack(data[2], Head(audio.shape[1], codec.channels[0], 200), data[9:-2])
    short = pack(data[2], Head(audio.shape[1], codec.channels[0], 0), b"")
    bad = [b"", b"RV", b"RIFFxxxxWAVE", foreign, wrong_point, short, data[:-1], data[: len(data) // 2], data + b"\0"]
    for _ in range(20):
        flipped = bytearray(data)
        flipped[int(rng.integers(len(data)))] ^= 1 << int(rng.integers(8))
        bad.append(bytes(flipped))
    for stream in bad:
        with pytest.raises(SpressoError) as caught:
            codec.decode(stream)
        assert caught.value.code == "rival_stream_bad" and caught.value.hint


@pytest.mark.parametrize(
    ("name", "kbps", "least_db"), [("opus", 48, 10), ("mp3", 128, 20), ("vorbis", 96, 20), ("flac", 400, 60)]
)
def test_what_is_decoded_is_the_sound_and_in_time(name: str, kbps: float, least_db: float) -> None:
    for channels in (1, 2):
        audio = a_sound(channels, RATE)
        assert snr_db(audio, Classic(name).decode(Classic(name).encode(audio, kbps))) > least_db


@pytest.mark.parametrize("kbps", [6, 12, 24, 48])
def test_opus_takes_about_its_nominal_rate_without_its_container(kbps: float) -> None:
    codec = Classic("opus")
    rate = len(codec.encode(0.3 * np.random.default_rng(0).standard_normal((1, 5 * RATE)).astype(np.float32), kbps))
    assert 0.7 * kbps < rate * 8 / 5 / 1000 < 1.1 * kbps


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("samples", [1, 959, 20 * RATE + 17])
def test_ogg_packets_sound_as_they_did_in_their_file(channels: int, samples: int) -> None:
    file = io.BytesIO()
    audio = a_sound(channels, samples)
    soundfile.write(file, audio.T, RATE, format="OGG", subtype="OPUS", compression_level=0.98)
    packets, pre_skip = ogg_packets.packets_of(file.getvalue())
    assert ogg_packets.split(ogg_packets.join(packets, pre_skip)) == (packets, pre_skip)
    again = ogg_packets.ogg_of(packets, pre_skip, channels, samples)
    ours, _ = soundfile.read(io.BytesIO(again), always_2d=True)
    theirs, _ = soundfile.read(io.BytesIO(file.getvalue()), always_2d=True)
    assert np.array_equal(ours, theirs)


@pytest.mark.corpus
def test_lyra_says_more_at_a_higher_rate() -> None:
    codec = lyra()
    audio = a_sound(1, 3 * 16_000, 16_000)
    distances = []
    for point in codec.points():
        data = codec.encode(audio, point.kbps)
        assert abs(len(data) * 8 / 3 / 1000 - point.kbps) < 0.05
        spectra = [np.log(np.abs(np.fft.rfft(x[0].reshape(-1, 400) * np.hanning(400))) + 1e-2)
                   for x in (audio, codec.decode(data))]  # fmt: skip
        distances.append(float(np.abs(spectra[0] - spectra[1]).mean()))
    assert distances[0] > distances[1] > distances[2]


def test_encodec_and_dac_decode_what_the_model_itself_would() -> None:
    import torch

    for codec in (tiny_encodec(48_000), tiny_encodec(24_000)):
        model = codec._model  # type: ignore[attr-defined]
        audio = a_sound(codec.channels[0], 3 * codec.sample_rate + 11, codec.sample_rate)
        kbps = codec.points()[-1].kbps
        heard = torch.from_numpy(audio)[None]
        with torch.inference_mode():
            wanted = model(heard, torch.ones_like(heard).bool(), bandwidth=kbps).audio_values[0].numpy()
        got = codec.decode(codec.encode(audio, kbps))
        assert np.abs(got - wanted[:, : audio.shape[1]]).max() < 2e-3, "levels are kept in 16 bits"
    dac = tiny_dac()
    audio = a_sound(1, 512 * 40, 44_100)
    with torch.inference_mode():
        wanted = dac._model(torch.from_numpy(audio)[None]).audio_values.numpy()  # type: ignore[attr-defined]
    got = dac.decode(dac.encode(audio, dac.points()[-1].kbps))
    assert np.allclose(got[0], np.pad(wanted[0], (0, 512))[: got.shape[1]], atol=1e-5)


@given(st.integers(1, 14), st.lists(st.integers(0, 2**14 - 1), max_size=50))
def test_codes_come_back(bits: int, values: list[int]) -> None:
    codes = np.array(values, np.int64) % (1 << bits)
    packed = pack_codes(codes, bits)
    assert len(packed) == -(-len(values) * bits // 8)
    assert unpack_codes(packed, codes.shape, bits, "x").tolist() == codes.tolist()


@settings(max_examples=200)
@given(st.binary(max_size=64))
def test_no_bytes_crash_the_frame(data: bytes) -> None:
    try:
        head, body = unpack(data, 1, "x")
    except SpressoError as error:
        assert error.code == "rival_stream_bad"
    else:
        assert pack(1, head, body) == data


def test_what_is_missing_is_named_with_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("spresso_assets.rivals.registry.TRAINED", tmp_path / "not installed")

    def fault(names: list[str], weights: dict[str, Path]) -> SpressoError:
        with pytest.raises(SpressoError) as caught:
            open_systems(names, weights)
        return caught.value

    assert fault(["opsu"], {}).code == "unknown_system" and "opus" in fault(["opsu"], {}).hint
    assert fault(["opus"], {"lyar": tmp_path}).code == "unknown_system"
    for name, system in SYSTEMS.items():
        if system.needs_weights:
            assert fault([name], {}).code == "rival_missing" and f"{name}=FOLDER" in fault([name], {}).hint
            empty = fault([name], {name: tmp_path})
            assert empty.code == "rival_missing" and empty.hint, name
    assert [system.name for system in open_systems(["flac", "opus"], {})] == ["flac", "opus"]


@pytest.mark.parametrize("name", ["soundstream", "encodec-ours", "spectrogram"])
def test_a_checkout_has_small_weights_of_our_own(name: str) -> None:
    (codec,) = open_systems([name], {})
    audio_CN = a_sound(codec.channels[-1], codec.sample_rate // 2, codec.sample_rate)
    lowest = codec.points()[0]
    data = codec.encode(audio_CN, lowest.kbps)
    assert len(data) * 8 / 0.5 / 1000 < 1.2 * lowest.kbps + 0.5
    decoded_CN = codec.decode(data)
    assert decoded_CN.shape == audio_CN.shape
    loud, quiet = (codec.decode(codec.encode(gain * audio_CN, lowest.kbps)) for gain in (1.0, 0.1))
    assert 5 < np.abs(loud).max() / np.abs(quiet).max() < 20  # neither silence nor a noise of its own


def test_weights_of_our_own_are_small_and_no_part_of_the_package() -> None:
    from spresso_assets.rivals.registry import TRAINED, fingerprint

    files = [path for path in TRAINED.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) <= 20_000_000
    assert '"/spresso_assets/models/rivals"' in (TRAINED.parents[2] / "pyproject.toml").read_text()
    assert len({fingerprint(TRAINED / name) for name in ("soundstream", "encodec-ours", "spectrogram")}) == 3


def test_systems_of_random_weights_have_one_point_and_are_marked() -> None:
    pytest.importorskip("transformers")
    from spresso_assets.rivals.untrained import Untrained

    system = Untrained(tiny_dac(), 1.0)
    (point,) = system.points()
    assert system.untrained and system.name == "dac-untrained" and point.name.endswith("untrained")
    audio_CN = a_sound(1, 8000, 44_100)
    assert system.decode(system.encode(audio_CN, point.kbps)).shape == audio_CN.shape
