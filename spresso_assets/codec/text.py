"""Captions -> text embeddings, one vector per sound, which may condition the denoiser (S-PRESSO, section 4.2.1).

The codec needs no text: a sound without a caption gets a learned null token. What stands for "no caption" is a row that
is not finite, so that a batch may hold both.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from spresso_assets.errors import ExitCode, FaultKind, SpressoError

TEXT_DIM = 512  # of CLAP's joint space
BATCH = 32


class TextConditioner(Protocol):
    """What turns captions into embeddings."""

    dim: int

    def encode(self, captions: Sequence[str]) -> Tensor:
        """Captions -> float32 [B, dim]; NaN in the rows of empty captions, which the denoiser replaces."""


class NullText:
    """No text at all: every sound gets the learned null token."""

    dim = TEXT_DIM

    def encode(self, captions: Sequence[str]) -> Tensor:
        return torch.full((len(captions), self.dim), torch.nan)


class ClapText:
    """The text tower of a CLAP model with its projection (Wu et al. 2023), from a folder on this machine.

    Nothing is fetched and nothing is executed that the folder brings: configuration and tokenizer are JSON, weights are
    safetensors. Embeddings have unit length, as CLAP compares them.

    Args:
        folder: as `save_pretrained` of transformers writes it: config.json, model.safetensors, tokenizer files.

    Raises:
        SpressoError: ``text_extra_missing``, ``text_model_missing``, ``text_model_unsafe``, ``text_model_corrupt``.
    """

    def __init__(self, folder: Path, device: str = "cpu") -> None:
        _check_folder(folder)
        transformers = _transformers()
        try:
            self._tokenizer: Any = transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True)
            self._tower: Any = transformers.ClapTextModelWithProjection.from_pretrained(
                folder, local_files_only=True, use_safetensors=True
            )
        except Exception as e:  # transformers, tokenizers and safetensors each raise their own
            raise _fault(
                f"{folder.name} is no CLAP text model that can be read: {str(e).splitlines()[0] if str(e) else e!r}",
                "text_model_corrupt",
                "It needs the files that 'save_pretrained' of a ClapModel and its tokenizer write.",
            ) from e
        self._tower = self._tower.eval().to(device)
        self._device = device
        config = self._tower.config
        self.dim = int(config.projection_dim)
        # RoBERTa counts positions from behind the padding index.
        self._tokens = int(config.max_position_embeddings) - int(config.pad_token_id or 0) - 1

    @torch.inference_mode()
    def encode(self, captions: Sequence[str]) -> Tensor:
        """See `TextConditioner.encode`; captions longer than the tower can read are cut."""
        result_BE = torch.full((len(captions), self.dim), torch.nan)
        given = [i for i, caption in enumerate(captions) if caption.strip()]
        for at in range(0, len(given), BATCH):
            chosen = given[at : at + BATCH]
            tokens = self._tokenizer(
                [captions[i] for i in chosen],
                padding=True,
                truncation=True,
                max_length=self._tokens,
                return_tensors="pt",
            )
            embedded_BE = self._tower(
                input_ids=tokens["input_ids"].to(self._device), attention_mask=tokens["attention_mask"].to(self._device)
            ).text_embeds
            result_BE[chosen] = torch.nn.functional.normalize(embedded_BE.float(), dim=-1).cpu()
        return result_BE


def _check_folder(folder: Path) -> None:
    if not (folder / "config.json").is_file():
        raise _fault(
            f"there is no text model in {folder}",
            "text_model_missing",
            "Name the folder of a CLAP model on this machine; none is downloaded.",
        )
    if any(folder.glob("*.safetensors")):
        return
    if any(p for pattern in ("*.bin", "*.pt", "*.pth", "*.ckpt") for p in folder.glob(pattern)):
        raise _fault(
            f"the weights in {folder.name} are pickle files, which can run code when they are opened",
            "text_model_unsafe",
            "Convert them to safetensors where you trust them, and name that folder.",
        )
    raise _fault(f"{folder.name} holds no weights", "text_model_missing", "It needs model.safetensors.")


def _transformers() -> Any:
    try:
        import transformers
    except ImportError as e:
        raise _fault(
            "text needs the package transformers",
            "text_extra_missing",
            "Install it with: pip install 'spresso-assets[text]'.",
        ) from e
    return transformers


def _fault(message: str, code: str, hint: str) -> SpressoError:
    return SpressoError(message, code=code, hint=hint, exit_code=ExitCode.MODEL_MISSING, kind=FaultKind.ENVIRONMENT)
