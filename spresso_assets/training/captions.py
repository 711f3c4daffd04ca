"""Captions of the training sounds as text embeddings, cached beside their latents and in the same order."""

from __future__ import annotations

import json
from pathlib import Path

import torch

from spresso_assets.codec.text import TextConditioner
from spresso_assets.errors import ExitCode, SpressoError
from spresso_assets.training.checkpoint import load_checkpoint, save_checkpoint


def read_captions(path: Path) -> dict[str, str]:
    """Caption by path below the folder of sounds, from JSON lines with ``path`` and ``caption``.

    Raises:
        SpressoError: ``bad_captions`` if the file cannot be read, or tells two things of one path.
    """
    result: dict[str, str] = {}
    try:
        for number, line in enumerate(path.read_text(encoding="utf-8", errors="surrogateescape").splitlines(), 1):
            record = json.loads(line)
            name, caption = str(record["path"]), str(record["caption"])
            if result.setdefault(name, caption) != caption:
                raise SpressoError(
                    f"{path.name}, line {number}: a second caption for {name}",
                    code="bad_captions",
                    hint="Write the captions of one root: 'spresso train captions --root NAME'.",
                    exit_code=ExitCode.USAGE,
                )
    except (OSError, ValueError, KeyError, TypeError) as e:
        raise SpressoError(
            f"{path.name} is no file of captions: {e!r}",
            code="bad_captions",
            hint='Each line is {"path": ..., "caption": ...}; \'spresso train captions\' writes it.',
            exit_code=ExitCode.USAGE,
        ) from e
    return result


def build_text_cache(data: Path, captions: dict[str, str], conditioner: TextConditioner) -> dict[str, float]:
    """Write ``text-<split>.safetensors`` beside the latents in ``data``; returns how many sounds have a caption."""
    report: dict[str, float] = {}
    for split in ("train", "val"):
        _, header = load_checkpoint(data / f"latents-{split}.safetensors")
        names: list[str] = header["names"]
        wanted = [captions.get(name.rsplit("@", 1)[0], "") for name in names]
        distinct = list(dict.fromkeys(wanted))
        row = {caption: i for i, caption in enumerate(distinct)}
        embedded_XE = conditioner.encode(distinct)
        text_IE = embedded_XE[torch.tensor([row[caption] for caption in wanted], dtype=torch.long)]
        save_checkpoint(data / f"text-{split}.safetensors", {"text": text_IE}, {"names": names})
        report[f"{split}_captions"] = float(text_IE.isfinite().all(1).sum())
    return report
