"""The CLAP text tower from a folder: real loading code on a tiny model with random weights, and clear refusals."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

from spresso_assets.codec.text import TEXT_DIM, ClapText, NullText
from spresso_assets.errors import ExitCode, SpressoError

WORDS = ["<s>", "<pad>", "</s>", "<unk>", "door", "slam", "rain", "heavy", "wooden"]


@pytest.fixture(scope="module")
def clap(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CLAP text model of a few thousand random weights, as `save_pretrained` writes it."""
    transformers = pytest.importorskip("transformers", reason="the extra 'text' is not installed")
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import Whitespace

    folder = tmp_path_factory.mktemp("clap")
    words = Tokenizer(WordLevel({w: i for i, w in enumerate(WORDS)}, unk_token="<unk>"))
    words.pre_tokenizer = Whitespace()
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=words, bos_token="<s>", pad_token="<pad>", eos_token="</s>", unk_token="<unk>"
    )
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    config = transformers.ClapTextConfig(
        vocab_size=len(WORDS),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        max_position_embeddings=12,
        projection_dim=TEXT_DIM,
    )
    transformers.ClapTextModelWithProjection(config).save_pretrained(folder)
    return folder


def test_captions_become_unit_vectors_and_none_stays_none(clap: Path) -> None:
    text = ClapText(clap)
    found_BE = text.encode(["door slam", "", "rain", " "])
    assert found_BE.shape == (4, TEXT_DIM) and found_BE.dtype == torch.float32 and text.dim == TEXT_DIM
    torch.testing.assert_close(found_BE[[0, 2]].norm(dim=1), torch.ones(2))
    assert found_BE[[1, 3]].isnan().all()
    assert not torch.allclose(found_BE[0], found_BE[2])


def test_a_caption_says_the_same_alone_and_among_longer_ones(clap: Path) -> None:
    """Padding is masked, and what the tower cannot hold is cut, not refused."""
    text = ClapText(clap)
    together_BE = text.encode(["rain", "heavy wooden door slam", "door " * 500])
    torch.testing.assert_close(text.encode(["rain"]), together_BE[:1], atol=1e-5, rtol=1e-5)
    assert together_BE.isfinite().all()
    assert text.encode([]).shape == (0, TEXT_DIM)


def test_null_text_has_no_embedding_for_anything() -> None:
    assert NullText().encode(["door", "rain"]).shape == (2, TEXT_DIM)
    assert NullText().encode(["door"]).isnan().all()


def _refused(folder: Path) -> SpressoError:
    with pytest.raises(SpressoError) as caught:
        ClapText(folder)
    assert caught.value.exit_code == ExitCode.MODEL_MISSING and caught.value.hint
    return caught.value


def test_a_folder_without_a_model_is_told(tmp_path: Path) -> None:
    assert _refused(tmp_path / "none").code == "text_model_missing"
    (tmp_path / "config.json").write_text("{}")
    assert _refused(tmp_path).code == "text_model_missing"


def test_pickled_weights_are_never_opened(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "pytorch_model.bin").write_bytes(b"cos\nsystem\n(S'exit 1'\ntR.")
    assert _refused(tmp_path).code == "text_model_unsafe"


def test_the_missing_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "model.safetensors").write_bytes(b"")
    monkeypatch.setitem(sys.modules, "transformers", None)
    error = _refused(tmp_path)
    assert error.code == "text_extra_missing" and "spresso-assets[text]" in error.hint


def test_broken_weights_are_told(clap: Path, tmp_path: Path) -> None:
    for file in clap.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / "model.safetensors").write_bytes(b"\x08\0\0\0\0\0\0\0{}")
    assert _refused(tmp_path).code == "text_model_corrupt"
