"""Residual vector quantizer: each codebook says what the ones before it have left over.

Any prefix of the codes of a frame is a coarser description of it, so one model serves all rates. Codebooks are no
parameters: they are averages of what they stand for, and it is the trainer that keeps these.

Axes: B batch, T frames, D dimensions, M codebooks, K entries, N frames of all clips together.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


def nearest(x_ND: Tensor, entries_KD: Tensor) -> Tensor:
    """Index [N] of the entry with the smallest distance."""
    return (entries_KD.square().sum(1) - 2 * x_ND @ entries_KD.T).argmin(1)


class ResidualQuantizer(nn.Module):
    """Codebooks [M, K, D]."""

    entries_MKD: Tensor

    def __init__(self, codebooks: int, bits: int, dim: int) -> None:
        super().__init__()
        smaller_M11 = torch.arange(1, codebooks + 1)[:, None, None]
        self.register_buffer("entries_MKD", torch.randn(codebooks, 1 << bits, dim) / smaller_M11)

    def encode(self, z_BDT: Tensor, codebooks: int) -> Tensor:
        """Frames [B, D, T] -> codes [B, T, M] of the first ``codebooks``."""
        batch, dim, frames = z_BDT.shape
        rest_ND = z_BDT.transpose(1, 2).reshape(-1, dim)
        codes = []
        for entries_KD in self.entries_MKD[:codebooks]:
            codes.append(nearest(rest_ND, entries_KD))
            rest_ND = rest_ND - entries_KD[codes[-1]]
        return torch.stack(codes, 1).reshape(batch, frames, codebooks)

    def decode(self, codes_BTM: Tensor) -> Tensor:
        """Codes -> frames [B, D, T]."""
        parts = [self.entries_MKD[m][codes_BT] for m, codes_BT in enumerate(codes_BTM.unbind(-1))]
        return torch.stack(parts).sum(0).transpose(1, 2)
