"""Embedders from local files: their parts against a second implementation, and clear errors where they are missing."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from spresso_assets.errors import SpressoError
from spresso_assets.evaluation import vggish
from spresso_assets.evaluation.embedders import (
    EMBEDDERS,
    HandMade,
    YamNet,
    open_embedder,
    standardised,
    whitened,
    windows,
)
from spresso_assets.evaluation.embedding import DIMENSIONS
from tests.conftest import REPO

YAMNET = REPO.parent / "shared" / "models" / "yamnet.tflite"


def tone(hz: float, seconds: float, rate: int = 48_000) -> np.ndarray:
    return (0.3 * np.sin(2 * np.pi * hz * np.arange(round(seconds * rate)) / rate)).astype(np.float32)


def test_windows_are_whole_and_there_is_always_one() -> None:
    assert windows(tone(440, 0.1), 16_000, 15_600, 7_800).shape == (1, 15_600)
    found = windows(tone(440, 5.0), 16_000, 15_600, 7_800)
    assert found.shape == (9, 15_600)
    assert found[1][1000:2000] == pytest.approx(tone(440, 1.0, 16_000)[8800:9800], abs=2e-3)


@pytest.fixture(scope="module")
def yamnet() -> YamNet:
    if not YAMNET.is_file() or importlib.util.find_spec("ai_edge_litert") is None:
        pytest.skip("needs yamnet.tflite beside the checkout, and ai-edge-litert")
    return YamNet(YAMNET)


def test_yamnet_gives_what_its_own_last_layer_sees(yamnet: YamNet) -> None:
    """The last layer, computed here from the embedding, gives the scores that the network itself gives."""
    net = yamnet._net
    by_name = {t["name"]: t for t in net.get_tensor_details()}
    weights = by_name["yamnet_frames/dense/MatMul"]
    scale = weights["quantization_parameters"]["scales"]
    zero = weights["quantization_parameters"]["zero_points"]
    matrix = (net.get_tensor(weights["index"]).astype(np.float64) - zero[:, None]) * scale[:, None]
    bias = net.get_tensor(by_name["yamnet_frames/dense/BiasAdd/ReadVariableOp/resource"]["index"])
    rng = np.random.default_rng(0)
    for sound in (tone(440, 0.975, 16_000), (0.1 * rng.standard_normal(15_600)).astype(np.float32)):
        vector, scores = yamnet.look(sound)
        assert vector.shape == (1024,) and vector.std() > 0
        # Its weights are stored in 8 bits, and the interpreter may round the input of the layer to 8 bits too.
        assert 1 / (1 + np.exp(-(matrix @ vector + bias))) == pytest.approx(scores, abs=0.03)


def test_yamnet_tells_noise_from_a_tone(yamnet: YamNet) -> None:
    rng = np.random.default_rng(0)
    noises = [yamnet((0.1 * rng.standard_normal(96_000)).astype(np.float32)).mean(0) for _ in range(2)]
    whistle = yamnet(tone(1000, 2.0)).mean(0)

    def cosine(a: np.ndarray, b: np.ndarray) -> float:
        return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))

    assert cosine(*noises) > 0.95 > cosine(noises[0], whistle)


def test_vggish_front_end_has_its_filters_and_patches(tmp_path: Path) -> None:
    weights = vggish.mel_weights()
    assert weights.shape == (257, 64) and weights.max() <= 1
    hz = np.arange(257) * 31.25
    assert not weights[(hz <= 125) | (hz >= 7500)].any()
    peaks = hz[weights.argmax(0)]
    assert np.all(np.diff(peaks) >= 0) and peaks[0] < 200 and peaks[-1] > 7000
    patch = vggish.log_mel(tone(1000, 0.975, 16_000))
    assert patch.shape == (96, 64)
    assert abs(peaks[patch.mean(0).argmax()] - 1000) < 60
    assert vggish.log_mel(np.zeros(15_600, np.float32)) == pytest.approx(np.log(0.01))


def test_vggish_runs_from_a_file_and_keeps_the_order_of_channels(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = vggish.layers()
    file = tmp_path / "vggish.safetensors"
    save_file({name: tensor.contiguous() for name, tensor in network.state_dict().items()}, file)
    embedder = open_embedder("vggish", file)
    x = (0.1 * np.random.default_rng(0).standard_normal(5 * 48_000)).astype(np.float32)
    found = embedder(x)
    assert found.shape == (5, 128)
    patch = torch.from_numpy(vggish.log_mel(windows(x, 16_000, vggish.PATCH, 15_360)[0]))
    with torch.inference_mode():
        maps = network.features(patch[None, None])[0]  # [512, 6, 4]
        flat = torch.stack([maps[c, t, m] for t in range(6) for m in range(4) for c in range(512)])
        assert found[0] == pytest.approx(network.embeddings(flat).double().numpy(), abs=1e-5)


def test_clap_runs_from_a_folder_with_a_window_every_second(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")
    audio = {"depths": [1, 1], "num_attention_heads": [2, 2], "patch_embeds_hidden_size": 16, "hidden_size": 32}
    text = {
        "vocab_size": 50,
        "hidden_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "intermediate_size": 16,
    }
    torch.manual_seed(0)
    config = transformers.ClapConfig(text_config=text, audio_config=audio, projection_dim=24)
    transformers.ClapModel(config).save_pretrained(tmp_path)
    # As the public checkpoint without fusion of long sounds.
    transformers.ClapFeatureExtractor(truncation="rand_trunc").save_pretrained(tmp_path)
    embedder = open_embedder("clap", tmp_path)
    noise = (0.1 * np.random.default_rng(0).standard_normal(12 * 48_000)).astype(np.float32)
    found = embedder(noise)
    assert found.shape == (3, 24) == (3, embedder.width) and np.isfinite(found).all()
    assert found[1] == pytest.approx(embedder(noise[48_000 : 11 * 48_000])[0], abs=1e-5)


def test_a_missing_or_foreign_embedder_is_one_clear_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    foreign = tmp_path / "foreign"
    foreign.write_bytes(b"no weights at all")
    (tmp_path / "config.json").write_text("{}")

    def code(name: str, path: Path | None) -> str:
        with pytest.raises(SpressoError) as caught:
            open_embedder(name, path)
        assert caught.value.hint
        return caught.value.code

    assert code("resnet", None) == "unknown_embedder"
    for name in EMBEDDERS[1:]:
        assert code(name, None) == "embedder_missing"
        assert code(name, tmp_path / "nowhere") == "embedder_missing"
    assert code("vggish", foreign) == "embedder_bad"
    if importlib.util.find_spec("ai_edge_litert") is not None:
        assert code("yamnet", foreign) == "embedder_bad"
    monkeypatch.setitem(sys.modules, "ai_edge_litert.interpreter", None)
    monkeypatch.setitem(sys.modules, "transformers", None)
    assert code("yamnet", foreign) == "embedder_missing"
    assert code("clap", tmp_path) == "embedder_missing"


def test_the_hand_made_one_is_whitened_by_its_reference() -> None:
    rng = np.random.default_rng(0)
    reference = np.concatenate([HandMade()((0.1 * rng.standard_normal(96_000)).astype(np.float32)) for _ in range(8)])
    assert reference.shape == (24, DIMENSIONS)
    decoded, round_ = whitened(HandMade(), reference + 1, reference)
    assert round_.mean(0) == pytest.approx(0, abs=1e-6) and decoded.shape == round_.shape == (24, 6)
    assert standardised(HandMade(), reference + 1, reference)[0].shape == (24, DIMENSIONS)
