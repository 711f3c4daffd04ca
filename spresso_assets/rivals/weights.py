"""Weights of our own rivals: a folder with config.json and weights.safetensors. No pickle, no code in it.

Float tensors are stored as float16 and come back as float32; integers, which decide bits, are stored as they are.
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from spresso_assets.errors import ExitCode, SpressoError

CONFIG, WEIGHTS = "config.json", "weights.safetensors"

T = TypeVar("T")


def save_weights(folder: Path, system: str, config: Any, tensors: dict[str, Tensor]) -> None:
    """Write a bundle: sizes (a dataclass) and tensors of a system. The config comes last, and says that it is whole."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / CONFIG).unlink(missing_ok=True)
    slim = {k: (t.half() if t.is_floating_point() else t).contiguous().cpu() for k, t in tensors.items()}
    save_file(slim, folder / WEIGHTS)
    text = json.dumps({"system": system, "config": dataclasses.asdict(config)}, indent=2)
    temporary = (folder / CONFIG).with_suffix(".tmp")
    temporary.write_text(text + "\n", encoding="utf-8")
    temporary.replace(folder / CONFIG)


def load_weights(folder: Path, system: str, kind: type[T]) -> tuple[T, dict[str, Tensor]]:
    """Sizes and tensors that `save_weights` wrote.

    Raises:
        SpressoError: ``rival_missing`` if the folder holds no bundle of this system, or a damaged one.
    """
    try:
        stored = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        if stored["system"] != system:
            raise ValueError(f"it is a bundle of '{stored['system']}'")
        fields = {k: tuple(v) if isinstance(v, list) else v for k, v in stored["config"].items()}
        config = kind(**fields)
        with safe_open(folder / WEIGHTS, "pt") as file:
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        raise SpressoError(
            f"{folder} holds no weights of '{system}': {error}",
            code="rival_missing",
            hint=f"Train some with 'spresso train rival {system}', then --weights {system}=FOLDER.",
            exit_code=ExitCode.MODEL_MISSING,
        ) from error
    return config, {k: t.float() if t.dtype == torch.float16 else t for k, t in tensors.items()}


def fill(module: torch.nn.Module, tensors: dict[str, Tensor], prefix: str, folder: Path, system: str) -> None:
    """Load the tensors named ``prefix...`` into a module.

    Raises:
        SpressoError: ``rival_missing`` if they are not those of such a module.
    """
    state = {k[len(prefix) :]: t for k, t in tensors.items() if k.startswith(prefix)}
    try:
        module.load_state_dict(state)
    except RuntimeError as error:
        raise SpressoError(
            f"{folder}: weights and sizes of '{system}' do not go together",
            code="rival_missing",
            hint="Make the bundle again with 'spresso train rival bundle'.",
            exit_code=ExitCode.MODEL_MISSING,
        ) from error
