"""Encoder and decoder of SoundStream, and of EnCodec: strided convolutions, residual units, ELU (SEANet).

Everything is written once for whole sounds and for streams. A layer that looks back keeps what it will look back at in
a `Memory`, if it is given one; without, the past is silence. So a stream gives just what the whole sound gives.

Axes: B batch, C channels, T time steps of a layer.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from spresso_assets.rivals.soundstream.config import SeanetConfig

Memory = dict[nn.Module, Any]  # what each layer still has to know of a stream's past


class Conv(nn.Module):
    """Convolution that gives one step for every ``stride`` steps; one that ends a network is not normalised."""

    def __init__(
        self,
        inner: int,
        outer: int,
        kernel: int,
        cfg: SeanetConfig,
        *,
        stride: int = 1,
        dilation: int = 1,
        ends: bool = False,
    ) -> None:
        super().__init__()
        self.conv = nn.Conv1d(inner, outer, kernel, stride, dilation=dilation)
        self.norm = None if cfg.causal or ends else nn.GroupNorm(1, outer)
        self.reach = (kernel - 1) * dilation - (stride - 1)
        self.causal = cfg.causal

    def forward(self, x_BCT: Tensor, memory: Memory | None = None) -> Tensor:
        """T must be a multiple of the stride."""
        if not self.causal:
            after = self.reach // 2
            x_BCT = F.pad(x_BCT, (self.reach - after, after))
        elif memory is not None and self in memory:
            x_BCT = torch.cat([memory[self], x_BCT], -1)
        else:
            x_BCT = F.pad(x_BCT, (self.reach, 0))
        if memory is not None:
            memory[self] = x_BCT[..., x_BCT.shape[-1] - self.reach :]
        y_BCT: Tensor = self.conv(x_BCT)
        return y_BCT if self.norm is None else self.norm(y_BCT)


class UpConv(nn.Module):
    """Transposed convolution: ``stride`` steps for every step, each of which reaches over two strides."""

    def __init__(self, inner: int, outer: int, stride: int, cfg: SeanetConfig) -> None:
        super().__init__()
        self.conv = nn.ConvTranspose1d(inner, outer, 2 * stride, stride, bias=False)
        self.bias_C1 = nn.Parameter(torch.zeros(outer, 1))
        self.norm = None if cfg.causal else nn.GroupNorm(1, outer)
        self.stride, self.causal = stride, cfg.causal

    def forward(self, x_BCT: Tensor, memory: Memory | None = None) -> Tensor:
        y_BCT = self.conv(x_BCT)  # one stride longer than wanted
        if self.causal:
            if memory is not None:
                if self in memory:
                    y_BCT = torch.cat([y_BCT[..., : self.stride] + memory[self], y_BCT[..., self.stride :]], -1)
                memory[self] = y_BCT[..., -self.stride :]
            y_BCT = y_BCT[..., : -self.stride]
        else:
            before = self.stride - self.stride // 2
            y_BCT = y_BCT[..., before : y_BCT.shape[-1] - self.stride // 2]
        y_BCT = y_BCT + self.bias_C1
        return y_BCT if self.norm is None else self.norm(y_BCT)


class Residual(nn.Module):
    """x + conv1(ELU(conv(ELU(x))))."""

    def __init__(self, channels: int, dilation: int, cfg: SeanetConfig) -> None:
        super().__init__()
        inner = channels // cfg.compress
        self.wide = Conv(channels, inner, cfg.kernel, cfg, dilation=dilation)
        self.narrow = Conv(inner, channels, 1, cfg)

    def forward(self, x_BCT: Tensor, memory: Memory | None = None) -> Tensor:
        return x_BCT + self.narrow(F.elu(self.wide(F.elu(x_BCT), memory)), memory)


class Recurrent(nn.Module):
    """x + LSTM(x)."""

    def __init__(self, channels: int, layers: int) -> None:
        super().__init__()
        self.lstm = nn.LSTM(channels, channels, layers, batch_first=True)

    def forward(self, x_BCT: Tensor, memory: Memory | None = None) -> Tensor:
        y_BTC, state = self.lstm(x_BCT.transpose(1, 2), None if memory is None else memory.get(self))
        if memory is not None:
            memory[self] = state
        return x_BCT + y_BTC.transpose(1, 2)


class FiLM(nn.Module):
    """gamma(c) x + beta(c), c telling whether noise is to be taken away (Perez et al. 2018); it starts as nothing."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.gamma, self.beta = nn.Linear(2, channels), nn.Linear(2, channels)
        for layer, start in ((self.gamma, 1.0), (self.beta, 0.0)):
            nn.init.zeros_(layer.weight)
            nn.init.constant_(layer.bias, start)

    def forward(self, x_BCT: Tensor, clean_B: Tensor) -> Tensor:
        told_B2 = F.one_hot(clean_B.long(), 2).to(x_BCT.dtype)
        scaled: Tensor = self.gamma(told_B2)[..., None] * x_BCT + self.beta(told_B2)[..., None]
        return scaled


class Encoder(nn.Module):
    """Audio [B, C, N] -> frames [B, D, N / hop]."""

    def __init__(self, cfg: SeanetConfig) -> None:
        super().__init__()
        self.hop = cfg.hop
        layers: list[nn.Module] = [Conv(cfg.channels, cfg.width, 7, cfg)]
        width = cfg.width
        for stride in cfg.strides:
            layers += [Residual(width, dilation, cfg) for dilation in cfg.dilations]
            layers += [nn.ELU(), Conv(width, 2 * width, 2 * stride, cfg, stride=stride)]
            width *= 2
        if cfg.recurrent:
            layers.append(Recurrent(width, cfg.recurrent))
        self.layers = nn.ModuleList([*layers, nn.ELU(), Conv(width, cfg.dim, 3, cfg, ends=True)])
        self.film = FiLM(cfg.dim) if cfg.denoise == "encoder" else None

    def forward(self, audio_BCN: Tensor, clean_B: Tensor, memory: Memory | None = None) -> Tensor:
        """N must be a multiple of the hop; ``clean_B`` is heard where the model denoises here."""
        z_BDT = through(self.layers, audio_BCN, memory)
        return z_BDT if self.film is None else self.film(z_BDT, clean_B)


class Decoder(nn.Module):
    """Frames [B, D, T] -> audio [B, C, T * hop]."""

    def __init__(self, cfg: SeanetConfig) -> None:
        super().__init__()
        width = cfg.width << len(cfg.strides)
        self.film = FiLM(cfg.dim) if cfg.denoise == "decoder" else None
        layers: list[nn.Module] = [Conv(cfg.dim, width, 7, cfg)]
        if cfg.recurrent:
            layers.append(Recurrent(width, cfg.recurrent))
        for stride in reversed(cfg.strides):
            layers += [nn.ELU(), UpConv(width, width // 2, stride, cfg)]
            width //= 2
            layers += [Residual(width, dilation, cfg) for dilation in cfg.dilations]
        self.layers = nn.ModuleList([*layers, nn.ELU(), Conv(width, cfg.channels, 7, cfg, ends=True)])

    def forward(self, z_BDT: Tensor, clean_B: Tensor, memory: Memory | None = None) -> Tensor:
        if self.film is not None:
            z_BDT = self.film(z_BDT, clean_B)
        return through(self.layers, z_BDT, memory)


def through(layers: Iterable[nn.Module], x: Tensor, memory: Memory | None = None) -> Tensor:
    """Layers one after the other."""
    for layer in layers:
        x = layer(x) if isinstance(layer, nn.ELU) else layer(x, memory)
    return x
