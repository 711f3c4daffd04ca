"""The few-step student: low-rank updates that let the denoiser cross in a few evaluations what takes its solver many.

A student is the denoiser with one more (or another) LoRA on its audio stream, so it costs a bundle a few per cent of
its size. At each of its noise levels it answers not with the expected clean latents but with the ones that the solver's
long step to the next level needs to land where its short steps would have come to (progressive distillation, Salimans &
Ho 2022).
"""

from __future__ import annotations

import dataclasses

from torch import Tensor

from spresso_assets.codec.transformer import Transformer

UPDATES = "lora."


def student_of(teacher: Transformer, rank: int) -> Transformer:
    """A copy of the denoiser with low-rank updates to train: its own where it has any, else new ones of ``rank``.

    It equals its teacher until trained.
    """
    cfg = dataclasses.replace(teacher.cfg, lora_rank=teacher.cfg.lora_rank or rank)
    student = Transformer(cfg, teacher.sigma_data)
    fresh = {k: v for k, v in student.state_dict().items() if k.startswith(UPDATES)}
    student.load_state_dict({**fresh, **teacher.state_dict()})
    return student.to(teacher.head.weight.device)


def student_with(teacher: Transformer, updates: dict[str, Tensor]) -> Transformer:
    """The student that `updates_of` was taken from."""
    rank = next(len(v) for k, v in updates.items() if k.endswith("down_RI"))
    student = student_of(teacher, rank)
    student.load_state_dict({**student.state_dict(), **updates})
    return student


def trained_student(teacher: Transformer, updates: dict[str, Tensor]) -> Transformer:
    """The same, ready to decode: in eval mode, and with the updates folded in where all rates share them."""
    student = student_with(teacher, updates)
    if student.cfg.adapters == "shared":  # saves the products of the update in every evaluation
        folded = Transformer(dataclasses.replace(student.cfg, lora_rank=0), student.sigma_data)
        folded.load_state_dict(student.folded_state(student.cfg.rates[0]))
        student = folded.to(teacher.head.weight.device)
    return student.eval()


def updates_of(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The part of a student's state dict that its teacher lacks: what a bundle stores."""
    return {k: v for k, v in state.items() if k.startswith(UPDATES)}
