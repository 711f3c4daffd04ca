"""Checkpoints of a run: one safetensors file each (tensors plus a JSON header), replaced as a whole or not at all.

A checkpoint is written under a temporary name and renamed, so a reader finds the old one or the new one and never half
of either. Keys: ``model.<module>.<name>`` live state, ``ema.<module>.<name>`` averaged weights, ``opt.<kind>.<name>``
the optimiser's, ``kept.<who>.<name>`` what a stage asked to have kept.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from spresso_assets.errors import SpressoError

CHECKPOINT = "state.safetensors"
BEST = "best.safetensors"
AVERAGED = "averaged.safetensors"

_ADAM = ("step", "exp_avg", "exp_avg_sq")


def save_checkpoint(path: Path, tensors: dict[str, Tensor], header: dict[str, Any]) -> None:
    """Write atomically; ``header`` must be JSON-able."""
    temporary = path.with_suffix(".tmp")
    save_file({k: v.detach().contiguous() for k, v in tensors.items()}, temporary, {"header": json.dumps(header)})
    with temporary.open("rb") as f:
        os.fsync(f.fileno())
    temporary.replace(path)


def load_checkpoint(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors (on the CPU) and header.

    Raises:
        SpressoError: ``checkpoint_missing`` or ``checkpoint_corrupt``.
    """
    with _opened(path) as f:
        return {k: f.get_tensor(k) for k in f.keys()}, json.loads(f.metadata()["header"])  # noqa: SIM118


def load_header(path: Path) -> dict[str, Any]:
    """The header alone, without reading the tensors; raises as `load_checkpoint` does."""
    with _opened(path) as f:
        header: dict[str, Any] = json.loads(f.metadata()["header"])
        return header


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    if not path.exists():
        raise SpressoError(
            f"no checkpoint at {path}", code="checkpoint_missing", hint="Run the stage before this one first."
        )
    try:
        with safe_open(path, "pt") as f:
            yield f
    except Exception as e:  # safetensors raises a class of its own, and a cut file whatever its header breaks in
        raise SpressoError(f"{path.name} is not a readable checkpoint: {e}", code="checkpoint_corrupt") from e


def averaged_state(path: Path, module: str) -> dict[str, Tensor]:
    """State dict of ``module`` with averaged weights in place of live ones.

    ``path`` is a run's ``state.safetensors``. An ``averaged.safetensors`` beside it (``spresso train ema``) goes first.

    Raises:
        SpressoError: ``stale_average`` if that file was made from another state of the run; those of `load_checkpoint`.
    """
    tensors, header = load_checkpoint(path)
    chosen = path.with_name(AVERAGED)
    if chosen.exists():
        chosen_tensors, chosen_header = load_checkpoint(chosen)
        if chosen_header["step"] != header["step"]:
            raise SpressoError(
                f"{chosen} was made at step {chosen_header['step']}, but the run is at step {header['step']}",
                code="stale_average",
                hint="Run 'spresso train ema' again, or delete that file.",
            )
        return strip(chosen_tensors, f"model.{module}.")
    live, averaged = strip(tensors, f"model.{module}."), strip(tensors, f"ema.{module}.")
    return {name: averaged.get(name, value) for name, value in live.items()}


def strip(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The tensors whose names start with ``prefix``, without it."""
    return {k[len(prefix) :]: v for k, v in tensors.items() if k.startswith(prefix)}


def optimizer_tensors(optimizer: torch.optim.Optimizer, named: dict[str, nn.Parameter]) -> dict[str, Tensor]:
    """AdamW's moments and step counts as ``opt.<kind>.<name>``."""
    return {
        f"opt.{kind}.{name}": value
        for name, p in named.items()
        for kind, value in optimizer.state.get(p, {}).items()
        if kind in _ADAM
    }


def restore_optimizer(
    optimizer: torch.optim.Optimizer, named: dict[str, nn.Parameter], tensors: dict[str, Tensor]
) -> None:
    """Inverse of `optimizer_tensors`; a parameter that the file lacks starts with fresh moments."""
    for name, p in named.items():
        state = {k: tensors[f"opt.{k}.{name}"] for k in _ADAM if f"opt.{k}.{name}" in tensors}
        if state:
            optimizer.state[p] = {k: v.to(p.device) if k != "step" else v for k, v in state.items()}
