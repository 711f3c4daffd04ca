"""Low-rank adaptation of frozen linear layers (Hu et al. 2021): W x + (alpha / r) B A x with alpha = r.

An update is a module of its own beside the layers that it adapts, not a wrapper around them: one frozen prior then
serves several adapters at once, and without one it is untouched by construction.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class LowRank(nn.Module):
    """B A x for inputs [..., I] -> [..., O]; B starts at zero, so step 0 equals the base.

    Args:
        layer: the linear layer that the update is for; only its shape is read.
    """

    def __init__(self, layer: nn.Linear, rank: int) -> None:
        super().__init__()
        self.down_RI = nn.Parameter(torch.empty(rank, layer.in_features))
        self.up_OR = nn.Parameter(torch.zeros(layer.out_features, rank))
        nn.init.kaiming_uniform_(self.down_RI, a=math.sqrt(5))

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(F.linear(x, self.down_RI), self.up_OR)

    @torch.no_grad()
    def fold_into(self, layer: nn.Linear) -> None:
        """Add the update to the layer's own weight: W + B A."""
        layer.weight += self.up_OR @ self.down_RI


def adapted(layer: nn.Linear, update: LowRank | None, x: Tensor) -> Tensor:
    """The layer's output with its update, or the layer's own without one."""
    return layer(x) if update is None else layer(x) + update(x)
