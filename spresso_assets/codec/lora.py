"""Low-rank adaptation of frozen linear layers (Hu et al. 2021): W x + (alpha / r) B A x with alpha = r."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


class LoRALinear(nn.Module):
    """A frozen linear layer plus a trainable rank-r update; B starts at zero, so step 0 equals the base."""

    def __init__(self, base: nn.Linear, rank: int) -> None:
        super().__init__()
        self.base = base.requires_grad_(False)
        self.down_RI = nn.Parameter(torch.empty(rank, base.in_features))
        self.up_OR = nn.Parameter(torch.zeros(base.out_features, rank))
        nn.init.kaiming_uniform_(self.down_RI, a=math.sqrt(5))

    def forward(self, x: Tensor) -> Tensor:
        return self.base(x) + (x @ self.down_RI.T.to(x.dtype)) @ self.up_OR.T.to(x.dtype)

    @torch.no_grad()
    def merged(self) -> nn.Linear:
        """The plain linear layer with the update folded in."""
        self.base.weight += self.up_OR @ self.down_RI
        return self.base


def add_lora(module: nn.Module, rank: int, suffixes: tuple[str, ...]) -> list[str]:
    """Wrap every nn.Linear below ``module`` whose dotted name ends with one of ``suffixes``; return their names."""
    names = [n for n, m in module.named_modules() if isinstance(m, nn.Linear) and n.endswith(suffixes)]
    for name in names:
        parent_name, _, child = name.rpartition(".")
        parent = module.get_submodule(parent_name)
        parent._modules[child] = LoRALinear(module.get_submodule(name), rank)  # type: ignore[arg-type]
    return names


def merge_lora(module: nn.Module) -> int:
    """Fold every LoRA update into its layer, for inference and for bundles; return how many were folded."""
    wrapped = [(n, m) for n, m in module.named_modules() if isinstance(m, LoRALinear)]
    for name, layer in wrapped:
        parent_name, _, child = name.rpartition(".")
        module.get_submodule(parent_name)._modules[child] = layer.merged()
    return len(wrapped)
