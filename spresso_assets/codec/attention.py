"""Attention shared by the DiT and the latent encoder: rotary positions in latent frames, RMS-normalised heads."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from spresso_assets.codec.lora import LowRank, adapted


def rotary_angles(position_L: Tensor, head_dim: int, theta: float = 1e4) -> Tensor:
    """Rotation per position and frequency pair (RoPE, Su et al. 2021).

    Args:
        position_L: [L] positions in latent frames (10 ms); fractions allowed, so that tokens that cover several
            frames sit at the centre of what they cover.

    Returns:
        [L, head_dim/2] angles in radians.
    """
    frequency_R = theta ** (-torch.arange(0, head_dim, 2, device=position_L.device, dtype=torch.float32) / head_dim)
    return position_L.float()[:, None] * frequency_R


def rotate(x_BHLD: Tensor, angles_LR: Tensor) -> Tensor:
    """Rotate channel pairs (d, d + D/2) of [B, H, L, D] by ``angles`` [L, D/2]."""
    cos_LR, sin_LR = angles_LR.cos().to(x_BHLD.dtype), angles_LR.sin().to(x_BHLD.dtype)
    a_BHLR, b_BHLR = x_BHLD.chunk(2, -1)
    return torch.cat([a_BHLR * cos_LR - b_BHLR * sin_LR, a_BHLR * sin_LR + b_BHLR * cos_LR], -1)


class HeadNorm(nn.Module):
    """RMS norm over each head's channels with a learned scale (QK-norm, Henry et al. 2020)."""

    def __init__(self, head_dim: int) -> None:
        super().__init__()
        self.scale_D = nn.Parameter(torch.ones(head_dim))

    def forward(self, x_BHLD: Tensor) -> Tensor:
        return F.rms_norm(x_BHLD, (x_BHLD.shape[-1],), self.scale_D.to(x_BHLD.dtype), eps=1e-6)


class QKV(nn.Module):
    """Tokens of one modality -> normalised, rotated queries and keys, and values.

    Args:
        width: channels of the token stream; dim: heads * head_dim of the joint attention.
    """

    def __init__(self, width: int, dim: int, head_dim: int) -> None:
        super().__init__()
        self.head_dim = head_dim
        self.proj = nn.Linear(width, 3 * dim, bias=False)
        self.q_norm, self.k_norm = HeadNorm(head_dim), HeadNorm(head_dim)

    def forward(self, x_BLC: Tensor, angles_LR: Tensor, update: LowRank | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """[B, L, C] -> q, k, v, each [B, H, L, D]; ``update`` is a LoRA of the fused projection."""
        batch, length, _ = x_BLC.shape
        qkv_3BHLD = adapted(self.proj, update, x_BLC).view(batch, length, 3, -1, self.head_dim).permute(2, 0, 3, 1, 4)
        q_BHLD, k_BHLD, v_BHLD = qkv_3BHLD
        return rotate(self.q_norm(q_BHLD), angles_LR), rotate(self.k_norm(k_BHLD), angles_LR), v_BHLD


def attend(q_BHLD: Tensor, k_BHSD: Tensor, v_BHSD: Tensor) -> Tensor:
    """Softmax attention -> [B, L, H * D]."""
    out_BHLD = F.scaled_dot_product_attention(q_BHLD, k_BHSD.to(q_BHLD.dtype), v_BHSD.to(q_BHLD.dtype))
    return out_BHLD.transpose(1, 2).flatten(2)


class MLP(nn.Sequential):
    """Linear -> GELU (tanh form) -> Linear, with optional low-rank updates of the two linear layers."""

    def __init__(self, width: int, ratio: int) -> None:
        super().__init__(nn.Linear(width, ratio * width), nn.GELU("tanh"), nn.Linear(ratio * width, width))

    @property
    def linear(self) -> tuple[nn.Linear, nn.Linear]:
        """The layer that widens and the one that narrows again."""
        widen, narrow = self[0], self[2]
        assert isinstance(widen, nn.Linear) and isinstance(narrow, nn.Linear)
        return widen, narrow

    def forward(self, x: Tensor, widening: LowRank | None = None, narrowing: LowRank | None = None) -> Tensor:
        widen, narrow = self.linear
        return adapted(narrow, narrowing, F.gelu(adapted(widen, widening, x), approximate="tanh"))
