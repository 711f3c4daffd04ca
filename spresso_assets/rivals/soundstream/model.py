"""Encoder, residual quantizer and decoder as one module, and their weights in a folder."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from spresso_assets.rivals.soundstream.config import SeanetConfig
from spresso_assets.rivals.soundstream.quantizer import ResidualQuantizer
from spresso_assets.rivals.soundstream.seanet import Decoder, Encoder, Memory
from spresso_assets.rivals.weights import fill, load_weights, save_weights


class ConvCodec(nn.Module):
    """Audio [B, C, N] to codes [B, T, M] and back; N is a multiple of the hop."""

    def __init__(self, cfg: SeanetConfig) -> None:
        super().__init__()
        self.cfg = cfg
        self.encoder, self.decoder = Encoder(cfg), Decoder(cfg)
        self.quantizer = ResidualQuantizer(cfg.codebooks, cfg.bits, cfg.dim)

    @torch.inference_mode()
    def encode(
        self, audio_BCN: Tensor, codebooks: int, *, denoise: bool = False, memory: Memory | None = None
    ) -> Tensor:
        clean_B = torch.full((len(audio_BCN),), denoise)
        return self.quantizer.encode(self.encoder(audio_BCN, clean_B, memory), codebooks)

    @torch.inference_mode()
    def decode(self, codes_BTM: Tensor, *, denoise: bool = False, memory: Memory | None = None) -> Tensor:
        clean_B = torch.full((len(codes_BTM),), denoise)
        audio_BCN: Tensor = self.decoder(self.quantizer.decode(codes_BTM), clean_B, memory)
        return audio_BCN


def load_model(folder: Path, system: str) -> ConvCodec:
    """The model in a folder of weights.

    Raises:
        SpressoError: ``rival_missing``.
    """
    cfg, tensors = load_weights(folder, system, SeanetConfig)
    model = ConvCodec(cfg)
    fill(model, tensors, "model.", folder, system)
    return model.eval()


def save_model(folder: Path, system: str, model: ConvCodec, more: dict[str, Tensor] | None = None) -> None:
    """Write a model, and what else belongs to its bundle."""
    save_weights(folder, system, model.cfg, {f"model.{k}": t for k, t in model.state_dict().items()} | (more or {}))


def random_model(cfg: SeanetConfig, seed: int = 0) -> ConvCodec:
    """Untrained: every code path, no quality."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return ConvCodec(cfg).eval()
