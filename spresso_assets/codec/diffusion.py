"""EDM preconditioning, noise distribution and loss (Karras et al. 2022, table 1; uncertainty weighting from EDM2)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from spresso_assets.codec.transformer import NoiseLevelFeatures

Network = Callable[..., Tensor]


def denoise(network: Network, x_BTC: Tensor, sigma_B: Tensor, sigma_data: float = 0.5, **condition: object) -> Tensor:
    """D(x; sigma) = c_skip x + c_out F(c_in x, c_noise), in float32 around the network (EDM eq. 7, table 1)."""
    sigma_B11 = sigma_B.float()[:, None, None]
    total_B11 = sigma_B11.square() + sigma_data**2
    c_skip = sigma_data**2 / total_B11
    c_out = sigma_B11 * sigma_data / total_B11.sqrt()
    c_in = total_B11.rsqrt()
    c_noise_B = sigma_B.float().log() / 4
    return c_skip * x_BTC.float() + c_out * network(c_in * x_BTC.float(), c_noise_B, **condition).float()


class Uncertainty(nn.Module):
    """u(sigma): learned log-variance of the weighted error, so that no noise level dominates (EDM2 eq. 14-15)."""

    def __init__(self) -> None:
        super().__init__()
        self.features = NoiseLevelFeatures(128)
        self.linear = nn.Linear(128, 1, bias=False)
        nn.init.zeros_(self.linear.weight)

    def forward(self, sigma_B: Tensor) -> Tensor:
        return self.linear(self.features(sigma_B.log() / 4))[:, 0]


def sample_sigma(count: int, p_mean: float, p_std: float, generator: torch.Generator | None = None) -> Tensor:
    """ln sigma ~ N(p_mean, p_std^2), one per clip."""
    return (torch.randn(count, generator=generator) * p_std + p_mean).exp()


def edm_loss(error_BTC: Tensor, sigma_B: Tensor, u_B: Tensor, sigma_data: float = 0.5) -> Tensor:
    """mean[w / exp(u) * |D - x0|^2] + mean u with w = (sigma^2 + sd^2) / (sigma sd)^2; [B, T, C] error -> scalar."""
    weight_B = (sigma_B.square() + sigma_data**2) / (sigma_B * sigma_data).square()
    per_clip_B = error_BTC.square().mean((1, 2)) * weight_B
    return (per_clip_B / u_B.exp() + u_B).mean()
