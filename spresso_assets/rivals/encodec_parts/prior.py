"""A small Transformer that foretells the codes of a frame from those before it, as floats, for training.

All codebooks of a frame are foretold at once from the frames before (EnCodec, section 3.3). Made so that
`exact_prior` can run it in whole numbers: root-mean-square norms, ReLU, and positions as a penalty on distance
(ALiBi, Press et al. 2021), which needs no table and takes any length.

Axes: B batch, T frames, M codebooks, K entries, D width, H heads.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from spresso_assets.rivals.encodec_parts.config import PriorConfig


class Block(nn.Module):
    """x + attention(norm(x)); x + W2 relu(W1 norm(x))."""

    def __init__(self, cfg: PriorConfig) -> None:
        super().__init__()
        self.heads = cfg.heads
        self.qkv = nn.Linear(cfg.dim, 3 * cfg.dim, bias=False)
        self.out = nn.Linear(cfg.dim, cfg.dim, bias=False)
        self.wide, self.narrow = nn.Linear(cfg.dim, 4 * cfg.dim), nn.Linear(4 * cfg.dim, cfg.dim)

    def forward(self, x_BTD: Tensor, penalty_HTT: Tensor) -> Tensor:
        batch, frames, dim = x_BTD.shape
        q, k, v = self.qkv(norm(x_BTD)).reshape(batch, frames, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        score = q @ k.transpose(-1, -2) / math.sqrt(dim // self.heads) + penalty_HTT
        heard = (score.softmax(-1) @ v).transpose(1, 2).reshape(batch, frames, dim)
        x_BTD = x_BTD + self.out(heard)
        added: Tensor = self.narrow(F.relu(self.wide(norm(x_BTD))))
        return x_BTD + added


def norm(x: Tensor) -> Tensor:
    """x over its root mean square."""
    return x * (x.square().mean(-1, keepdim=True) + 1e-6).rsqrt()


class CodePrior(nn.Module):
    """Codes [B, T, M] -> logits [B, T, M, K] of each frame's codes given the frames before."""

    def __init__(self, cfg: PriorConfig) -> None:
        super().__init__()
        self.cfg = cfg
        self.start_D = nn.Parameter(torch.randn(cfg.dim))
        self.embedding_MKD = nn.Parameter(0.3 * torch.randn(cfg.codebooks, 1 << cfg.bits, cfg.dim))
        self.blocks = nn.ModuleList(Block(cfg) for _ in range(cfg.layers))
        self.heads = nn.ModuleList(nn.Linear(cfg.dim, 1 << cfg.bits) for _ in range(cfg.codebooks))

    def forward(self, codes_BTM: Tensor) -> Tensor:
        """M may be less than the prior's: a coarser stream is foretold from what it holds."""
        batch, frames, codebooks = codes_BTM.shape
        told = torch.stack([self.embedding_MKD[m][codes_BTM[..., m]] for m in range(codebooks)]).sum(0)
        x_BTD = torch.cat([self.start_D.expand(batch, 1, -1), told[:, :-1]], 1)
        penalty_HTT = self._penalty(frames, codes_BTM.device)
        for block in self.blocks:
            x_BTD = block(x_BTD, penalty_HTT)
        x_BTD = norm(x_BTD)
        return torch.stack([head(x_BTD) for head in self.heads[:codebooks]], 2)

    def bits(self, codes_BTM: Tensor) -> Tensor:
        """Mean bits per code of codes that it foretells; plain codes take log2 K."""
        logits = self(codes_BTM)
        return F.cross_entropy(logits.flatten(0, 2), codes_BTM.flatten()) / math.log(2)

    def _penalty(self, frames: int, device: torch.device) -> Tensor:
        apart_TT = torch.arange(frames, device=device)[:, None] - torch.arange(frames, device=device)
        slope_H = slopes(self.cfg.heads, device)
        penalty = -apart_TT * slope_H[:, None, None] * math.log(2)
        return penalty.masked_fill((apart_TT < 0) | (apart_TT >= self.cfg.context), -math.inf)


def slopes(heads: int, device: torch.device | None = None) -> Tensor:
    """By how many powers of two each head hears a frame less than the next later one: 1/2, 1/4, ... ."""
    return 2.0 ** -torch.arange(1, heads + 1, device=device)
